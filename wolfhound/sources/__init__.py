"""Where images come from: folders, tables, torchvision's and Hugging Face's data sets, shards, COCO and VOC.

Every source lists its images first and shares the rest: decoding, fitting, hashing and the pixel cache.
"""

from wolfhound.sources.coco import read_coco
from wolfhound.sources.fit import Fit
from wolfhound.sources.folder import read_folder
from wolfhound.sources.imagenet_names import imagenet_class_names
from wolfhound.sources.table import CsvColumns, read_csv
from wolfhound.sources.torchvision_sets import read_torchvision
from wolfhound.sources.voc import read_voc
from wolfhound.sources.webdataset import ShardKeys, read_webdataset

__all__ = [
    "CsvColumns",
    "Fit",
    "ShardKeys",
    "imagenet_class_names",
    "read_coco",
    "read_csv",
    "read_folder",
    "read_torchvision",
    "read_voc",
    "read_webdataset",
]
