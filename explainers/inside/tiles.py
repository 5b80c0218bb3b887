"""Small pictures with labels, all of one size: what the figures of filters, activations and patches are made of."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Tiles:
    """Pictures to be laid out in a grid.

    Attributes:
        pictures: `[N,C,h,w]` in [0, 1], C = 3 (RGB) or 1 (grey).
        labels: one a picture.
        scale: in words, what 0, 0.5 and 1 stand for.
        columns: how many a row, where the rows mean something; None leaves it to the figure.
    """

    pictures: Tensor = field(repr=False)
    labels: tuple[str, ...]
    scale: str
    columns: int | None = None

    def __post_init__(self) -> None:
        if self.pictures.ndim != 4 or self.pictures.shape[1] not in (1, 3):
            raise ValueError(f"expected pictures [N, 1 or 3, h, w], got {list(self.pictures.shape)}")
        if len(self.labels) != len(self.pictures):
            raise ValueError(f"expected {len(self.pictures)} labels, one a picture, got {len(self.labels)}")

    def __len__(self) -> int:
        return len(self.labels)


def around_grey(values: Tensor, *, largest: Tensor | float) -> Tensor:
    """Return 0.5 + values / (2 largest), `[N,C,h,w]` in [0, 1]: 0 is the middle grey, always.

    `largest` is one number, or one for each picture `[N]`; where it is 0 the picture is plain grey.

    >>> around_grey(torch.tensor([-2.0, 0.0, 1.0]).view(1, 1, 1, 3), largest=2.0).flatten().tolist()
    [0.0, 0.5, 0.75]
    """
    limit = torch.as_tensor(largest, dtype=values.dtype, device=values.device).reshape(-1, 1, 1, 1)
    shares = torch.where(limit > 0, values / limit.clamp(min=torch.finfo(values.dtype).tiny), torch.zeros_like(values))
    return (0.5 + shares / 2).clamp(0, 1)
