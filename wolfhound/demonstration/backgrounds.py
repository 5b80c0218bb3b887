"""Six drawn backgrounds: snow, grass, sand, water, forest and a street at night, each different with every draw."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wolfhound.demonstration.canvas import OVERSAMPLING, Colour
from wolfhound.demonstration.colours import mix, pick, varied

Rng = np.random.Generator
Field = NDArray[np.float32]

BACKGROUNDS: tuple[str, ...] = ("snow", "grass", "sand", "water", "forest", "night street")

SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((96, 152, 214), (190, 216, 238)),
    ((150, 170, 192), (214, 220, 226)),
    ((120, 140, 190), (244, 204, 176)),
    ((70, 120, 190), (150, 196, 232)),
)


def draw_background(name: str, *, size: int, horizon: float, rng: Rng) -> Field:
    """Return the background `name` as float32 `[size,size,3]` on the 0..255 scale.

    `horizon` is where ground meets sky, in [0, 1] from the top; at or below 0 only ground is seen.
    """
    return _DRAWERS[name](size, horizon, rng)


def smooth_noise(rng: Rng, *, size: int, cells: tuple[int, int]) -> Field:
    """Return zero-mean noise of about unit deviation `[size,size]` that varies over `cells` (down, across)."""
    coarse = rng.standard_normal(cells).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


class _Scene:
    """A large RGB picture to draw on: `x`, `y` and widths in [0, 1] of the picture."""

    def __init__(self, size: int, sky: tuple[Colour, Colour], horizon: float) -> None:
        self.side = size * OVERSAMPLING
        self.size = size
        top, bottom = (np.array(colour, dtype=np.float32) for colour in sky)
        share = np.clip(np.linspace(0, 1 / max(horizon, 0.05), self.side, dtype=np.float32), 0, 1)[:, None]
        column = (top + (bottom - top) * share).astype(np.uint8)
        self.picture = Image.fromarray(np.ascontiguousarray(np.repeat(column[:, None], self.side, axis=1)))
        self._pen = ImageDraw.Draw(self.picture)

    def polygon(self, corners: list[tuple[float, float]], colour: Colour) -> None:
        self._pen.polygon([(x * self.side, y * self.side) for x, y in corners], fill=colour)

    def line(self, corners: list[tuple[float, float]], width: float, colour: Colour) -> None:
        pixels = max(1, round(width * self.side))
        self._pen.line([(x * self.side, y * self.side) for x, y in corners], fill=colour, width=pixels)

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        box = [(x - rx) * self.side, (y - ry) * self.side, (x + rx) * self.side, (y + ry) * self.side]
        self._pen.ellipse(box, fill=colour)

    def ridge(self, base: float, height: float, colour: Colour, rng: Rng, *, peaks: int) -> None:
        """A rolling or jagged skyline above `base`."""
        heights = rng.uniform(0.1, 1.0, peaks + 1)
        skyline = [(i / peaks, base - height * float(h)) for i, h in enumerate(heights)]
        self.polygon([(0.0, base + 0.02), *skyline, (1.0, base + 0.02)], colour)

    def ground(self, top: float, colour: Colour) -> None:
        self.polygon([(0, top), (1, top), (1, 1), (0, 1)], colour)

    def reduced(self) -> Field:
        return np.asarray(self.picture.reduce(OVERSAMPLING), dtype=np.float32).copy()


def _below(size: int, horizon: float) -> Field:
    """How far below the horizon each row lies: 0 at and above it, 1 at the bottom, `[size,1]`."""
    rows = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.asarray(np.clip((rows - horizon) / (1 - horizon), 0, 1)[:, None], dtype=np.float32)


def _pine(scene: _Scene, x: float, base: float, height: float, colour: Colour, snow: Colour | None) -> None:
    for level in range(3):
        top, low = base - height * (1 - 0.26 * level), base - height * (0.52 - 0.26 * level)
        half = height * (0.14 + 0.07 * level)
        scene.polygon([(x, top), (x + half, low), (x - half, low)], colour)
        if snow is not None:
            scene.polygon([(x, top), (x + half * 0.55, top + (low - top) * 0.5), (x - half * 0.6, low)], snow)


def _snow(size: int, horizon: float, rng: Rng) -> Field:
    scene = _Scene(size, pick(rng, SKIES), horizon)
    if rng.random() < 0.5:
        scene.ridge(horizon, 0.28, varied(rng, (132, 150, 178), 14), rng, peaks=int(rng.integers(4, 8)))
    for _ in range(int(rng.integers(0, 9))):
        green = varied(rng, (52, 84, 80), 14)
        white = (236, 242, 250) if rng.random() < 0.7 else None
        _pine(scene, float(rng.uniform(0, 1)), horizon + 0.03, float(rng.uniform(0.12, 0.4)), green, white)
    snow = varied(rng, (226, 233, 244), 7)
    scene.ground(horizon, snow)
    scene.ridge(horizon + 0.03, 0.06, snow, rng, peaks=4)
    picture = scene.reduced()
    below = _below(size, horizon) > 0
    drifts = smooth_noise(rng, size=size, cells=(9, 4)) * float(rng.uniform(4, 11))
    picture += (drifts * below)[..., None] * np.array([1.5, 1.15, 0.7], dtype=np.float32)
    if rng.random() < 0.4:
        _snowfall(picture, rng)
    return picture


def _snowfall(picture: Field, rng: Rng) -> None:
    flakes = rng.integers(0, picture.shape[0], (int(rng.integers(25, 70)), 2))
    picture[flakes[:, 0], flakes[:, 1]] += (255 - picture[flakes[:, 0], flakes[:, 1]]) * np.float32(0.75)


def _grass(size: int, horizon: float, rng: Rng) -> Field:
    scene = _Scene(size, pick(rng, SKIES), horizon)
    green = varied(rng, (98, 146, 62), 16)
    if rng.random() < 0.6:
        scene.ridge(horizon, 0.16, mix(green, (120, 150, 160), 0.45), rng, peaks=int(rng.integers(3, 7)))
    for _ in range(int(rng.integers(0, 7))):
        x, radius, leaf = float(rng.uniform(0, 1)), float(rng.uniform(0.04, 0.1)), mix(green, (28, 62, 30), 0.6)
        scene.disc(x, horizon - radius, radius, radius * 1.2, leaf)
    scene.ground(horizon, green)
    _tufts(scene, horizon, green, rng)
    picture = scene.reduced()
    below = _below(size, horizon)
    shade = smooth_noise(rng, size=size, cells=(10, 8)) * 9 - 16 * below
    picture += (shade * (below > 0))[..., None]
    return picture


def _tufts(scene: _Scene, horizon: float, green: Colour, rng: Rng) -> None:
    light, dark = mix(green, (214, 226, 110), 0.4), mix(green, (20, 60, 20), 0.5)
    flower = pick(rng, ((250, 246, 240), (246, 214, 70), (214, 110, 190)))
    depths = np.sort(rng.uniform(0, 1, 110))
    flowering = rng.random() < 0.4
    for depth, x, lean, kind in zip(depths, *rng.uniform(-1, 1, (3, 110)), strict=True):
        y, height = horizon + (1 - horizon) * depth * 1.04, 0.02 + 0.07 * depth
        across = 0.5 + 0.55 * float(x)
        blade = [(across, float(y)), (across + 0.03 * float(lean), float(y - height))]
        scene.line(blade, 0.008 + 0.006 * float(depth), light if kind > 0 else dark)
        if flowering and kind > 0.8:
            scene.disc(*blade[1], 0.012, 0.012, flower)


def _sand(size: int, horizon: float, rng: Rng) -> Field:
    scene = _Scene(size, pick(rng, SKIES), horizon)
    sand = varied(rng, (222, 190, 138), 13)
    if rng.random() < 0.7:
        scene.ridge(horizon, 0.2, mix(sand, (176, 120, 84), 0.4), rng, peaks=int(rng.integers(2, 5)))
    scene.ground(horizon, sand)
    for _ in range(int(rng.integers(0, 6))):
        x, y = float(rng.uniform(0, 1)), float(rng.uniform(horizon + 0.05, 1))
        scene.disc(x, y, float(rng.uniform(0.01, 0.035)), 0.012, mix(sand, (110, 84, 60), 0.7))
    picture = scene.reduced()
    below = _below(size, horizon)
    rows = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    warp = smooth_noise(rng, size=size, cells=(4, 5))
    ripples = np.sin(rows * float(rng.uniform(60, 95)) + warp * 2.2) * 7 * below
    picture += ((ripples + smooth_noise(rng, size=size, cells=(5, 4)) * 6) * (below > 0))[..., None]
    return picture


def _water(size: int, horizon: float, rng: Rng) -> Field:
    scene = _Scene(size, pick(rng, SKIES), horizon)
    blue = varied(rng, (44, 112, 160), 18)
    if rng.random() < 0.4:
        scene.ridge(horizon, 0.1, mix(blue, (90, 110, 120), 0.6), rng, peaks=int(rng.integers(4, 8)))
    scene.ground(horizon, blue)
    light, dark = mix(blue, (210, 232, 244), 0.5), mix(blue, (10, 40, 80), 0.4)
    for depth, x, length, kind in zip(np.sort(rng.uniform(0, 1, 70)), *rng.uniform(0, 1, (3, 70)), strict=True):
        y, half = horizon + (1 - horizon) * float(depth), (0.02 + 0.09 * float(depth)) * (0.5 + float(length))
        crest = [(float(x) - half, y), (float(x), y - 0.012 * float(depth)), (float(x) + half, y)]
        scene.line(crest, 0.006 + 0.008 * float(depth), light if kind > 0.5 else dark)
    picture = scene.reduced()
    below = _below(size, horizon)
    picture += ((smooth_noise(rng, size=size, cells=(12, 4)) * 8 - 22 * below) * (below > 0))[..., None]
    return picture


def _forest(size: int, horizon: float, rng: Rng) -> Field:
    leaf = varied(rng, (62, 92, 48), 14)
    scene = _Scene(size, (mix(leaf, (20, 40, 24), 0.4), mix(leaf, (190, 206, 140), 0.35)), max(horizon, 0.3))
    floor = varied(rng, (92, 72, 46), 12)
    scene.ground(horizon + 0.04, floor)
    for depth in np.sort(rng.uniform(0, 1, 13)) if horizon > 0 else ():
        bark = mix((112, 118, 96), varied(rng, (58, 42, 32), 8), float(depth))
        x, half = float(rng.uniform(0, 1)), 0.012 + 0.034 * float(depth)
        foot = horizon + 0.04 + 0.14 * float(depth)
        lean = float(rng.uniform(-0.03, 0.03))
        scene.polygon(
            [(x - half + lean, -0.01), (x + half + lean, -0.01), (x + half * 1.3, foot), (x - half * 1.3, foot)], bark
        )
    for x, y, radius, kind in zip(*rng.uniform(0, 1, (4, 46)), strict=True):
        colour = mix(leaf, (150, 110, 50), float(kind)) if y > 0.4 else mix(leaf, (130, 160, 70), float(kind) * 0.6)
        top = float(y) * 0.3 * max(horizon, 0) if y < 0.4 else horizon + 0.06 + float(y - 0.4) * 1.6 * (0.94 - horizon)
        scene.disc(float(x), top, 0.015 + 0.05 * float(radius), 0.01 + 0.02 * float(radius), colour)
    picture = scene.reduced()
    picture += smooth_noise(rng, size=size, cells=(9, 9))[..., None] * 9
    return picture


def _night_street(size: int, horizon: float, rng: Rng) -> Field:
    night = varied(rng, (20, 24, 48), 6)
    scene = _Scene(size, (night, mix(night, (70, 60, 96), 0.6)), max(horizon, 0.1))
    x = -0.05
    while x < 1 and horizon > 0.05:
        width, height = float(rng.uniform(0.12, 0.26)), float(rng.uniform(0.2, 0.75)) * (horizon + 0.15)
        _facade(scene, x, width, horizon - height, horizon, rng)
        x += width + float(rng.uniform(0, 0.04))
    scene.ground(horizon, varied(rng, (54, 54, 62), 7))
    scene.polygon([(0, horizon), (1, horizon), (1, horizon + 0.06), (0, horizon + 0.06)], (86, 84, 90))
    for mark in range(-1, 4):
        left = mark * 0.34 + float(rng.uniform(0, 0.06))
        y = horizon + 0.55 * (1 - horizon)
        scene.polygon([(left, y), (left + 0.16, y), (left + 0.15, y + 0.03), (left - 0.02, y + 0.03)], (186, 182, 160))
    picture = scene.reduced()
    for _ in range(int(rng.integers(1, 4))):
        lamp = (float(rng.uniform(0, 1)), float(rng.uniform(0.05, 0.6)) * max(horizon, 0.2))
        picture += _glow(size, lamp, float(rng.uniform(0.08, 0.2)), (150.0, 118.0, 58.0))
    picture += smooth_noise(rng, size=size, cells=(10, 6))[..., None] * 4
    return picture


def _facade(scene: _Scene, left: float, width: float, top: float, foot: float, rng: Rng) -> None:
    wall = varied(rng, (44, 40, 56), 10)
    scene.polygon([(left, top), (left + width, top), (left + width, foot), (left, foot)], wall)
    for y in np.arange(top + 0.04, foot - 0.05, 0.085):
        for x in np.arange(left + 0.025, left + width - 0.03, 0.065):
            if rng.random() < 0.5:
                lit = pick(rng, ((250, 208, 110), (255, 230, 160), (180, 200, 220)))
                scene.polygon([(x, y), (x + 0.03, y), (x + 0.03, y + 0.045), (x, y + 0.045)], lit)


def _glow(size: int, centre: tuple[float, float], radius: float, colour: tuple[float, float, float]) -> Field:
    ticks = (np.arange(size, dtype=np.float32) + 0.5) / size
    distance = (ticks[None, :] - centre[0]) ** 2 + (ticks[:, None] - centre[1]) ** 2
    return np.exp(-distance / radius**2)[..., None] * np.array(colour, dtype=np.float32)


_DRAWERS: dict[str, Callable[[int, float, Rng], Field]] = {
    "snow": _snow,
    "grass": _grass,
    "sand": _sand,
    "water": _water,
    "forest": _forest,
    "night street": _night_street,
}
