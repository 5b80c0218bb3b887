"""What every explainer takes and gives: targets in, maps out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from wolfhound.checks import check_labels, check_pixel_layout
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError
from wolfhound.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Targets:
    """Which score of each image is explained: the logit of a class, or its lead over another class.

    Attributes:
        classes: int64 `[B]`, class a of each image.
        against: int64 `[B]`, class b of each image, or None. The score is z_a, or the contrast z_a - z_b.
    """

    classes: Tensor
    against: Tensor | None = None

    @classmethod
    def of(cls, classes: int | Sequence[int], *, against: int | None = None, count: int | None = None) -> "Targets":
        """Return targets for one class an image, or for one class repeated `count` times; `against` holds for all.

        >>> Targets.of(3, against=5, count=2).classes
        tensor([3, 3])
        """
        chosen = [classes] * (1 if count is None else count) if isinstance(classes, int) else list(classes)
        rival = None if against is None else torch.full((len(chosen),), against, dtype=torch.int64)
        return cls(torch.tensor(chosen, dtype=torch.int64), rival)

    def scores(self, logits: Tensor) -> Tensor:
        """Return the score of each image, `[B]`, from logits `[B,K]`. Differentiable.

        Raises:
            TypeError: classes of another dtype than int64.
            ValueError: not exactly one class an image, a class outside [0, K), or a contrast of a class with itself.
        """
        count, classes = logits.shape
        check_labels(self.classes, count=count, classes=classes, name="target classes")
        rows = torch.arange(count, device=logits.device)
        scores = logits[rows, self.classes.to(logits.device)]
        if self.against is None:
            return scores
        check_labels(self.against, count=count, classes=classes, name="classes to contrast with")
        if bool((self.classes.cpu() == self.against.cpu()).any()):
            raise ValueError(
                "expected a contrast of two different classes, got a class against itself (its score is 0)"
            )
        return scores - logits[rows, self.against.to(logits.device)]

    def rows(self, chosen: slice) -> "Targets":
        """The targets of a slice of the images."""
        return Targets(self.classes[chosen], None if self.against is None else self.against[chosen])


@dataclass(frozen=True, eq=False)
class Maps:
    """What an explainer says about each image of a batch.

    Attributes:
        raw: the method's own values `[B,h,w]`, signed, on the layer's grid. Every measurement uses these.
        normalised: `[B,H,W]` in [0, 1] at the size of the pixels, for the eye: strength between images is lost.
        layer: dotted name of the layer explained; "" for methods that know no layer.
        method: registry name of the method.
        targets: the scores explained, one an image.
        caution: what must be said wherever the maps are shown ("" for nothing), for example that the method is known to
            fail a sanity check.
    """

    raw: Tensor
    normalised: Tensor
    layer: str
    method: str
    targets: Targets
    caution: str = ""

    def __len__(self) -> int:
        return len(self.raw)


class Explainer(Protocol):
    """Explains a classifier's scores by maps. Hyper-parameters and seeds are fields of the (frozen) explainer."""

    @property
    def name(self) -> str:
        """The registry name."""

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the maps of `pixels` `[B,3,H,W]` in [0, 1].

        Args:
            classifier: left exactly as found: hooks, modes, gradients, parameters, also after an exception.
            pixels: not changed.
            targets: the scores to explain; None takes each image's highest logit (the maps say which).
            layer: dotted name of the layer; None takes the explainer's default. Methods that know no layer refuse one
                (`refuse_layer`).

        Raises:
            TypeError: pixels or targets of a wrong dtype.
            ValueError: pixels of a wrong shape, targets that fit not the images or classes, a map that is not finite.
            ModelError: no such layer, or a layer that the method cannot explain.
        """


def refuse_layer(name: str, layer: str | None) -> None:
    """Raise ModelError where a layer is named to a method that explains the pixels and knows none."""
    if layer is not None:
        raise ModelError(f"{name} takes no layer, it explains the pixels themselves, got {layer!r} (leave it out)")


def targets_or_predicted(targets: Targets | None, logits: Tensor) -> Targets:
    """Return `targets`, or each image's highest class where there are none."""
    return Targets(logits.detach().argmax(dim=1).cpu()) if targets is None else targets


