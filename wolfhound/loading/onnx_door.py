"""A network in an ONNX file: converted to torch, so that gradients exist, or run as a black box by onnxruntime."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.extras import extra_module
from wolfhound.loading.finish import finish, numbers_alone
from wolfhound.loading.fixed_batch import FixedBatch
from wolfhound.loading.onnx_cleaning import cleaned
from wolfhound.store import file_sha256

AGREEMENT = 1e-4
"""How far a converted score may be from onnxruntime's, as a share of the largest one."""

_PROBES = 4


def load_onnx(
    file: Path,
    *,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    execution: Literal["torch", "onnxruntime"] = "torch",
    name: str | None = None,
) -> Classifier:
    """Return the classifier around the network in `file`. One that was exported for a batch size takes any.

    A converted network is compared with onnxruntime on seeded random images, and refused where they disagree.

    Args:
        file: an ONNX file with one input, images `[B,3,H,W]`, whose first output is the scores.
        preprocessing: channel means and deviations on the [0, 1] scale, and the input size.
        class_names: the classes, in the order of the network's scores.
        execution: "torch", or "onnxruntime" for a black box without gradients.
        name: what the classifier is called; the file's name by default.

    Raises:
        ModelError: the file is missing or damaged; onnx, onnxruntime or onnx2pytorch is not installed; the network
            cannot be converted, or its conversion computes something else; or it does not give one finite score for
            each class.
    """
    if not file.is_file():
        raise ModelError(f"expected an ONNX file at {file}, but there is no such file")
    runtime = OnnxRuntimeNetwork(file)
    module = _converted(file) if execution == "torch" else runtime
    if runtime.batch is not None:
        module = FixedBatch(module, runtime.batch)
    how = "converted to torch" if execution == "torch" else "run by onnxruntime, without gradients"
    digest = file_sha256(file)
    classifier = finish(
        module,
        name=name or file.stem,
        class_names=class_names,
        preprocessing=preprocessing,
        architecture=f"ONNX network of {file.name}, {how}",
        provenance=f"file {file.name}, SHA-256 {digest}",
        weights_digest=None if execution == "torch" else digest,
        differentiable=execution == "torch",
    )
    if execution == "torch":
        _check_agreement(classifier, FixedBatch(runtime, runtime.batch) if runtime.batch else runtime)
    return classifier


def onnx_input_size(file: Path) -> tuple[int, int] | None:
    """Return height and width of the images that the network in `file` takes; None where it takes any.

    Raises:
        ModelError: the file is missing or damaged, or takes no images.
    """
    if not file.is_file():
        raise ModelError(f"expected an ONNX file at {file}, but there is no such file")
    return OnnxRuntimeNetwork(file).image_size


class OnnxRuntimeNetwork(nn.Module):
    """The network as onnxruntime computes it on the CPU, on one thread so that it repeats."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.session = _session(file)
        (given, *others) = self.session.get_inputs()
        if others or len(given.shape) != 4:
            found = [f"{each.name} {each.shape}" for each in self.session.get_inputs()]
            raise ModelError(f"{file}: expected one input, images [B, 3, H, W], got {', '.join(found)}")
        if isinstance(given.shape[1], int) and given.shape[1] != 3:
            layout = " (channels last: export it with channels first)" if given.shape[3] == 3 else ""
            raise ModelError(f"{file}: expected images of 3 channels, got the input {given.shape}{layout}")
        if given.type != "tensor(float)":
            raise ModelError(f"{file}: expected an input of float32, got {given.type} (export it in single precision)")
        self.input = given.name
        self.batch = given.shape[0] if isinstance(given.shape[0], int) else None
        self.image_size = numbers_alone(given.shape[2:])

    def forward(self, images: Tensor) -> Tensor:
        """Return the first output for `images`.

        Raises:
            ModelError: a gradient was asked for.
        """
        if images.requires_grad and torch.is_grad_enabled():
            raise ModelError(f"{self.file}: onnxruntime gives no gradients (execution: torch does)")
        data = np.ascontiguousarray(images.detach().cpu().numpy(), dtype=np.float32)
        scores = torch.from_numpy(self.session.run(None, {self.input: data})[0])
        return scores.to(images.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnnxRuntimeNetwork":
        return OnnxRuntimeNetwork(self.file)


def _session(file: Path) -> Any:
    onnxruntime = extra_module("onnxruntime", extra="onnx", kind=ModelError)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise ModelError(f"{file} cannot be read as ONNX ({type(error).__name__}: {error})") from error


def _converted(file: Path) -> nn.Module:
    onnx = extra_module("onnx", extra="onnx", kind=ModelError)
    converter = extra_module("onnx2pytorch", extra="onnx", kind=ModelError)
    try:
        with warnings.catch_warnings():
            # It may err on batches, its warning says; that is what the comparison with onnxruntime is for.
            warnings.simplefilter("ignore", UserWarning)
            module: nn.Module = converter.ConvertModel(cleaned(onnx.load(str(file))), experimental=True)
    except Exception as error:  # the converter raises nearly anything
        raise ModelError(f"{file} cannot be converted to torch ({type(error).__name__}: {error}){_ELSE}") from error
    return module


_ELSE = "; execution: onnxruntime audits it as a black box, without the attacks that need gradients"


def _check_agreement(classifier: Classifier, runtime: nn.Module) -> None:
    """Raise unless the conversion gives onnxruntime's scores, and a gradient, on seeded random images.

    Raises:
        ModelError: says how far the scores are apart.
    """
    height, width = classifier.preprocessing.input_size
    images = torch.rand(_PROBES, 3, height, width, generator=torch.Generator().manual_seed(1))
    at = classifier.preprocessing.apply(images).requires_grad_()
    found = classifier.module(at)
    (gradient,) = torch.autograd.grad(found.sum(), at, allow_unused=True) if found.requires_grad else (None,)
    with torch.no_grad():
        wanted = runtime(at)
    apart = float((found.detach() - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))
    if not apart <= AGREEMENT:
        raise ModelError(
            f"{classifier.name}: the conversion to torch computes other scores than onnxruntime, by up to "
            f"{100 * apart:.2g} % of the largest{_ELSE}"
        )
    if gradient is None:
        raise ModelError(f"{classifier.name}: the conversion to torch has no gradient{_ELSE}")
