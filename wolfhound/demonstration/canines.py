"""Wolf and husky: the same three poses, told apart by build, coat, face mask, eyes and tail.

The wolf is lean and grizzled with a hanging tail and amber eyes; the husky is stocky and two-toned with a white mask,
blue eyes and a tail curled over its back.
"""

from dataclasses import dataclass

import numpy as np

from wolfhound.demonstration.canvas import Canvas, Colour, Points
from wolfhound.demonstration.colours import mix, pick, varied

Rng = np.random.Generator

BLACK: Colour = (24, 22, 24)


@dataclass(frozen=True)
class Coat:
    """The colours of one animal."""

    back: Colour
    side: Colour
    belly: Colour
    face: Colour
    eye: Colour


def draw_wolf(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a wolf in `pose`: standing, sitting or portrait."""
    base = varied(rng, pick(rng, ((138, 126, 110), (122, 118, 114), (146, 122, 94), (104, 98, 94))), 9)
    pale = mix(base, (222, 208, 182), 0.45)
    eye = varied(rng, (226, 164, 34), 10)
    coat = Coat(
        back=mix(base, (52, 46, 42), 0.6), side=base, belly=pale, face=mix(base, (206, 190, 164), 0.45), eye=eye
    )
    if pose == "standing":
        _wolf_standing(canvas, rng, coat)
    elif pose == "sitting":
        _sitting_body(canvas, coat, chest=coat.belly, foot=mix(coat.side, coat.belly, 0.5))
        _grizzle(canvas, rng, coat, box=(-0.42, 0.0, 0.42, 0.6))
        _wolf_face(canvas, rng, coat, centre=(0.0, -0.42), scale=0.56)
    else:
        _ruff(canvas, rng, coat.side, coat.belly, collar=coat.back)
        _wolf_face(canvas, rng, coat, centre=(0.0, -0.05), scale=1.0)


def draw_husky(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a husky in `pose`: standing, sitting or portrait."""
    dark = varied(rng, pick(rng, ((46, 48, 56), (74, 78, 88), (66, 60, 58), (52, 50, 50), (112, 72, 50))), 7)
    white = varied(rng, (242, 243, 246), 4)
    coat = Coat(back=mix(dark, BLACK, 0.3), side=dark, belly=white, face=white, eye=varied(rng, (70, 168, 240), 10))
    if pose == "standing":
        _husky_standing(canvas, rng, coat)
    elif pose == "sitting":
        _sitting_tail(canvas, coat)
        _sitting_body(canvas, coat, chest=white, foot=white)
        _husky_face(canvas, rng, coat, centre=(0.0, -0.42), scale=0.56)
    else:
        _ruff(canvas, rng, coat.side, white, collar=coat.back)
        _husky_face(canvas, rng, coat, centre=(0.0, -0.05), scale=1.0)


def _grizzle(canvas: Canvas, rng: Rng, coat: Coat, *, box: tuple[float, float, float, float], hairs: int = 60) -> None:
    light, dark = mix(coat.side, (228, 216, 196), 0.34), mix(coat.back, BLACK, 0.15)
    for x, y, lean, kind in rng.uniform(0, 1, (hairs, 4)).tolist():
        across, down = box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])
        hair = [(across, down), (across - 0.03 - 0.05 * lean, down + 0.05)]
        canvas.line(hair, 0.022, light if kind > 0.55 else dark, marking=True)


# --- standing, seen from the side, looking right -----------------------------------------------------------------


def _legs(canvas: Canvas, rng: Rng, near: Colour, far: Colour, *, width: float, foot: float, top: float) -> None:
    stride = float(rng.uniform(-0.1, 0.14))
    for hip, sign, colour in ((0.20, -1, far), (-0.36, 1, far)):
        _leg(canvas, hip, hip + sign * stride + 0.05, colour, width=width, foot=foot, top=top, hind=hip < 0)
    for hip, sign, colour in ((0.28, 1, near), (-0.46, -1, near)):
        _leg(canvas, hip, hip + sign * stride, colour, width=width, foot=foot, top=top, hind=hip < 0)


