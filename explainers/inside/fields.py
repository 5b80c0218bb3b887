"""The receptive field of a layer: which pixels each of its places can depend on, followed through the network's graph.

Rectangles are exact for convolutions, poolings, resampling, slices and pointwise operations in any composition, up to
weights that happen to be 0. An operation that is not known to keep places apart is taken to mix them all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from explainers.cams.cam import layer_layout
from explainers.hooks import find_layer
from explainers.inside.spans import Field, Span
from explainers.inside.tracking import Tracked, UntraceableError
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError


class Box(NamedTuple):
    """A rectangle of pixels: rows top to bottom - 1, columns left to right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """What each place of a layer's feature map can depend on.

    Attributes:
        layer: its dotted name.
        grid: height and width of the layer's output.
        image_size: height and width of the images.
        rows, columns: spans in pixels, one for each row and column of the grid.
        through: the operations that mixed all places, if any.
        untraceable: why the graph could not be followed, so that the whole image is taken; None where it was.
    """

    layer: str
    grid: tuple[int, int]
    image_size: tuple[int, int]
    rows: Span
    columns: Span
    through: tuple[str, ...]
    untraceable: str | None = None

    def box(self, row: int, column: int) -> Box:
        """The field of a place as if the image went on beyond its edge."""
        rows, columns = self.rows, self.columns
        return Box(
            int(rows.first[row]), int(columns.first[column]), int(rows.last[row]) + 1, int(columns.last[column]) + 1
        )

    def visible(self, row: int, column: int) -> Box:
        """The part of the field that exists: pixels outside it do not reach this place. Without area if none do."""
        rows, columns = self.rows, self.columns
        found = Box(
            max(int(rows.seen_first[row]), 0),
            max(int(columns.seen_first[column]), 0),
            min(int(rows.seen_last[row]) + 1, self.image_size[0]),
            min(int(columns.seen_last[column]) + 1, self.image_size[1]),
        )
        return found if found.top < found.bottom and found.left < found.right else Box(0, 0, 0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the largest field, edge or not."""
        return (
            int((self.rows.last - self.rows.first).max()) + 1,
            int((self.columns.last - self.columns.first).max()) + 1,
        )

    @property
    def is_whole_image(self) -> bool:
        """Whether every place can depend on every pixel."""
        whole = Box(0, 0, *self.image_size)
        return all(self.visible(i, j) == whole for i in range(self.grid[0]) for j in range(self.grid[1]))

    @property
    def text(self) -> str:
        """The field in words, as it is printed beside patches."""
        if self.untraceable is not None:
            return f"the whole image (the graph could not be followed: {self.untraceable})"
        if self.is_whole_image:
            cause = f" (all places are mixed by {', '.join(self.through)})" if self.through else ""
            return f"the whole image{cause}"
        step = f"{self.rows.step:g} x {self.columns.step:g}"
        return f"{self.size[0]} x {self.size[1]} pixels, {step} pixels apart"


_PLACES = MappingProxyType({"channels first": (-2, -1), "channels last": (-3, -2), "tokens": None})
"""Where each layout has its rows and columns. Tokens are mixed by the time that they are tokens."""


def receptive_fields(classifier: Classifier, layer: str, *, size: tuple[int, int] | None = None) -> ReceptiveFields:
    """Return the receptive fields of a layer in pixels of images of `size` (height, width), resizing included.

    One forward pass of a black image is followed by tensors that carry, for each place, the rows and columns that it
    can depend on. The classifier is left as found.

    Args:
        size: of the images as they are given to the classifier; None takes its input size.

    Raises:
        ModelError: no such layer, one that does not run exactly once, or one without a feature map (layouts.py).
    """
    size = classifier.preprocessing.input_size if size is None else size
    with torch.inference_mode(False):
        pixels = torch.zeros(1, 3, *size, dtype=classifier.dtype, device=classifier.device)
    tracked = Tracked(pixels, Field(Span.of_pixels(size[0]), Span.of_pixels(size[1]), (-2, -1)))
    try:
        output = _output(classifier, layer, tracked)
    except UntraceableError as error:
        grid = layer_layout(classifier, _output(classifier, layer, pixels), layer=layer).grid
        return _whole_image(layer, grid, size, str(error))
    if not isinstance(output, Tracked):
        raise ModelError(f"layer {layer!r} does not depend on the pixels")
    layout, field = layer_layout(classifier, output, layer=layer), output.field
    if field.dims not in (None, _PLACES[layout.kind]):
        raise ModelError(
            f"expected layer {layer!r} to give a feature map ({layout.kind}), got shape {list(output.shape)} with rows "
            f"and columns in dimensions {list(field.dims or ())} (name the block around it)"
        )
    grid = layout.grid
    rows, columns = field.rows.spread(grid[0]), field.columns.spread(grid[1])
    return ReceptiveFields(layer, grid, size, rows, columns, field.through)


def _whole_image(layer: str, grid: tuple[int, int], size: tuple[int, int], reason: str) -> ReceptiveFields:
    rows, columns = (Span.of_pixels(side).collapsed().spread(places) for side, places in zip(size, grid, strict=True))
    return ReceptiveFields(layer, grid, size, rows, columns, (), untraceable=reason)


def _output(classifier: Classifier, layer: str, pixels: Tensor) -> Tensor:
    """Return what the layer gives in one forward pass of `pixels`."""
    found: list[Any] = []
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        frozen(classifier.module),
        _listening(find_layer(classifier.module, layer), found),
    ):
        classifier.logits(pixels)
    if len(found) != 1:
        raise ModelError(f"expected layer {layer!r} to run once in a forward pass, it ran {len(found)} times")
    if not isinstance(found[0], Tensor):
        raise ModelError(f"expected layer {layer!r} to give one tensor, got {type(found[0]).__name__}")
    return found[0]


@contextmanager
def _listening(part: nn.Module, found: list[Any]) -> Iterator[Sequence[Any]]:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        # What an in-place operation behind the layer does must not reach what is kept.
        found.append(Tracked(output.value, output.field) if isinstance(output, Tracked) else output)

    handle = part.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
