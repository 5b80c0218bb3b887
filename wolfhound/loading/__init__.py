"""From the name of a network, or a file of the user's own, to a classifier that was tried once.

Every door ends in the same check: one forward pass gives one finite score for each class name.
"""

from wolfhound.loading.endpoint import endpoint_input_size, load_endpoint
from wolfhound.loading.exported import exported_input_size, load_exported
from wolfhound.loading.factory import load_factory
from wolfhound.loading.huggingface import huggingface_fit, huggingface_place, load_huggingface
from wolfhound.loading.onnx_door import load_onnx, onnx_input_size
from wolfhound.loading.timm_door import load_timm, timm_fit
from wolfhound.loading.torchscript import load_torchscript
from wolfhound.loading.torchvision_door import load_torchvision, torchvision_fit
from wolfhound.loading.torchvision_names import classifier_names
from wolfhound.sources.imagenet_names import imagenet_class_names

__all__ = [
    "classifier_names",
    "endpoint_input_size",
    "exported_input_size",
    "huggingface_fit",
    "huggingface_place",
    "imagenet_class_names",
    "load_endpoint",
    "load_exported",
    "load_factory",
    "load_huggingface",
    "load_onnx",
    "load_timm",
    "load_torchscript",
    "load_torchvision",
    "onnx_input_size",
    "timm_fit",
    "torchvision_fit",
]