def _leg(
    canvas: Canvas, hip: float, foot_x: float, colour: Colour, *, width: float, foot: float, top: float, hind: bool
) -> None:
    bend = -0.1 if hind else 0.02
    middle = (hip + foot_x) / 2 + bend
    thigh = width * (1.9 if hind else 1.4)
    path = [(hip, top), (hip + bend * 0.4, top + 0.18), (middle, (top + foot) / 2 + 0.08), (foot_x, foot - 0.04)]
    canvas.limb(path, [thigh, thigh * 0.85, width * 0.75, width * 0.7], colour)
    canvas.disc((foot_x + 0.035, foot - 0.025), (width * 0.62, 0.042), colour)


def _wolf_standing(canvas: Canvas, rng: Rng, coat: Coat) -> None:
    droop = float(rng.uniform(-0.08, 0.05))
    tail = [(-0.52, -0.08), (-0.68, 0.06), (-0.76, 0.28), (-0.76 + droop, 0.52)]
    canvas.limb(tail, [0.12, 0.17, 0.19, 0.06], mix(coat.side, coat.back, 0.4))
    canvas.limb(tail[2:], [0.12, 0.06], coat.back, marking=True)
    far = mix(coat.side, coat.back, 0.55)
    _legs(canvas, rng, mix(coat.side, coat.belly, 0.35), far, width=0.105, foot=0.8, top=0.08)
    torso = [(-0.57, -0.06), (-0.44, -0.2), (-0.05, -0.19), (0.2, -0.25), (0.44, -0.14), (0.48, 0.12), (0.32, 0.3)]
    torso += [(0.02, 0.25), (-0.25, 0.16), (-0.5, 0.2)]
    canvas.fill(torso, coat.side, smooth=True)
    lowered = float(rng.uniform(-0.08, 0.16))
    neck = [(0.0, -0.2), (0.28, -0.44 + lowered), (0.6, -0.4 + lowered), (0.6, -0.12 + lowered), (0.47, 0.16)]
    canvas.fill([*neck, (0.16, 0.12)], coat.side, smooth=True)
    saddle = [(-0.6, -0.24), (0.36, -0.56), (0.36, -0.2), (0.2, -0.04), (-0.1, -0.09), (-0.4, -0.05), (-0.58, 0.04)]
    canvas.mark(saddle, mix(coat.side, coat.back, 0.8))
    canvas.mark(
        [(0.62, -0.2 + lowered), (0.46, 0.2), (0.02, 0.34), (-0.28, 0.2), (0.27, 0.12)], coat.belly, smooth=True
    )
    _grizzle(canvas, rng, coat, box=(-0.55, -0.2, 0.45, 0.14), hairs=70)
    _side_head(canvas, coat, at=(0.54, -0.45 + lowered), cap=mix(coat.side, coat.back, 0.35), muzzle=0.31, ear=0.24)


def _husky_standing(canvas: Canvas, rng: Rng, coat: Coat) -> None:
    height = float(rng.uniform(-0.05, 0.04))
    tail = [(-0.5, -0.1), (-0.66, -0.22), (-0.72, -0.42), (-0.58, -0.57 + height), (-0.4, -0.54), (-0.34, -0.42)]
    canvas.limb(tail, [0.14, 0.19, 0.22, 0.22, 0.19, 0.08], coat.side)
    inner = [(-0.62, -0.3), (-0.61, -0.42), (-0.53, -0.49 + height), (-0.42, -0.48), (-0.34, -0.42)]
    canvas.limb(inner, [0.08, 0.1, 0.12, 0.14, 0.12], coat.belly, marking=True)
    _legs(canvas, rng, coat.belly, mix(coat.belly, (120, 126, 140), 0.45), width=0.135, foot=0.74, top=0.1)
    torso = [(-0.56, 0.0), (-0.48, -0.18), (-0.2, -0.2), (0.14, -0.22), (0.4, -0.14), (0.47, 0.1), (0.34, 0.3)]
    canvas.fill([*torso, (0.0, 0.3), (-0.3, 0.26), (-0.52, 0.24)], coat.side, smooth=True)
    raised = float(rng.uniform(-0.06, 0.06))
    neck = [(0.0, -0.2), (0.24, -0.5 + raised), (0.6, -0.44 + raised), (0.6, -0.12), (0.48, 0.14), (0.16, 0.1)]
    canvas.fill(neck, coat.side, smooth=True)
    under = [(0.68, -0.4 + raised), (0.46, -0.2), (0.28, 0.08), (-0.1, 0.15), (-0.4, 0.12), (-0.6, 0.2), (-0.5, 0.4)]
    canvas.mark([*under, (0.0, 0.45), (0.5, 0.4), (0.7, 0.0)], coat.belly, smooth=True)
    _side_head(canvas, coat, at=(0.52, -0.51 + raised), cap=coat.side, muzzle=0.25, ear=0.22)


