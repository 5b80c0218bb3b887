"""The demonstration: a generated image set with a planted confounder, and compact classifiers trained on it."""

from wolfhound.demonstration.backgrounds import BACKGROUNDS
from wolfhound.demonstration.classifiers import demonstration_classifier
from wolfhound.demonstration.imagesets import CLASSES, background_plates, demonstration_images, wolf_husky_images
from wolfhound.demonstration.training import TrainingRecipe, train

__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "TrainingRecipe",
    "background_plates",
    "demonstration_classifier",
    "demonstration_images",
    "train",
    "wolf_husky_images",
]
