"""Batch normalisation folded into the convolution before it, in a copy, for work that only asks for scores.

In evaluation mode a batch norm is a fixed scale and shift of each channel, so a convolution can do both at once: fewer
passes over memory, the same function. Measured on the CPU beside the plain network (channels-last, 8 images of 224
pixels): MobileNet-V2 1.4, GoogLeNet 1.2, ResNet-18 1.07 times as fast; logits move by less than 1e-6 of the largest.
The audited network is never exchanged for it where gradients or predictions are reported: see ADR 0006.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wolfhound.classifier import Classifier
from wolfhound.memory_layout import logits_of, outputs_agree


def folded(classifier: Classifier, sample: Tensor) -> Classifier:
    """Return a copy without the batch norms that follow a convolution, if that changes nothing on `sample`.

    Which follows which is seen in a forward pass of `sample` `[B,3,H,W]`, not guessed from names or order, and the
    network's own code still runs. The classifier itself comes back where there is nothing to fold, where it cannot be
    copied, and where a prediction or a logit (by more than `memory_layout.TOLERANCE` of the largest) would change,
    as it does where something else reads what the convolution gave.
    """
    try:
        module = copy.deepcopy(classifier.module)
    except (RuntimeError, TypeError):
        return classifier
    changed = replace(classifier, module=module)
    pixels = sample.to(classifier.device, classifier.dtype)
    expected = logits_of(classifier, pixels, gradients=False)
    with torch.no_grad():
        pairs = _Followers.seen(changed, pixels).pairs()
    if not pairs:
        return classifier
    for convolution, norm in pairs:
        _fold(module, convolution, norm)
    return changed if outputs_agree(expected, logits_of(changed, pixels, gradients=False)) else classifier


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    parts = cast(nn.Conv2d, module.get_submodule(convolution)), cast(nn.BatchNorm2d, module.get_submodule(norm))
    fused = fuse_conv_bn_eval(*parts)
    for name, part in ((convolution, fused), (norm, nn.Identity())):
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, part)


@dataclass
class _Followers:
    """What each convolution gave in one forward pass, by id, and which batch norm was handed exactly that.

    The tensors are kept to the end of the pass, so that no id is given out twice.
    """

    given: dict[int, tuple[nn.Module, Tensor, int]] = field(default_factory=dict)
    follows: dict[nn.Module, nn.Module] = field(default_factory=dict)
    calls: Counter[nn.Module] = field(default_factory=Counter)
    names: dict[nn.Module, str] = field(default_factory=dict)

    @classmethod
    def seen(cls, classifier: Classifier, pixels: Tensor) -> "_Followers":
        """Run `pixels` through the classifier and watch."""
        found = cls(names=dict(_foldable(classifier.module)))
        with ExitStack() as hooks:
            for part in found.names:
                hook = (
                    part.register_forward_hook(found._convolved)
                    if isinstance(part, nn.Conv2d)
                    else part.register_forward_pre_hook(found._normalises)
                )
                hooks.callback(hook.remove)
            classifier.logits(pixels)
        return found

    def _convolved(self, part: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        self.calls[part] += 1
        self.given[id(output)] = (part, output, output._version)

    def _normalises(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.calls[part] += 1
        convolution, tensor, version = self.given.get(id(inputs[0]), (part, None, 0))
        if tensor is not None and tensor._version == version:  # else changed in place since
            self.follows[part] = convolution

    def pairs(self) -> list[tuple[str, str]]:
        """Names of convolution and batch norm, each used once in the pass."""
        readers = Counter(self.follows.values())
        return [
            (self.names[convolution], self.names[norm])
            for norm, convolution in self.follows.items()
            if self.calls[norm] == self.calls[convolution] == readers[convolution] == 1
        ]


def _foldable(module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Convolutions and fixed batch norms that stand in one place and are exactly what their class says."""
    places = Counter(id(part) for _, part in module.named_modules(remove_duplicate=False))
    for name, part in module.named_modules():
        fixed = type(part) is nn.BatchNorm2d and part.track_running_stats and not part.training
        plain = type(part) is nn.Conv2d or fixed
        if plain and places[id(part)] == 1 and not part._forward_hooks and not part._forward_pre_hooks:
            yield part, name
