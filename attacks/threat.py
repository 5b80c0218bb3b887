"""What the attacker may do: the norm and size of the perturbation, the goal and the knowledge."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "patch"]
Place = Literal["centre", "top left", "top right", "bottom left", "bottom right"]
Knowledge = Literal["white-box", "transfer", "black-box score", "black-box label"]

LARGEST_L2 = math.sqrt(3 * 224 * 224)
"""The diagonal of the pixel cube of a 224x224 image: beyond it, an L2 bound forbids nothing there."""


@dataclass(frozen=True)
class Threat:
    """How large a perturbation may be, on the pixel scale [0, 1], what it is for and what the attacker knows.

    An epsilon of 0 is allowed: it is the control that must change nothing.

    "patch" bounds where a perturbation is, not how strong: epsilon is the share of the image's area, and the
    perturbation lies within the largest square of at most that area at `place`; every pixel outside it stays as it is.
    As a perturbation is added and clipped to [0, 1], values of -1 and +1 replace whatever the image shows there by
    black and by full brightness of the channel: an opaque sticker.

    >>> Threat("linf", 10 / 255).text
    'linf 10/255, untargeted, white-box'
    >>> Threat("l2", 0.5, target=3).text
    'l2 0.5, target class 3, white-box'
    >>> Threat("patch", 0.05).text
    'patch 0.05 of the area (centre), untargeted, white-box'

    Raises:
        ValueError: an unknown norm, place or knowledge, an epsilon outside its bounds, or a negative target.
    """

    norm: Norm
    epsilon: float
    target: int | None = None
    knowledge: Knowledge = "white-box"
    place: Place = "centre"

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ValueError(f"expected a norm out of {', '.join(get_args(Norm))}, got {self.norm!r}")
        if self.knowledge not in get_args(Knowledge):
            raise ValueError(f"expected knowledge out of {', '.join(get_args(Knowledge))}, got {self.knowledge!r}")
        if self.place not in get_args(Place):
            raise ValueError(f"expected a place out of {', '.join(get_args(Place))}, got {self.place!r}")
        self._check_epsilon()
        if self.target is not None and (isinstance(self.target, bool) or int(self.target) < 0):
            raise ValueError(f"expected a target class index of at least 0, got {self.target!r}")

    def _check_epsilon(self) -> None:
        largest, name = _BOUNDS[self.norm]
        if isinstance(self.epsilon, bool) or not isinstance(self.epsilon, int | float):
            raise ValueError(f"expected {name} as a number, got {self.epsilon!r}")
        if not 0 <= self.epsilon <= largest:
            scaled = self.norm != "patch" and largest < self.epsilon <= 255 * largest
            hint = f" (did you mean {self.epsilon:g}/255?)" if scaled else ""
            raise ValueError(f"expected {name} in (0, {largest:.4g}], or 0 as a control, got {self.epsilon}{hint}")

    @property
    def text(self) -> str:
        """The threat as it is printed: norm, size, goal and knowledge."""
        goal = "untargeted" if self.target is None else f"target class {self.target}"
        where = f" of the area ({self.place})" if self.norm == "patch" else ""
        return f"{self.norm} {self.epsilon_text}{where}, {goal}, {self.knowledge}"

    @property
    def epsilon_text(self) -> str:
        """Epsilon as the shorter of a decimal and a multiple of 1/255; the share of a patch as a decimal."""
        if self.norm == "patch":
            return f"{self.epsilon:.10g}"
        return min(f"{self.epsilon:.10g}", f"{255 * self.epsilon:.10g}/255", key=len)

    def size(self, delta: Tensor) -> Tensor:
        """Return the norm of each perturbation of `delta` `[...,3,H,W]`, float64 `[...]`, on the pixel scale.

        For a patch, the share of the pixels that are not left as they are.
        """
        if self.norm == "patch":
            return delta.detach().ne(0).any(dim=-3).to(torch.float64).mean(dim=(-2, -1))
        exact = delta.detach().to(torch.float64).flatten(start_dim=-3)
        return exact.abs().amax(dim=-1) if self.norm == "linf" else exact.square().sum(dim=-1).sqrt()

    def l2_radius(self, numbers: int) -> float:
        """Return the L2 length of the largest perturbation of that many numbers (for linf, of a corner of its cube)."""
        if self.norm == "patch":
            return math.sqrt(self.epsilon * numbers)
        return self.epsilon if self.norm == "l2" else self.epsilon * math.sqrt(numbers)

    def project(self, delta: Tensor) -> Tensor:
        """Return the nearest perturbation (L2 distance) of at most epsilon to each of `delta` `[...,3,H,W]`."""
        if self.norm == "linf":
            return delta.clamp(-self.epsilon, self.epsilon)
        if self.norm == "patch":
            return torch.where(self.inside(delta), delta.clamp(-1, 1), 0)
        shrink = self.epsilon / _lengths(delta)
        return delta * shrink.clamp_max(1.0)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the direction of unit size in this norm along which `gradient` `[...,3,H,W]` rises fastest.

        linf: the sign; L2: the gradient over its length; patch: the sign within it. A zero gradient stays zero.
        """
        if self.norm == "patch":
            return torch.where(self.inside(gradient), gradient.sign(), 0)
        if self.norm == "linf":
            return gradient.sign()
        return gradient / _lengths(gradient)

    def box(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """Return where a patch lies on an image of `size` (height, width): top, left and side, in pixels.

        >>> Threat("patch", 0.1, place="bottom right").box((16, 16))
        (11, 11, 5)
        """
        height, width = size
        side = min(math.isqrt(math.floor(self.epsilon * height * width * (1 + 1e-9))), height, width)
        top, left = _CORNERS[self.place]
        return round(top * (height - side)), round(left * (width - side)), side

    def inside(self, like: Tensor) -> Tensor:
        """Return which pixels of `[...,3,H,W]` a patch may change, bool `[H,W]` on the same device."""
        top, left, side = self.box((like.shape[-2], like.shape[-1]))
        mask = torch.zeros(like.shape[-2:], dtype=torch.bool, device=like.device)
        mask[top : top + side, left : left + side] = True
        return mask


_BOUNDS = {"linf": (1.0, "epsilon"), "l2": (LARGEST_L2, "an L2 epsilon"), "patch": (1.0, "a patch's share of the area")}
_CORNERS = {
    "centre": (0.5, 0.5),
    "top left": (0.0, 0.0),
    "top right": (0.0, 1.0),
    "bottom left": (1.0, 0.0),
    "bottom right": (1.0, 1.0),
}


def _lengths(vectors: Tensor) -> Tensor:
    """Return the L2 length of each of `[...,3,H,W]` as `[...,1,1,1]`, never 0, so that it may divide.

    Summed in double precision: in single precision the sum over an image of 224x224 is off by up to 4e-5.
    """
    exact = torch.linalg.vector_norm(vectors.flatten(start_dim=-3), dim=-1, dtype=torch.float64)
    lengths: Tensor = exact[..., None, None, None].to(vectors.dtype)
    return lengths.clamp_min(torch.finfo(vectors.dtype).tiny)
