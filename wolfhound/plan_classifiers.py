"""The sections of a plan that name classifiers: one for each door of `wolfhound.loading`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wolfhound.plan_base import Channel, Name, Options, Section, Size

Arguments = dict[str, int | float | str | bool | None]
OutputNames = Literal["images", "imagenet"] | tuple[str, ...] | Path

_OUTPUT_NAMES = (
    "what the outputs are called, in their order: images (what the image set calls its classes), imagenet, a list, "
    "or a text file with one name a line"
)
_PICKLE = (
    "true runs whatever code the file brings along; only for files whose origin you trust. A state dict, safetensors, "
    "TorchScript and torch.export files need none"
)


class PreprocessingSection(Section):
    """Overrides of what the weights carry: channel means and deviations on the [0, 1] scale, and the input size."""

    mean: Channel | None = None
    std: Channel | None = None
    input_size: Size | None = None


class ClassifierSection(Section):
    """What every classifier's section has."""

    name: Name
    classes: Literal["by_name", "as_listed"] = Field(
        "by_name",
        description="by_name: a classifier that names its outputs is matched with the image set's classes by name; "
        "as_listed: its outputs are in the image set's order, whatever they are called",
    )

    @property
    def black_box(self) -> bool | None:
        """Whether only its answers can be had, no gradients; None where the plan alone does not tell."""
        return False


class DemonstrationClassifier(ClassifierSection):
    """One of the six architecture families at reduced width, trained on the demonstration images on first use."""

    source: Literal["demonstration"]
    architecture: Literal["vgg_f", "caffenet", "googlenet", "vgg16", "vgg19", "resnet152"]


class TorchvisionClassifier(ClassifierSection):
    """A torchvision classifier, or vgg_f or caffenet, by its name."""

    source: Literal["torchvision"]
    architecture: str
    weights: str = Field(
        "DEFAULT", description='DEFAULT, a torchvision weights name, a local .pth or .safetensors file, or "random"'
    )
    allow_pickle_code: bool = Field(False, description=_PICKLE)
    arguments: Arguments = Field({}, description="further arguments of the builder")
    preprocessing: PreprocessingSection = PreprocessingSection()


class TimmClassifier(ClassifierSection):
    """A classifier of timm, by its name. Needs the extra `timm`."""

    source: Literal["timm"]
    architecture: str = Field(description="a name such as resnet18.a1_in1k; without a tag timm's default weights")
    weights: str = Field("DEFAULT", description='DEFAULT, a local .pth or .safetensors file, or "random"')
    allow_pickle_code: bool = Field(False, description=_PICKLE)
    hub: str | None = Field(None, pattern="^https?://", description="address of a mirror of the hub")
    arguments: Arguments = Field({}, description="further arguments of timm.create_model")
    class_names: OutputNames = Field("images", description=_OUTPUT_NAMES)
    preprocessing: PreprocessingSection = PreprocessingSection()


class HuggingFaceClassifier(ClassifierSection):
    """An image classifier of transformers: a local folder, or a name on the hub. Needs the extra `huggingface`."""

    source: Literal["huggingface"]
    folder: Path | None = Field(None, description="a folder with config.json and its weights")
    model: str | None = Field(None, description="a name on the hub, such as microsoft/resnet-50")
    revision: str | None = Field(None, description="branch, tag or commit on the hub; a commit can be repeated")
    hub: str | None = Field(None, pattern="^https?://", description="address of a mirror of the hub")
    preprocessing: PreprocessingSection = PreprocessingSection()

    @model_validator(mode="after")
    def _one_place(self) -> "HuggingFaceClassifier":
        if (self.folder is None) == (self.model is None):
            raise ValueError("expected exactly one of folder and model")
        if self.folder is not None and (self.revision or self.hub):
            raise ValueError("expected no revision and no hub beside a folder")
        return self


class FactoryClassifier(ClassifierSection):
    """A function or class in a Python file of yours, or in an installed package, that returns the network."""

    source: Literal["factory"]
    file: Path | None = None
    module: str | None = Field(None, description="a module of an installed package, with dots; one of file and module")
    callable: str
    arguments: Arguments = Field(default_factory=dict)
    weights: Path | None = None
    allow_pickle_code: bool = Field(False, description=_PICKLE)
    class_names: OutputNames = Field("images", description=_OUTPUT_NAMES)
    preprocessing: PreprocessingSection

    @model_validator(mode="after")
    def _one_place(self) -> "FactoryClassifier":
        if (self.file is None) == (self.module is None):
            raise ValueError("expected exactly one of file and module")
        return self


class TorchScriptClassifier(ClassifierSection):
    """A network saved by torch.jit.save."""

    source: Literal["torchscript"]
    file: Path
    class_names: OutputNames = Field("images", description=_OUTPUT_NAMES)
    preprocessing: PreprocessingSection


class ExportedClassifier(ClassifierSection):
    """A network saved by torch.export.save (.pt2)."""

    source: Literal["exported"]
    file: Path
    allow_pickle_code: bool = Field(False, description=_PICKLE)
    class_names: OutputNames = Field("images", description=_OUTPUT_NAMES)
    preprocessing: PreprocessingSection


class OnnxClassifier(ClassifierSection):
    """An ONNX file. Needs the extra `onnx`."""

    source: Literal["onnx"]
    file: Path
    execution: Literal["torch", "onnxruntime"] = Field(
        "torch",
        description="torch: converted, so that gradients exist, and compared with onnxruntime; onnxruntime: as it is, "
        "a black box",
    )
    class_names: OutputNames = Field("images", description=_OUTPUT_NAMES)
    preprocessing: PreprocessingSection

    @property
    def black_box(self) -> bool | None:
        return self.execution == "onnxruntime"


class EndpointClassifier(ClassifierSection):
    """A model server that speaks the open inference protocol (KServe V2), as Triton, TorchServe and others do."""

    source: Literal["endpoint"]
    url: str = Field(pattern="^https?://", description="address of the server, up to and without /v2")
    model: str = Field(min_length=1)
    version: str | None = None
    scores: Literal["logits", "probabilities"] = Field(
        "logits", description="what the server answers; of probabilities the logarithm is taken"
    )
    batch_size: int = Field(32, gt=0, description="images a request, at most")
    requests_per_second: float | None = Field(None, gt=0, description="never more than so many")
    timeout: float = Field(30.0, gt=0, description="seconds to wait for an answer")
    retries: int = Field(
        5, ge=0, le=20, description="how often a request that found the server busy or away is sent again"
    )
    token_variable: str | None = Field(
        None, description="environment variable with a bearer token; the token itself is never stored"
    )
    class_names: OutputNames = Field("images", description=_OUTPUT_NAMES)
    preprocessing: PreprocessingSection

    @property
    def black_box(self) -> bool | None:
        return True


class PluginClassifier(ClassifierSection):
    """A classifier of an installed plug-in, by the name of its entry point in the group wolfhound.classifiers."""

    source: Literal["plugin"]
    plugin: str
    options: Options = Field(default_factory=dict)

    @property
    def black_box(self) -> bool | None:
        return None


Subject = Annotated[
    DemonstrationClassifier
    | TorchvisionClassifier
    | TimmClassifier
    | HuggingFaceClassifier
    | FactoryClassifier
    | TorchScriptClassifier
    | ExportedClassifier
    | OnnxClassifier
    | EndpointClassifier
    | PluginClassifier,
    Field(discriminator="source"),
]
