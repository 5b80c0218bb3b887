"""Read a layer's output as a feature map `[B,C,h,w]`, whether the network lays it out by channels or by tokens."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from wolfhound.errors import ModelError

MOST_PREFIX_TOKENS = 8
"""Tokens without a place that a sequence may start with: a class token, a distillation token, registers."""


@dataclass(frozen=True)
class Layout:
    """How a layer lays out its places and channels.

    Attributes:
        kind: "channels first" `[B,C,h,w]`, "channels last" `[B,h,w,C]` (Swin), or "tokens" `[B,prefix + h w,C]` (ViT).
        grid: height and width in places.
        prefix: leading tokens without a place; they are no part of the feature map.
    """

    kind: Literal["channels first", "channels last", "tokens"]
    grid: tuple[int, int]
    prefix: int = 0

    @property
    def channel_dim(self) -> int:
        """The dimension of the channels in the layer's own layout."""
        return 1 if self.kind == "channels first" else -1

    def feature_map(self, values: Tensor) -> Tensor:
        """Return the layer's output, or its gradient, as `[B,C,h,w]`."""
        if self.kind == "channels first":
            return values
        if self.kind == "channels last":
            return values.permute(0, 3, 1, 2)
        return values[:, self.prefix :].transpose(1, 2).reshape(len(values), values.shape[2], *self.grid)


def layout_of(shape: tuple[int, ...] | torch.Size, *, size: tuple[int, int], part: nn.Module) -> Layout | None:
    """Return the layout of an output of that shape, or None if it is no feature map.

    Args:
        shape: of the output, batch first.
        size: height and width of the network's input, whose proportions a grid of places must have.
        part: the layer. It decides only where the numbers do not, as for `[B,7,7,7]`.
    """
    if len(shape) == 4:
        first, last = _fits(shape[2], shape[3], size), _fits(shape[1], shape[2], size)
        if last and (not first or _ends_channels_last(part)):
            return Layout("channels last", (shape[1], shape[2]))
        return Layout("channels first", (shape[2], shape[3]))
    return _token_layout(shape[1], size) if len(shape) == 3 else None


def required_layout(
    shape: tuple[int, ...] | torch.Size, *, size: tuple[int, int], layer: str, part: nn.Module
) -> Layout:
    """Return `layout_of`.

    Raises:
        ModelError: the output is no feature map.
    """
    layout = layout_of(shape, size=size, part=part)
    if layout is None:
        raise ModelError(
            f"expected layer {layer!r} to give a feature map [B, C, h, w], [B, h, w, C] or tokens [B, N, C] on a grid "
            f"of the input's proportions, got shape {list(shape)} (name a convolutional layer or a block of tokens)"
        )
    return layout


def _fits(height: int, width: int, size: tuple[int, int]) -> bool:
    """Whether a grid has the proportions of the input; of an oblong one up to a place of rounding at the border."""
    tolerance = 0 if size[0] == size[1] else max(size)
    return abs(height * size[1] - width * size[0]) <= tolerance


def _ends_channels_last(part: nn.Module) -> bool:
    """Dense layers and layer norms act on the last dimension; with a convolution inside, channels come first again."""
    inside = list(part.modules())
    dense = any(isinstance(other, nn.Linear | nn.LayerNorm) for other in inside)
    return dense and not any(isinstance(other, nn.Conv2d) for other in inside)


def _token_layout(tokens: int, size: tuple[int, int]) -> Layout | None:
    """Return the finest grid of square patches that leaves at most `MOST_PREFIX_TOKENS` tokens in front."""
    for side in range(1, min(size) + 1):
        grid = (size[0] // side, size[1] // side)
        prefix = tokens - grid[0] * grid[1]
        if prefix > MOST_PREFIX_TOKENS:
            return None
        if prefix >= 0 and grid[0] * grid[1] > 1:
            return Layout("tokens", grid, prefix)
    return None