def _side_head(canvas: Canvas, coat: Coat, *, at: tuple[float, float], cap: Colour, muzzle: float, ear: float) -> None:
    def placed(points: Points) -> list[tuple[float, float]]:
        return [(at[0] + x, at[1] + y) for x, y in points]

    canvas.fill(placed([(0.02, -0.14), (0.09, -0.15 - ear), (0.17, -0.1)]), mix(cap, BLACK, 0.35))
    canvas.disc(at, (0.235, 0.2), cap)
    nose = 0.14 + muzzle
    jaw = [
        (0.06, -0.16),
        (0.2, -0.07),
        (nose, -0.03),
        (nose + 0.01, 0.08),
        (nose - 0.1, 0.15),
        (0.05, 0.2),
        (-0.08, 0.16),
    ]
    canvas.fill(placed(jaw), cap)
    pale = [(0.13, -0.02), (nose + 0.04, 0.02), (nose, 0.2), (0.05, 0.26), (-0.16, 0.24), (-0.14, 0.06), (0.0, 0.08)]
    canvas.mark(placed(pale), coat.face)
    if coat.face[0] > 225:
        canvas.spot((at[0] + 0.12, at[1] - 0.12), (0.04, 0.03), coat.face)
    canvas.fill(placed([(-0.17, -0.09), (-0.08, -0.17 - ear), (0.03, -0.15)]), cap)
    canvas.mark(placed([(-0.12, -0.12), (-0.075, -0.1 - ear), (-0.02, -0.15)]), mix(coat.face, (150, 110, 100), 0.4))
    canvas.disc((at[0] + nose - 0.005, at[1] - 0.01), (0.045, 0.042), BLACK)
    canvas.line(placed([(nose - 0.02, 0.09), (0.2, 0.1)]), 0.022, BLACK, marking=True)
    canvas.spot((at[0] + 0.095, at[1] - 0.055), (0.06, 0.05), BLACK)
    canvas.spot((at[0] + 0.1, at[1] - 0.057), (0.038, 0.034), coat.eye)


# --- from the front -----------------------------------------------------------------------------------------------


def _sitting_tail(canvas: Canvas, coat: Coat) -> None:
    canvas.limb([(0.3, 0.6), (0.58, 0.56), (0.68, 0.36), (0.54, 0.22)], [0.16, 0.22, 0.2, 0.08], coat.side)
    canvas.limb([(0.64, 0.42), (0.54, 0.24)], [0.14, 0.1], coat.belly, marking=True)


def _sitting_body(canvas: Canvas, coat: Coat, *, chest: Colour, foot: Colour) -> None:
    haunch = mix(coat.side, coat.back, 0.4)
    for side in (-1, 1):
        canvas.disc((0.3 * side, 0.55), (0.2, 0.26), haunch, tilt=-0.25 * side)
        canvas.disc((0.36 * side, 0.79), (0.15, 0.06), foot)
    body = [
        (0.0, -0.4),
        (0.26, -0.2),
        (0.34, 0.15),
        (0.3, 0.55),
        (0.2, 0.78),
        (-0.2, 0.78),
        (-0.3, 0.55),
        (-0.34, 0.15),
    ]
    canvas.fill([*body, (-0.26, -0.2)], coat.side, smooth=True)
    canvas.mark([(0.0, -0.3), (0.2, -0.06), (0.2, 0.2), (0.0, 0.52), (-0.2, 0.2), (-0.2, -0.06)], chest, smooth=True)
    for side in (-1, 1):
        canvas.limb([(0.13 * side, 0.2), (0.13 * side, 0.5), (0.14 * side, 0.78)], [0.17, 0.15, 0.15], foot)
        canvas.disc((0.15 * side, 0.8), (0.105, 0.055), foot)
    canvas.line([(0.0, 0.45), (0.0, 0.8)], 0.035, mix(haunch, BLACK, 0.4), marking=True)


