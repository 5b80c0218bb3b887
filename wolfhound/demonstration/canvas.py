"""A small vector canvas: shapes in an object's own coordinates, drawn large and reduced, with an exact alpha mask.

Coordinates run over about [-1, 1] in both directions, x to the right, y down. `fill` grows the object's silhouette;
`mark` colours only what is already inside it, so markings may be drawn loosely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

OVERSAMPLING = 4

Points = Sequence[tuple[float, float]]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Placement:
    """Where an object stands: centre in [0, 1] of the picture, half-size as a share of it, tilt in radians."""

    centre: tuple[float, float] = (0.5, 0.5)
    scale: float = 0.45
    tilt: float = 0.0
    mirrored: bool = False
    stretch: float = 1.0

    def matrix(self, side: int) -> NDArray[np.float64]:
        """Return the affine map `[2,3]` from object coordinates to pixels of a picture of `side` pixels."""
        unit = self.scale * side
        across = -unit * self.stretch if self.mirrored else unit * self.stretch
        c, s = cos(self.tilt), sin(self.tilt)
        return np.array([[c * across, -s * unit, self.centre[0] * side], [s * across, c * unit, self.centre[1] * side]])


class Canvas:
    """Draws one object at `OVERSAMPLING` times `size`; `image()` reduces it to RGBA."""

    def __init__(self, size: int, placement: Placement) -> None:
        self.size = size
        side = size * OVERSAMPLING
        self._matrix = placement.matrix(side)
        self._unit = placement.scale * side
        self._colour = Image.new("RGB", (side, side))
        self._alpha = Image.new("L", (side, side))
        self._on_colour = ImageDraw.Draw(self._colour)
        self._on_alpha = ImageDraw.Draw(self._alpha)

    def fill(self, points: Points, colour: Colour, *, smooth: bool = False) -> None:
        """Paint a polygon, or the smooth closed curve through `points`, as part of the object."""
        corners = self._pixels(points, smooth)
        self._on_colour.polygon(corners, fill=colour)
        self._on_alpha.polygon(corners, fill=255)

    def mark(self, points: Points, colour: Colour, *, smooth: bool = False) -> None:
        """Colour a polygon or smooth curve where the object already is."""
        self._on_colour.polygon(self._pixels(points, smooth), fill=colour)

    def disc(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, *, tilt: float = 0) -> None:
        """Paint an ellipse as part of the object; `tilt` in radians."""
        self.fill(_ellipse(centre, radii, tilt), colour)

    def spot(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, *, tilt: float = 0) -> None:
        """Colour an ellipse where the object already is; `tilt` in radians."""
        self.mark(_ellipse(centre, radii, tilt), colour)

    def limb(self, points: Points, widths: Sequence[float], colour: Colour, *, marking: bool = False) -> None:
        """Paint a rounded limb along `points` whose width at each of them is given; with `marking` colour only."""
        outline = _limb_outline(points, widths)
        (self.mark if marking else self.fill)(outline, colour, smooth=True)

    def line(self, points: Points, width: float, colour: Colour, *, marking: bool = False) -> None:
        """Paint a line of even `width` (object units) as part of the object; with `marking` colour only."""
        corners = self._pixels(points, False)
        pixels = max(1, round(width * self._unit))
        self._on_colour.line(corners, fill=colour, width=pixels, joint="curve")
        if not marking:
            self._on_alpha.line(corners, fill=255, width=pixels, joint="curve")

    def image(self) -> Image.Image:
        """Return the object as RGBA of `size` x `size`, colours not premultiplied, edges antialiased."""
        whole = self._colour.copy()
        whole.putalpha(self._alpha)
        return whole.resize((self.size, self.size), Image.Resampling.BOX)

    def _pixels(self, points: Points, smooth: bool) -> list[tuple[float, float]]:
        corners = np.asarray(points, dtype=np.float64)
        if smooth:
            corners = closed_curve(corners)
        placed = corners @ self._matrix[:, :2].T + self._matrix[:, 2]
        return [(x, y) for x, y in placed.tolist()]


def closed_curve(points: NDArray[np.float64], *, steps: int = 5) -> NDArray[np.float64]:
    """Return the closed Catmull-Rom curve through `points` `[N,2]` (Catmull & Rom 1974), `[N*steps,2]`."""
    neighbours = np.stack([np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2)])
    curve: NDArray[np.float64] = np.einsum("sk,knd->nsd", _catmull_rom(steps), neighbours).reshape(-1, 2)
    return curve


@lru_cache
def _catmull_rom(steps: int) -> NDArray[np.float64]:
    t = np.arange(steps) / steps
    weights = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    basis: NDArray[np.float64] = np.stack(weights, axis=1) / 2
    return basis


def _ellipse(centre: tuple[float, float], radii: tuple[float, float], tilt: float) -> list[tuple[float, float]]:
    c, s = cos(tilt), sin(tilt)
    corners = []
    for step in range(20):
        x, y = radii[0] * cos(step * pi / 10), radii[1] * sin(step * pi / 10)
        corners.append((centre[0] + c * x - s * y, centre[1] + s * x + c * y))
    return corners


def _limb_outline(points: Points, widths: Sequence[float]) -> list[tuple[float, float]]:
    path = np.asarray(points, dtype=np.float64)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (np.asarray(widths)[:, None] / 2)
    outline = np.concatenate([path + across, path[::-1] - across[::-1]])
    return [(x, y) for x, y in outline.tolist()]
