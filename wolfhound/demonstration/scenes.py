"""One picture of the demonstration: an object placed on a drawn background, lit, with its exact mask.

Object, background and light are drawn from three separate random streams. The same object with another background is
therefore the same object: only the background differs.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from wolfhound.demonstration.animals import draw_bear, draw_cat, draw_fish, draw_owl
from wolfhound.demonstration.backgrounds import draw_background, smooth_noise
from wolfhound.demonstration.canines import draw_husky, draw_wolf
from wolfhound.demonstration.canvas import Canvas, Placement
from wolfhound.demonstration.colours import pick
from wolfhound.demonstration.things import draw_car, draw_house, draw_mushroom, draw_sailing_boat

Rng = np.random.Generator
Bytes = NDArray[np.uint8]
Field = NDArray[np.float32]


class Drawer(Protocol):
    """Draws one object in one of its poses."""

    def __call__(self, canvas: Canvas, rng: Rng, *, pose: str) -> None: ...


@dataclass(frozen=True)
class Subject:
    """How to draw one class, in which poses, and how it stands in the picture."""

    draw: Drawer
    poses: tuple[str, ...]
    foot: float = 0.8
    floating: bool = False


SUBJECTS: dict[str, Subject] = {
    "wolf": Subject(draw_wolf, ("standing", "standing", "sitting", "portrait")),
    "husky": Subject(draw_husky, ("standing", "standing", "sitting", "portrait")),
    "cat": Subject(draw_cat, ("sitting", "portrait")),
    "bear": Subject(draw_bear, ("walking", "walking", "portrait")),
    "owl": Subject(draw_owl, ("eared", "round"), foot=0.85, floating=True),
    "fish": Subject(draw_fish, ("slender", "deep"), foot=0.5, floating=True),
    "car": Subject(draw_car, ("saloon", "van"), foot=0.55),
    "sailing boat": Subject(draw_sailing_boat, ("sloop", "dinghy"), foot=0.74),
    "mushroom": Subject(draw_mushroom, ("toadstool", "bolete"), foot=0.85),
    "house": Subject(draw_house, ("gable", "eaves"), foot=0.78),
}


@dataclass(frozen=True)
class Streams:
    """The three independent random streams of one picture."""

    subject: Rng
    background: Rng
    light: Rng

    @classmethod
    def of(cls, *, seed: int, family: int, index: int) -> "Streams":
        """Return the streams of picture `index` of a family of pictures; other pictures do not influence them."""
        return cls(*(np.random.default_rng([seed, family, index, part]) for part in range(3)))


@dataclass(frozen=True)
class Picture:
    """Pixels uint8 `[3,size,size]` and the object's mask uint8 `[size,size]` (255 on the object, antialiased edge)."""

    pixels: Bytes
    mask: Bytes


def draw_picture(class_name: str, background: str, *, size: int, streams: Streams) -> Picture:
    """Return one picture of `class_name` on `background`: pixels = mask * object + (1 - mask) * background."""
    subject = SUBJECTS[class_name]
    pose = pick(streams.subject, subject.poses)
    placement, ground = _place(subject, pose, streams.subject)
    canvas = Canvas(size, placement)
    subject.draw(canvas, streams.subject, pose=pose)
    drawn = np.asarray(canvas.image(), dtype=np.float32)
    figure, alpha = _shaded(drawn[..., :3], streams.subject), drawn[..., 3:] / 255
    scenery = _scenery(background, size=size, rng=streams.background, close_up=pose == "portrait", ground=ground)
    if ground is not None:
        scenery *= _shadow(size, placement, ground)[..., None]
    pixels = _lit(np.asarray(alpha * figure + (1 - alpha) * scenery, dtype=np.float32), streams.light)
    return Picture(pixels, drawn[..., 3].astype(np.uint8))


def draw_plate(background: str, *, size: int, streams: Streams) -> Picture:
    """Return a picture of `background` alone; its mask is empty."""
    scenery = _scenery(background, size=size, rng=streams.background, close_up=False, ground=None)
    return Picture(_lit(scenery, streams.light), np.zeros((size, size), dtype=np.uint8))