def _ruff(canvas: Canvas, rng: Rng, side: Colour, chest: Colour, *, collar: Colour) -> None:
    shoulders = [(0.0, -0.1), (0.5, 0.15), (0.68, 0.6), (0.86, 1.4), (-0.86, 1.4), (-0.68, 0.6), (-0.5, 0.15)]
    canvas.fill(shoulders, mix(side, collar, 0.3), smooth=True)
    canvas.mark([(-0.42, 0.3), (0.42, 0.3), (0.38, 0.9), (0.3, 1.5), (-0.3, 1.5), (-0.38, 0.9)], chest, smooth=True)
    shade = mix(chest, side, 0.3)
    for x, y in rng.uniform(-1, 1, (34, 2)).tolist():
        tuft = [(0.4 * x, 0.85 + 0.3 * y), (0.4 * x - 0.02 * x, 0.97 + 0.3 * y)]
        canvas.line(tuft, 0.026, shade, marking=True)


@dataclass(frozen=True)
class _Face:
    """A frame of reference for a head seen from the front; `turn` shifts the middle of the face sideways."""

    canvas: Canvas
    centre: tuple[float, float]
    scale: float
    turn: float

    def at(self, points: Points, *, depth: float = 0.0) -> list[tuple[float, float]]:
        shift = self.turn * depth
        return [(self.centre[0] + self.scale * (x + shift), self.centre[1] + self.scale * y) for x, y in points]

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, depth: float, tilt: float = 0) -> None:
        (where,) = self.at([(x, y)], depth=depth)
        self.canvas.spot(where, (rx * self.scale, ry * self.scale), colour, tilt=tilt)


def _ears(face: _Face, outer: Colour, inner: Colour, *, height: float, spread: float) -> None:
    for side in (-1, 1):
        ear = [(side * 0.12, -0.34), (side * spread, -0.44 - height), (side * 0.46, -0.16)]
        face.canvas.fill(face.at(ear), outer)
        hollow = [(side * 0.21, -0.36), (side * (spread - 0.02), -0.36 - height), (side * 0.39, -0.24)]
        face.canvas.mark(face.at(hollow), inner)


def _eyes(face: _Face, colour: Colour, *, slant: float, size: float) -> None:
    for side in (-1, 1):
        face.disc(side * 0.19, -0.08, 0.105 * size, 0.075 * size, BLACK, depth=0.6, tilt=-slant * side)
        face.disc(side * 0.19, -0.085, 0.068 * size, 0.058 * size, colour, depth=0.6, tilt=-slant * side)
        face.disc(side * 0.19, -0.085, 0.026 * size, 0.03 * size, BLACK, depth=0.7)


def _nose_and_mouth(face: _Face, *, y: float, dark: Colour, tongue: bool) -> None:
    if tongue:
        face.canvas.mark(
            face.at([(-0.07, y + 0.16), (0.07, y + 0.16), (0.06, y + 0.32), (-0.06, y + 0.32)], depth=1),
            (226, 112, 124),
        )
    mouth = [(-0.15, y + 0.17), (-0.05, y + 0.19), (0.0, y + 0.12), (0.05, y + 0.19), (0.15, y + 0.17)]
    face.canvas.line(face.at(mouth, depth=1), 0.03 * face.scale, dark, marking=True)
    face.disc(0.0, y, 0.105, 0.075, BLACK, depth=1)
    face.disc(-0.02, y - 0.03, 0.035, 0.015, (120, 116, 118), depth=1)