def normalise(raws: Sequence[Tensor], *, size: tuple[int, int]) -> Tensor:
    """Return maps `[B,H,W]` in [0, 1] from raw maps `[B,h,w]`, one tensor a layer, as pytorch-grad-cam 1.5 does.

    Per layer: negative values to 0, (M - min) / (1e-7 + max(M - min)) per image, bilinear upsampling (align_corners
    False); then the mean over the layers, and the same rule again. A map without a positive value becomes all 0.
    """
    grown = [
        functional.interpolate(_unit_range(raw)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        for raw in raws
    ]
    return _unit_range(torch.stack(grown).mean(dim=0))


def _unit_range(maps: Tensor) -> Tensor:
    positive = maps.clamp(min=0)
    shifted = positive - positive.amin(dim=(1, 2), keepdim=True)
    return shifted / (1e-7 + shifted.amax(dim=(1, 2), keepdim=True))


def make_maps(
    raw: Tensor, *, size: tuple[int, int], layer: str, method: str, targets: Targets, caution: str = ""
) -> Maps:
    """Return Maps with the normalised map derived from the raw one.

    Raises:
        ValueError: a raw value that is not finite.
    """
    bad = ~torch.isfinite(raw).flatten(1).all(dim=1)
    if bool(bad.any()):
        images = bad.nonzero().flatten().tolist()[:10]
        raise ValueError(
            f"expected finite {method} maps of layer {layer!r}, got NaN or infinity for image(s) {images} "
            "(does the network give finite logits for them?)"
        )
    return Maps(raw, normalise([raw], size=size), layer, method, targets, caution)


def fuse(maps: Sequence[Maps]) -> Tensor:
    """Return one normalised map an image `[B,H,W]` from the maps of several layers, by their mean (see `normalise`).

    Raises:
        ValueError: no maps, or maps of different images, methods or sizes.
    """
    kinds = {(m.method, len(m), tuple(m.normalised.shape[-2:])) for m in maps}
    if len(kinds) != 1:
        raise ValueError(f"expected maps of one method over the same images, got {sorted(kinds)}")
    return normalise([m.raw for m in maps], size=(maps[0].normalised.shape[-2], maps[0].normalised.shape[-1]))


def explain_in_batches(
    explainer: Explainer,
    classifier: Classifier,
    pixels: Tensor,
    targets: Targets | None = None,
    *,
    layer: str | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> Maps:
    """Return the maps of `pixels`, computed `batch_size` images at a time; they do not depend on `batch_size`.

    Raises:
        As `Explainer.explain`; ValueError: no image, or a batch size below 1.
    """
    check_pixel_layout(pixels)
    if batch_size < 1 or not len(pixels):
        raise ValueError(f"expected images and a batch size of at least 1, got {len(pixels)} and {batch_size}")
    if targets is not None and len(targets.classes) != len(pixels):
        raise ValueError(f"expected {len(pixels)} target classes, one an image, got {len(targets.classes)}")
    parts = []
    with progress(f"{explainer.name} of {classifier.name}", len(pixels)) as advance:
        for start in range(0, len(pixels), batch_size):
            chosen = slice(start, start + batch_size)
            some = None if targets is None else targets.rows(chosen)
            parts.append(explainer.explain(classifier, pixels[chosen], some, layer=layer))
            layer = parts[0].layer or layer  # found once, by the first batch
            advance(len(parts[-1]))
    return _joined(parts)


def _joined(parts: Sequence[Maps]) -> Maps:
    rivals = [part.targets.against for part in parts]
    against = None if rivals[0] is None else torch.cat([rival for rival in rivals if rival is not None])
    return replace(
        parts[0],
        raw=torch.cat([part.raw for part in parts]),
        normalised=torch.cat([part.normalised for part in parts]),
        targets=Targets(torch.cat([part.targets.classes for part in parts]), against),
    )
