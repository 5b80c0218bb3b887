"""Where images come from: a folder per class, a CSV file, or torchvision's data sets on disk.

Every source lists its images first and shares the rest: decoding, fitting, hashing and the pixel cache.
"""

from wolfhound.sources.fit import Fit
from wolfhound.sources.folder import read_folder
from wolfhound.sources.imagenet_names import imagenet_class_names
from wolfhound.sources.table import CsvColumns, read_csv
from wolfhound.sources.torchvision_sets import read_torchvision

__all__ = ["CsvColumns", "Fit", "imagenet_class_names", "read_csv", "read_folder", "read_torchvision"]
