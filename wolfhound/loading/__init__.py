"""From the name of a network, or a file of the user's own, to a classifier that was tried once.

Every door ends in the same check: one forward pass gives one finite score for each class name.
"""

from wolfhound.loading.factory import load_factory
from wolfhound.loading.torchvision_door import load_torchvision, torchvision_fit
from wolfhound.loading.torchvision_names import classifier_names
from wolfhound.sources.imagenet_names import imagenet_class_names

__all__ = ["classifier_names", "imagenet_class_names", "load_factory", "load_torchvision", "torchvision_fit"]
