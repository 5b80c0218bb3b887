"""What an explainer says about every single pixel: attributions `[B,3,H,W]`, beside the maps `[B,h,w]` of base.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from explainers.base import Explainer, Maps, Targets, make_maps
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier

Reduction = Literal["largest", "sum"]


@dataclass(frozen=True, eq=False)
class Neurons:
    """Which unit of a layer is explained in each image, instead of a score.

    Attributes:
        layer: dotted name; its output is read as a feature map `[B,C,h,w]` (tokens become one, see layouts.py).
        channels: int64 `[B]`.
        places: int64 `[B,2]`, row and column on the layer's grid; None explains the sum over all places of the channel.
    """

    layer: str
    channels: Tensor
    places: Tensor | None = None

    @classmethod
    def of(cls, layer: str, channel: int, place: tuple[int, int] | None = None, *, count: int = 1) -> "Neurons":
        """The same unit (or, without a place, the same whole channel) in each of `count` images."""
        places = None if place is None else torch.tensor([place] * count, dtype=torch.int64)
        return cls(layer, torch.full((count,), channel, dtype=torch.int64), places)


@dataclass(frozen=True, eq=False)
class Attributions:
    """What a pixel-level method says about each image of a batch.

    Attributes:
        values: the method's own values `[B,3,H,W]`, signed, at the size of the pixels. Gradients are scores (or
            activations) per unit of pixel, on the [0, 1] scale; integrated gradients are in units of the score.
        method: name of the method.
        explained: the scores of the network, or the neurons, that the values explain.
        layer: the layer that takes part; "" where only the network's ends do.
        caution: what must be said wherever this is shown; "" for nothing.
        residual: `[B]`, sum of the values minus what they must sum to, for methods with a completeness axiom; else
        None.
    """

    values: Tensor
    method: str
    explained: Targets | Neurons
    layer: str = ""
    caution: str = ""
    residual: Tensor | None = None

    def __post_init__(self) -> None:
        bad = ~torch.isfinite(self.values).flatten(1).all(dim=1)
        if bool(bad.any()):
            images = bad.nonzero().flatten().tolist()[:10]
            raise ValueError(
                f"expected finite {self.method} attributions, got NaN or infinity for image(s) {images} "
                "(does the network give finite logits for them?)"
            )

    def __len__(self) -> int:
        return len(self.values)

    def heat(self, reduction: Reduction) -> Tensor:
        """Return one value a place, `[B,H,W]`: the largest magnitude of the colour channels, or their signed sum.

        The largest magnitude is Simonyan et al. 2014, section 3.1; the sum keeps integrated gradients complete.
        """
        return self.values.abs().amax(dim=1) if reduction == "largest" else self.values.sum(dim=1)

    def maps(self, reduction: Reduction) -> Maps:
        """Return the attributions as maps at the size of the pixels, for whatever measures or draws maps.

        Raises:
            TypeError: they explain neurons, not scores.
        """
        if isinstance(self.explained, Neurons):
            raise TypeError("expected attributions of scores, got attributions of neurons (use heat for their places)")
        size = (self.values.shape[-2], self.values.shape[-1])
        return make_maps(
            self.heat(reduction),
            size=size,
            layer=self.layer,
            method=self.method,
            targets=self.explained,
            caution=self.caution,
        )

    def pictures(self, *, share: float = 0.99) -> Tensor:
        """Return `[B,3,H,W]` in [0, 1] for the eye: 0.5 is 0, and each image's scale is its own.

        The `share` quantile of the magnitudes is drawn at full strength and what exceeds it is cut, because a few
        outliers would leave the rest grey. An image of zeros alone is grey.
        """
        magnitudes = self.values.detach().abs().double().flatten(1)
        rank = min(magnitudes.shape[1], max(1, round(share * magnitudes.shape[1])))
        scale = magnitudes.kthvalue(rank, dim=1).values
        scale = torch.where(scale > 0, scale, magnitudes.amax(dim=1)).clamp(min=torch.finfo(torch.float64).tiny)
        pictured = 0.5 + self.values.double() / (2 * scale[:, None, None, None])
        return pictured.clamp(0, 1).to(self.values.dtype)


class PixelExplainer(Explainer, Protocol):
    """An explainer whose own result is one value a pixel and colour; its maps are a stated reduction of them."""

    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return the attributions of `pixels` `[B,3,H,W]` in [0, 1]; arguments and errors as `Explainer.explain`."""


def attribute_in_batches(
    explainer: PixelExplainer,
    classifier: Classifier,
    pixels: Tensor,
    targets: Targets | None = None,
    *,
    layer: str | None = None,
    batch_size: int = 32,
) -> Attributions:
    """Return the attributions of `pixels`, `batch_size` images at a time; they do not depend on `batch_size`.

    Raises:
        As `Explainer.explain`; ValueError: no image, or a batch size below 1.
    """
    check_pixel_layout(pixels)
    if batch_size < 1 or not len(pixels):
        raise ValueError(f"expected images and a batch size of at least 1, got {len(pixels)} and {batch_size}")
    if targets is not None and len(targets.classes) != len(pixels):
        raise ValueError(f"expected {len(pixels)} target classes, one an image, got {len(targets.classes)}")
    parts = []
    for start in range(0, len(pixels), batch_size):
        chosen = slice(start, start + batch_size)
        some = None if targets is None else targets.rows(chosen)
        parts.append(explainer.attribute(classifier, pixels[chosen], some, layer=layer))
        layer = parts[0].layer or layer
    return _joined(parts)


def _joined(parts: Sequence[Attributions]) -> Attributions:
    explained = [part.explained for part in parts if isinstance(part.explained, Targets)]
    rivals = [targets.against for targets in explained if targets.against is not None]
    residuals = [part.residual for part in parts if part.residual is not None]
    return replace(
        parts[0],
        values=torch.cat([part.values for part in parts]),
        explained=Targets(torch.cat([targets.classes for targets in explained]), torch.cat(rivals) if rivals else None),
        residual=torch.cat(residuals) if residuals else None,
    )