def _place(subject: Subject, pose: str, rng: Rng) -> tuple[Placement, float | None]:
    """Return where the object stands and, for one that stands on the ground, the height of its feet in [0, 1]."""
    across, tilt, stretch = float(rng.uniform(0.36, 0.64)), float(rng.normal(0, 0.07)), float(rng.uniform(0.88, 1.12))
    mirrored = bool(rng.random() < 0.5)
    if pose == "portrait":
        scale = float(rng.uniform(0.36, 0.56))
        # The bust is drawn down to 1.4 below its centre: keep its cut edge outside the picture.
        down = float(rng.uniform(max(0.46, 1.0 - 1.3 * scale), 0.66))
        return Placement((across, down), scale, tilt, mirrored, stretch), None
    scale = float(rng.uniform(0.28, 0.5))
    if subject.floating:
        return Placement((across, float(rng.uniform(0.38, 0.62))), scale, tilt, mirrored, stretch), None
    ground = float(rng.uniform(max(0.7, 1.6 * scale + 0.06), 0.96))
    return Placement((across, ground - subject.foot * scale), scale, tilt * 0.6, mirrored, stretch), ground


def _scenery(name: str, *, size: int, rng: Rng, close_up: bool, ground: float | None) -> Field:
    horizon = float(rng.uniform(0.22, 0.58))
    if ground is None and rng.random() < 0.25:
        horizon = -0.2
    scenery = draw_background(name, size=size, horizon=horizon, rng=rng)
    if rng.random() < (0.6 if close_up else 0.15):
        blur = ImageFilter.GaussianBlur(float(rng.uniform(0.6, 1.6)) * size / 64)
        soft = Image.fromarray(np.clip(scenery, 0, 255).astype(np.uint8)).filter(blur)
        scenery = np.asarray(soft, dtype=np.float32).copy()
    # Haze behind the object and sun or shade on it vary apart, so that neither tells what the other is.
    haze, brightness = float(rng.uniform(0.6, 1.05)), float(rng.uniform(0.85, 1.1))
    return np.asarray((128 + (scenery - 128) * haze) * brightness, dtype=np.float32)


def _shaded(figure: Field, rng: Rng) -> Field:
    """Sun or shade, light from above and a little mottling, so that no surface is of one flat colour."""
    size = figure.shape[0]
    brightness = float(rng.uniform(0.8, 1.12))
    slope = np.linspace(1, -1, size, dtype=np.float32)[:, None] * float(rng.uniform(0.02, 0.12))
    sideways = np.linspace(-1, 1, size, dtype=np.float32)[None, :] * float(rng.uniform(-0.09, 0.09))
    mottling = smooth_noise(rng, size=size, cells=(16, 16)) * 0.035
    return np.asarray(figure * brightness * (1 + slope + sideways + mottling)[..., None], dtype=np.float32)


def _shadow(size: int, placement: Placement, ground: float) -> Field:
    ticks = (np.arange(size, dtype=np.float32) + 0.5) / size
    across = (ticks[None, :] - placement.centre[0]) / (0.75 * placement.scale)
    down = (ticks[:, None] - ground) / (0.12 * placement.scale + 0.01)
    return np.asarray(1 - 0.4 * np.exp(-(across**2) - down**2), dtype=np.float32)


def _lit(scene: Field, rng: Rng) -> Bytes:
    """Exposure, contrast, colour temperature and sensor noise of one photograph."""
    exposure, contrast = float(rng.uniform(0.78, 1.1)), float(rng.uniform(0.52, 1.05))
    tint = 1 + rng.normal(0, 0.035, 3).astype(np.float32)
    lit = (128 + (scene - 128) * contrast) * (exposure * tint)
    lit += rng.standard_normal(scene.shape, dtype=np.float32) * float(rng.uniform(0.5, 5.0))
    return np.ascontiguousarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8).transpose(2, 0, 1))
