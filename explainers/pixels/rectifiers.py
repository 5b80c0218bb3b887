"""Change how gradients pass ReLUs, for a while and without touching the network: guided backpropagation and deconvnet.

A `TorchFunctionMode` meets every call of a rectifier, whoever spells it how: modules, `functional.relu`, `torch.relu`,
`x.relu()` and the forms that work in place. Libraries that look for `nn.ReLU` modules miss the functional ones (every
transition of torchvision's DenseNet, all of its GoogLeNet) and give other gradients without a word.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from wolfhound.errors import ModelError

Rule = Literal["plain", "guided", "deconvnet"]

CAUTIONS: Mapping[Rule, str] = MappingProxyType(
    {
        "plain": "",
        "guided": (
            "Guided backpropagation stayed nearly the same when the upper layers of networks were randomised (Adebayo "
            "et al. 2018, sanity checks): it shows edges of the image and is no evidence of what the classifier uses."
        ),
        "deconvnet": (
            "A deconvnet restores parts of the image whatever the class (Nie et al. 2018): it is no evidence of what "
            "the classifier uses."
        ),
    }
)
"""What must be said wherever gradients of each rule are shown."""


@contextmanager
def backward_rule(rule: Rule) -> Iterator[Callable[[], int]]:
    """Let rectifiers in forward passes inside pass gradients by `rule`; yield how many have been met so far.

    With x the input of a ReLU and g the gradient of its output, the gradient of its input is

        plain      g 1[x > 0]              (nothing is changed, nothing counted)
        guided     g 1[x > 0] 1[g > 0]     (Springenberg et al. 2015, section 3.4)
        deconvnet  g 1[g > 0]              (Zeiler & Fergus 2014, section 2.1, in the form of Springenberg et al.)

    Rectifiers are relu in every spelling, relu6, and hardtanh from 0; the last two also need x below their upper bound
    where plain gradients do. `clamp` and `maximum` are left alone, for they serve as arithmetic too, and so are smooth
    activations (GELU, SiLU, hard-swish), which rectify nothing. Calls inside compiled or scripted code are not seen.
    """
    if rule == "plain":
        yield lambda: 0
        return
    with _Rectifiers(masked=rule == "guided") as mode:
        yield lambda: mode.met


def check_rectified(name: str, met: int, *, rule: Rule) -> None:
    """Raise ModelError where a rule was to be applied and no rectifier was met: it would be the plain gradient."""
    if rule != "plain" and not met:
        raise ModelError(
            f"{rule} gradients change how ReLUs pass gradients, and {name} applied none that can be seen "
            "(smooth activations and scripted code have none; use saliency)"
        )


class _Rectifiers(TorchFunctionMode):
    def __init__(self, *, masked: bool) -> None:
        super().__init__()
        self.masked, self.met = masked, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        call = _rectifier(func, args, kwargs)
        if call is None:
            return func(*args, **kwargs)
        self.met += 1
        values, ceiling, in_place = call
        return _Rectify.apply(values, ceiling, in_place, self.masked)  # type: ignore[no-untyped-call]


_ARGUMENTS = {
    "relu": ("input", "inplace"),
    "relu6": ("input", "inplace"),
    "hardtanh": ("input", "min_val", "max_val", "inplace"),
}


def _rectifier(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Tensor, float, bool] | None:
    """Return input, upper bound and whether it works in place, if the call is a rectifier's; else None."""
    spelled = str(getattr(func, "__name__", "")).partition(".")[0]
    name = spelled.removesuffix("_")
    if name not in _ARGUMENTS:
        return None
    given = {**dict(zip(_ARGUMENTS[name], args, strict=False)), **kwargs}
    values = given.get("input", given.get("self"))
    floor = given.get("min_val", -1.0) if name == "hardtanh" else 0.0
    if not isinstance(values, Tensor) or not values.is_floating_point() or floor != 0:
        return None
    ceiling = {"relu": math.inf, "relu6": 6.0, "hardtanh": float(given.get("max_val", 1.0))}[name]
    return values, ceiling, spelled.endswith("_") or bool(given.get("inplace", False))


class _Rectify(torch.autograd.Function):
    """A rectifier with a backward rule of its own."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ceiling: float, in_place: bool, masked: bool) -> Tensor:
        """Return `values` between 0 and `ceiling`, in the same storage if `in_place`."""
        ctx.save_for_backward((values > 0) & (values < ceiling) if masked else None)
        if in_place:
            ctx.mark_dirty(values)
            return values.clamp_(0, ceiling)
        return values.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of `values` by the rule."""
        (passed,) = ctx.saved_tensors
        positive = gradients[0].clamp(min=0)
        return positive if passed is None else positive * passed, None, None, None
