"""The sections of a plan that name the image set: one for each source of `wolfhound.sources`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wolfhound.plan_base import Options, Section, Share, Size

ClassNames = Literal["folders", "labels", "imagenet"] | tuple[str, ...] | Path


class FitSection(Section):
    """How a photograph becomes an image of the set's size."""

    method: Literal["crop", "squash"] = Field(
        "crop", description="crop: resize the shorter side, then cut the centre; squash: resize the whole image"
    )
    shorter_side: int | None = Field(None, gt=0, description="for crop; by default size * 256 / 224")
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    upright: bool = Field(
        True, description="turn photographs as their EXIF orientation says; torchvision's own evaluation does not"
    )


class DemonstrationImages(Section):
    """The generated image set of ten classes with a planted confounder."""

    source: Literal["demonstration"]
    count: int = Field(5000, ge=100)
    confounding: Annotated[float, Field(ge=0.5, le=1)] = 0.5
    seed: int = Field(1, ge=0)


class FolderImages(Section):
    """A folder with one folder of images per class."""

    source: Literal["folder"]
    path: Path
    size: Size = 224
    fit: FitSection = FitSection()
    labels: Literal["folder_order", "leading_index", "class_name"] = Field(
        "folder_order",
        description="folder_order: the sorted folder names are the classes; leading_index: a folder's name begins with "
        "the classifier's class index, as in 0207_golden_retriever; class_name: it is one of class_names",
    )
    class_names: Literal["folders", "imagenet"] | tuple[str, ...] | Path = Field(
        "folders", description="folders, imagenet, a list, or a text file with one class name a line"
    )
    limit_per_class: int | None = Field(None, gt=0)


class ColumnsSection(Section):
    """What the columns of a table are called. Mask and group may be absent if they keep these names."""

    path: str = "path"
    label: str = "label"
    mask: str = "mask"
    group: str = "group"


class CsvImages(Section):
    """A CSV or Parquet file with the columns path and label, and where they exist mask, group and attributes."""

    source: Literal["csv", "parquet"]
    path: Path
    root: Path | None = Field(None, description="folder that the paths are relative to; by default the file's own")
    size: Size = 224
    fit: FitSection = FitSection()
    columns: ColumnsSection = ColumnsSection()
    attributes: tuple[str, ...] = Field((), description="further columns to keep of each image, such as sensor or site")
    labels: Literal["auto", "name", "index"] = Field("auto", description="whether labels are class names or indices")
    class_names: Literal["labels", "imagenet"] | tuple[str, ...] | Path = "labels"


class TorchvisionImages(Section):
    """A data set in torchvision's layout on disk."""

    source: Literal["torchvision"]
    dataset: Literal["cifar10", "cifar100", "imagenet"]
    root: Path
    split: Literal["train", "val", "test"] = "val"
    size: Size | None = Field(None, description="by default 32 for CIFAR, 224 for ImageNet")
    fit: FitSection = FitSection()
    download: bool = False


class HuggingFaceImages(Section):
    """A data set of the library `datasets`: a local folder, or a name on the hub. Needs the extra `datasets`."""

    source: Literal["huggingface"]
    folder: Path | None = Field(None, description="a folder written by save_to_disk, or one with Parquet files")
    dataset: str | None = Field(None, description="a name on the hub, such as uoft-cs/cifar10")
    revision: str | None = Field(None, description="branch, tag or commit on the hub; a commit can be repeated")
    configuration: str | None = None
    split: str = "test"
    image: str = Field("image", description="column of the pictures")
    label: str = Field("label", description="column of the labels")
    mask: str | None = Field(None, description="column of the object masks")
    attributes: tuple[str, ...] = ()
    size: Size = 224
    fit: FitSection = FitSection()
    class_names: Literal["labels", "imagenet"] | tuple[str, ...] | Path = Field(
        "labels", description="labels: the names that the data set itself gives its classes"
    )

    @model_validator(mode="after")
    def _one_place(self) -> "HuggingFaceImages":
        if (self.folder is None) == (self.dataset is None):
            raise ValueError("expected exactly one of folder and dataset")
        return self


class WebDatasetImages(Section):
    """Shards of the WebDataset layout: tar files in which files of one stem are one sample."""

    source: Literal["webdataset"]
    path: Path = Field(description="a tar file, or a shell pattern such as shards/val-*.tar")
    label: str = Field("cls", description="suffix of the file with the label: cls, txt or json:KEY")
    mask: str | None = Field(None, description="suffix of the file with the object mask, such as mask.png")
    attributes: tuple[str, ...] = Field((), description="keys of each sample's .json to keep")
    size: Size = 224
    fit: FitSection = FitSection()
    class_names: Literal["labels", "imagenet"] | tuple[str, ...] | Path = "labels"


class CocoImages(Section):
    """COCO annotations; the label of a picture is the category that covers the largest area of it."""

    source: Literal["coco"]
    annotations: Path = Field(description="the JSON file of instances")
    root: Path = Field(description="the folder of the pictures")
    masks: Literal["segmentation", "box"] = Field("segmentation", description="what becomes the object mask")
    categories: tuple[str, ...] = Field(
        (), description="category names to keep, in the classifier's order; default all"
    )
    least_share: Share = Field(0.0, description="pictures whose object covers a smaller share are left out")
    size: Size = 224
    fit: FitSection = FitSection()


class VocImages(Section):
    """A folder of PASCAL VOC's layout: JPEGImages, Annotations, and where they exist SegmentationObject masks."""

    source: Literal["voc"]
    root: Path
    split: str | None = Field(None, description="a list in ImageSets/Main, such as val; by default every annotation")
    masks: Literal["segmentation", "box"] = Field("segmentation", description="what becomes the object mask")
    categories: tuple[str, ...] = Field((), description="class names to keep, in the classifier's order; default all")
    least_share: Share = 0.0
    size: Size = 224
    fit: FitSection = FitSection()


class PluginImages(Section):
    """An image set of an installed plug-in, by the name of its entry point in the group wolfhound.images."""

    source: Literal["plugin"]
    plugin: str
    options: Options = Field(default_factory=dict)


Images = Annotated[
    DemonstrationImages
    | FolderImages
    | CsvImages
    | TorchvisionImages
    | HuggingFaceImages
    | WebDatasetImages
    | CocoImages
    | VocImages
    | PluginImages,
    Field(discriminator="source"),
]