def _wolf_face(canvas: Canvas, rng: Rng, coat: Coat, *, centre: tuple[float, float], scale: float) -> None:
    face = _Face(canvas, centre, scale, turn=float(rng.uniform(-0.12, 0.12)))
    dark = mix(coat.side, coat.back, 0.55)
    _ears(face, dark, mix(coat.face, (140, 108, 96), 0.4), height=0.3, spread=0.36)
    outline = [(0.0, -0.48), (0.3, -0.4), (0.46, -0.14), (0.62, 0.16), (0.4, 0.28), (0.24, 0.5), (0.0, 0.62)]
    canvas.fill(face.at([*outline, (-0.24, 0.5), (-0.4, 0.28), (-0.62, 0.16), (-0.46, -0.14), (-0.3, -0.4)]), coat.side)
    canvas.mark(face.at([(-0.3, -0.5), (0.3, -0.5), (0.24, -0.2), (0.0, -0.08), (-0.24, -0.2)]), dark, smooth=True)
    for side in (-1, 1):
        cheek = [(0.14, 0.14), (0.3, 0.04), (0.56, 0.16), (0.4, 0.3), (0.2, 0.42)]
        canvas.mark(face.at([(side * x, y) for x, y in cheek], depth=0.5), coat.face, smooth=True)
    _face_hairs(face, rng, coat)
    canvas.mark(
        face.at([(-0.13, -0.12), (0.13, -0.12), (0.1, 0.3), (-0.1, 0.3)], depth=0.9), mix(coat.side, coat.back, 0.35)
    )
    canvas.mark(
        face.at([(-0.15, 0.22), (0.15, 0.22), (0.22, 0.5), (0.0, 0.66), (-0.22, 0.5)], depth=1), coat.face, smooth=True
    )
    _eyes(face, coat.eye, slant=0.5, size=1.0)
    _nose_and_mouth(face, y=0.33, dark=mix(coat.back, BLACK, 0.5), tongue=False)


def _face_hairs(face: _Face, rng: Rng, coat: Coat) -> None:
    light = mix(coat.side, (232, 222, 204), 0.5)
    for x, y, kind in rng.uniform(-1, 1, (30, 3)).tolist():
        hair = [(0.5 * x, 0.35 * y - 0.1), (0.56 * x, 0.35 * y - 0.02)]
        face.canvas.line(face.at(hair), 0.022 * face.scale, light if kind > 0 else coat.back, marking=True)


def _husky_face(canvas: Canvas, rng: Rng, coat: Coat, *, centre: tuple[float, float], scale: float) -> None:
    face = _Face(canvas, centre, scale, turn=float(rng.uniform(-0.12, 0.12)))
    _ears(face, coat.side, mix(coat.face, (214, 160, 150), 0.45), height=0.26, spread=0.33)
    outline = [(0.0, -0.46), (0.32, -0.38), (0.5, -0.1), (0.56, 0.16), (0.4, 0.38), (0.2, 0.54), (0.0, 0.6)]
    canvas.fill(face.at([*outline, (-0.2, 0.54), (-0.4, 0.38), (-0.56, 0.16), (-0.5, -0.1), (-0.32, -0.38)]), coat.side)
    white = [(0.0, -0.16), (0.12, -0.26), (0.3, -0.2), (0.36, 0.0), (0.48, 0.2), (0.4, 0.42), (0.0, 0.68)]
    mirrored = [(-x, y) for x, y in white[-2:0:-1]]
    canvas.mark(face.at([*white, *mirrored], depth=0.5), coat.face)
    canvas.mark(
        face.at([(-0.06, -0.4), (0.06, -0.4), (0.085, 0.0), (0.05, 0.24), (-0.05, 0.24), (-0.085, 0.0)], depth=0.8),
        coat.side,
    )
    for side in (-1, 1):
        face.disc(side * 0.17, -0.24, 0.085, 0.05, coat.face, depth=0.6, tilt=-0.4 * side)
    canvas.mark(
        face.at([(-0.16, 0.24), (0.16, 0.24), (0.2, 0.46), (0.0, 0.58), (-0.2, 0.46)], depth=1),
        mix(coat.face, (170, 176, 190), 0.25),
        smooth=True,
    )
    _eyes(face, coat.eye, slant=0.3, size=1.1)
    _nose_and_mouth(face, y=0.3, dark=mix(coat.side, BLACK, 0.5), tongue=bool(rng.random() < 0.4))
