"""Cat, bear, owl and fish."""

import numpy as np

from wolfhound.demonstration.canvas import Canvas, Colour
from wolfhound.demonstration.colours import mix, pick, varied

Rng = np.random.Generator

BLACK: Colour = (24, 22, 24)
PINK: Colour = (226, 150, 150)


def draw_cat(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a cat in `pose`, sitting or portrait: round head, triangular ears, whiskers, often tabby stripes."""
    fur = varied(rng, pick(rng, ((222, 146, 70), (150, 140, 132), (70, 66, 70), (232, 222, 206), (170, 130, 90))), 10)
    stripe = mix(fur, (70, 42, 24), 0.5) if rng.random() < 0.7 else fur
    chest = mix(fur, (252, 248, 242), 0.7 if rng.random() < 0.6 else 0.15)
    eye = varied(rng, pick(rng, ((150, 200, 70), (216, 190, 60), (96, 180, 150))), 10)
    if pose == "sitting":
        _cat_body(canvas, rng, fur, stripe, chest)
        _cat_head(canvas, rng, (0.0, -0.4), 0.6, (fur, stripe, chest, eye))
    else:
        shoulders = [(0.0, 0.1), (0.45, 0.35), (0.62, 0.8), (0.66, 1.5), (-0.66, 1.5), (-0.62, 0.8), (-0.45, 0.35)]
        canvas.fill(shoulders, fur, smooth=True)
        canvas.spot((0.0, 0.9), (0.26, 0.4), chest)
        _cat_head(canvas, rng, (0.0, -0.02), 1.0, (fur, stripe, chest, eye))


def _cat_body(canvas: Canvas, rng: Rng, fur: Colour, stripe: Colour, chest: Colour) -> None:
    lift = float(rng.uniform(-0.5, 0.2))
    canvas.limb(
        [(0.2, 0.7), (0.52, 0.7), (0.68, 0.5 + lift * 0.4), (0.6, 0.2 + lift * 0.6)], [0.1, 0.12, 0.12, 0.09], fur
    )
    canvas.limb([(0.67, 0.36 + lift * 0.5), (0.6, 0.2 + lift * 0.6)], [0.12, 0.1], stripe, marking=True)
    body = [(0.0, -0.3), (0.22, -0.1), (0.32, 0.25), (0.42, 0.6), (0.3, 0.8), (-0.3, 0.8), (-0.42, 0.6), (-0.32, 0.25)]
    canvas.fill([*body, (-0.22, -0.1)], fur, smooth=True)
    for level in range(4):
        y = 0.05 + 0.15 * level
        for side in (-1, 1):
            band = [(side * 0.5, y), (side * (0.2 - 0.02 * level), y + 0.05), (side * 0.5, y + 0.06)]
            canvas.mark(band, stripe)
    canvas.spot((0.0, 0.12), (0.16, 0.26), chest)
    for side in (-1, 1):
        canvas.limb([(side * 0.1, 0.3), (side * 0.11, 0.75)], [0.15, 0.14], mix(fur, chest, 0.3))
        canvas.disc((side * 0.13, 0.79), (0.1, 0.055), chest)
    canvas.line([(0.0, 0.4), (0.0, 0.8)], 0.025, mix(fur, BLACK, 0.5), marking=True)


def _cat_head(
    canvas: Canvas, rng: Rng, centre: tuple[float, float], scale: float, coat: tuple[Colour, Colour, Colour, Colour]
) -> None:
    fur, stripe, chest, eye = coat
    turn = float(rng.uniform(-0.07, 0.07))

    def at(x: float, y: float, shift: float = 0.0) -> tuple[float, float]:
        return (centre[0] + scale * (x + turn * shift), centre[1] + scale * y)

    for side in (-1, 1):
        canvas.fill([at(side * 0.1, -0.3), at(side * 0.42, -0.74), at(side * 0.52, -0.12)], fur)
        canvas.mark([at(side * 0.22, -0.34), at(side * 0.4, -0.62), at(side * 0.46, -0.22)], PINK)
    canvas.disc(at(0, 0), (0.55 * scale, 0.46 * scale), fur)
    for x in (-0.14, 0.0, 0.14):
        canvas.mark([at(x - 0.035, -0.5, 0.4), at(x + 0.035, -0.5, 0.4), at(x * 0.8, -0.2, 0.6)], stripe)
    for side in (-1, 1):
        canvas.mark([at(side * 0.6, 0.0), at(side * 0.36, 0.06), at(side * 0.6, 0.1)], stripe)
        canvas.spot(at(side * 0.1, 0.2, 1), (0.15 * scale, 0.12 * scale), mix(fur, chest, 0.8))
        canvas.spot(at(side * 0.23, -0.05, 0.6), (0.125 * scale, 0.115 * scale), mix(fur, BLACK, 0.75))
        canvas.spot(at(side * 0.23, -0.05, 0.6), (0.1 * scale, 0.092 * scale), eye)
        canvas.spot(at(side * 0.23, -0.05, 0.7), (0.028 * scale, 0.08 * scale), BLACK)
    canvas.mark([at(-0.065, 0.1, 1), at(0.065, 0.1, 1), at(0.0, 0.18, 1)], (214, 110, 118))
    canvas.line([at(-0.12, 0.26, 1), at(0.0, 0.2, 1), at(0.12, 0.26, 1)], 0.025 * scale, BLACK, marking=True)
    whisker = mix(fur, (255, 255, 255), 0.85) if sum(fur) < 540 else mix(fur, BLACK, 0.7)
    for side in (-1, 1):
        for slope in (-0.04, 0.06):
            canvas.line([at(side * 0.2, 0.18, 1), at(side * 0.62, 0.16 + slope)], 0.02 * scale, whisker)


def draw_bear(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a brown or black bear in `pose`, walking or portrait: massive, round-eared, pale muzzle."""
    fur = varied(rng, pick(rng, ((110, 70, 42), (84, 54, 36), (52, 44, 42), (138, 96, 60))), 9)
    muzzle = mix(fur, (214, 178, 132), 0.55)
    if pose == "walking":
        _bear_walking(canvas, rng, fur, muzzle)
        return
    shoulders = [(0.0, 0.0), (0.6, 0.2), (0.9, 0.8), (0.95, 1.5), (-0.95, 1.5), (-0.9, 0.8), (-0.6, 0.2)]
    canvas.fill(shoulders, mix(fur, BLACK, 0.15), smooth=True)
    turn = float(rng.uniform(-0.08, 0.08))
    for side in (-1, 1):
        canvas.disc((side * 0.42, -0.42), (0.19, 0.19), fur)
        canvas.spot((side * 0.41, -0.4), (0.1, 0.1), mix(fur, BLACK, 0.45))
    canvas.disc((0, 0), (0.6, 0.54), fur)
    canvas.spot((turn, 0.22), (0.29, 0.24), muzzle)
    canvas.spot((turn * 1.2, 0.1), (0.14, 0.09), BLACK)
    canvas.line([(turn, 0.15), (turn, 0.28)], 0.03, BLACK, marking=True)
    canvas.line([(turn - 0.13, 0.33), (turn, 0.28), (turn + 0.13, 0.33)], 0.03, BLACK, marking=True)
    for side in (-1, 1):
        canvas.spot((side * 0.22 + turn * 0.6, -0.1), (0.06, 0.065), BLACK)
        canvas.spot((side * 0.22 + turn * 0.6 - 0.015, -0.12), (0.018, 0.018), (240, 236, 230))


def _bear_walking(canvas: Canvas, rng: Rng, fur: Colour, muzzle: Colour) -> None:
    shade, stride = mix(fur, BLACK, 0.3), float(rng.uniform(-0.1, 0.1))
    canvas.disc((-0.74, 0.0), (0.07, 0.08), fur)
    for hip, sign, colour in ((-0.4, 1, shade), (0.2, -1, shade), (-0.52, -1, fur), (0.32, 1, fur)):
        foot = hip + sign * stride
        canvas.limb([(hip, 0.1), ((hip + foot) / 2, 0.45), (foot, 0.74)], [0.34, 0.25, 0.22], colour)
        canvas.disc((foot + 0.05, 0.74), (0.16, 0.07), colour)
    hump = [(-0.72, 0.1), (-0.64, -0.2), (-0.3, -0.36), (0.05, -0.36), (0.28, -0.5), (0.5, -0.36), (0.56, 0.05)]
    canvas.fill([*hump, (0.42, 0.36), (-0.1, 0.42), (-0.6, 0.38)], fur, smooth=True)
    head = float(rng.uniform(-0.06, 0.16))
    canvas.disc((0.5, -0.46 + head), (0.1, 0.1), shade)
    canvas.fill([(0.3, -0.42), (0.66, -0.44 + head), (0.7, -0.05 + head), (0.4, 0.14)], fur, smooth=True)
    canvas.disc((0.64, -0.24 + head), (0.23, 0.22), fur)
    canvas.limb([(0.72, -0.18 + head), (0.93, -0.13 + head)], [0.26, 0.19], muzzle)
    canvas.disc((0.97, -0.19 + head), (0.05, 0.05), BLACK)
    canvas.line([(0.98, -0.08 + head), (0.8, -0.06 + head)], 0.022, BLACK, marking=True)
    canvas.disc((0.54, -0.43 + head), (0.1, 0.1), fur)
    canvas.spot((0.54, -0.42 + head), (0.055, 0.055), shade)
    canvas.spot((0.73, -0.29 + head), (0.035, 0.035), BLACK)


def draw_owl(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw an owl, `pose` eared or round: facial discs, great eyes, speckled breast, on a branch."""
    feather = varied(rng, pick(rng, ((142, 104, 66), (120, 110, 100), (176, 138, 92), (96, 74, 56))), 9)
    pale, dark = mix(feather, (246, 232, 206), 0.6), mix(feather, (44, 30, 22), 0.55)
    bark = varied(rng, (92, 66, 44), 8)
    canvas.limb([(-0.85, 0.72), (0.0, 0.76), (0.85, 0.7)], [0.12, 0.15, 0.1], bark)
    canvas.limb([(0.0, 0.5), (0.0, 0.95)], [0.3, 0.2], dark)
    if pose == "eared":
        for side in (-1, 1):
            canvas.fill([(side * 0.12, -0.62), (side * 0.46, -0.92), (side * 0.46, -0.42)], dark)
    body = [
        (0.0, -0.72),
        (0.38, -0.6),
        (0.52, -0.25),
        (0.5, 0.25),
        (0.3, 0.66),
        (-0.3, 0.66),
        (-0.5, 0.25),
        (-0.52, -0.25),
    ]
    canvas.fill([*body, (-0.38, -0.6)], feather, smooth=True)
    canvas.spot((0.0, 0.28), (0.33, 0.4), pale)
    for row in range(5):
        for column in range(-2, 3):
            x, y = 0.13 * column + 0.06 * (row % 2), 0.02 + 0.12 * row
            canvas.mark([(x - 0.04, y), (x + 0.04, y), (x, y + 0.07)], dark)
    for side in (-1, 1):
        wing = [(side * 0.5, -0.1), (side * 0.58, 0.25), (side * 0.36, 0.68), (side * 0.28, 0.2)]
        canvas.fill(wing, mix(feather, dark, 0.55), smooth=True)
        for claw in (0.1, 0.18):
            canvas.disc((side * claw, 0.69), (0.04, 0.06), (226, 178, 60))
    _owl_face(canvas, rng, pale, dark)


def _owl_face(canvas: Canvas, rng: Rng, pale: Colour, dark: Colour) -> None:
    eye = varied(rng, pick(rng, ((250, 190, 40), (244, 140, 30))), 6)
    for side in (-1, 1):
        canvas.spot((side * 0.2, -0.38), (0.23, 0.23), dark)
        canvas.spot((side * 0.2, -0.38), (0.2, 0.2), pale)
        canvas.spot((side * 0.19, -0.38), (0.125, 0.125), eye)
        canvas.spot((side * 0.18, -0.38), (0.065, 0.065), BLACK)
        canvas.spot((side * 0.18 - 0.02, -0.41), (0.02, 0.02), (250, 250, 250))
        canvas.mark([(0.0, -0.42), (side * 0.44, -0.66), (side * 0.4, -0.54)], dark)
    canvas.mark([(-0.055, -0.34), (0.055, -0.34), (0.0, -0.17)], (214, 160, 60))


def draw_fish(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a fish, `pose` slender or deep, from the side: tail fin, dorsal fin, gill, scales or bands."""
    body = varied(rng, pick(rng, ((240, 130, 40), (70, 140, 200), (230, 200, 60), (150, 170, 180), (210, 80, 90))), 12)
    fin, band = mix(body, (90, 40, 30), 0.3), mix(body, (252, 252, 252), 0.75)
    deep = 0.44 if pose == "deep" else 0.28
    bend = float(rng.uniform(-0.1, 0.1))
    tail = [(-0.45, 0.02), (-0.9, -0.34 + bend), (-0.78, 0.0 + bend), (-0.9, 0.36 + bend)]
    canvas.fill(tail, fin)
    canvas.fill([(-0.34, -deep * 0.55), (-0.05, -deep - 0.24), (0.3, -deep * 0.7), (0.1, 0.0)], fin, smooth=True)
    canvas.fill([(-0.12, deep * 0.7), (-0.2, deep + 0.2), (0.12, deep * 0.8)], fin)
    outline = [(0.86, 0.0), (0.66, -deep * 0.6), (0.2, -deep), (-0.3, -deep * 0.66), (-0.62, -0.07)]
    canvas.fill([*outline, *((x, -y) for x, y in outline[:0:-1])], body, smooth=True)
    canvas.mark([(0.9, 0.1), (-0.6, 0.06), (-0.3, deep), (0.6, deep)], mix(body, band, 0.5), smooth=True)
    if rng.random() < 0.5:
        for x in (0.22, -0.14, -0.44):
            canvas.mark(
                [(x, -0.6), (x + 0.11, -0.6), (x + 0.15, 0.0), (x + 0.09, 0.6), (x - 0.02, 0.6), (x + 0.02, 0.0)], band
            )
    else:
        for x in np.arange(-0.45, 0.3, 0.14):
            canvas.line([(x, -deep * 0.7), (x + 0.07, 0.0), (x, deep * 0.7)], 0.025, fin, marking=True)
    canvas.line([(0.46, -deep * 0.6), (0.38, 0.0), (0.46, deep * 0.6)], 0.035, mix(fin, BLACK, 0.3), marking=True)
    canvas.mark([(0.28, 0.04), (0.02, 0.16), (0.06, -0.08)], fin)
    canvas.spot((0.62, -deep * 0.22), (0.085, 0.085), (248, 246, 236))
    canvas.spot((0.635, -deep * 0.22), (0.048, 0.048), BLACK)
    canvas.line([(0.84, 0.06), (0.72, 0.1)], 0.03, BLACK, marking=True)
