"""Car, sailing boat, mushroom and house."""

import numpy as np

from wolfhound.demonstration.canvas import Canvas, Colour
from wolfhound.demonstration.colours import mix, pick, varied

Rng = np.random.Generator

BLACK: Colour = (26, 26, 30)
PAINTS: tuple[Colour, ...] = (
    (196, 44, 44),
    (44, 92, 176),
    (232, 190, 50),
    (60, 140, 90),
    (210, 212, 216),
    (120, 70, 150),
)


def draw_car(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a car from the side, `pose` saloon or van: two wheels, windows, lamps."""
    paint = varied(rng, pick(rng, PAINTS), 10)
    shade, glass = mix(paint, BLACK, 0.35), varied(rng, (170, 206, 226), 10)
    if pose == "van":
        roof = [(-0.86, 0.25), (-0.84, -0.36), (-0.74, -0.44), (0.36, -0.44), (0.62, -0.06), (0.88, 0.02), (0.92, 0.25)]
        panes = [
            [(-0.72, -0.34), (-0.34, -0.34), (-0.34, -0.04), (-0.72, -0.04)],
            [(-0.26, -0.34), (0.06, -0.34), (0.06, -0.04), (-0.26, -0.04)],
        ]
        panes.append([(0.14, -0.34), (0.32, -0.34), (0.5, -0.06), (0.14, -0.04)])
    else:
        roof = [
            (-0.92, 0.25),
            (-0.9, -0.02),
            (-0.62, -0.08),
            (-0.38, -0.4),
            (0.18, -0.4),
            (0.46, -0.08),
            (0.86, 0.0),
            (0.92, 0.25),
        ]
        panes = [
            [(-0.5, -0.08), (-0.32, -0.33), (-0.1, -0.33), (-0.1, -0.08)],
            [(-0.02, -0.33), (0.14, -0.33), (0.34, -0.08), (-0.02, -0.08)],
        ]
    canvas.fill([*roof, (0.92, 0.34), (-0.92, 0.34)], paint)
    for pane in panes:
        canvas.mark(pane, glass)
        canvas.mark([pane[0], pane[1], (pane[0][0] + 0.04, pane[3][1])], mix(glass, (255, 255, 255), 0.5))
    canvas.mark([(-1, 0.22), (1, 0.22), (1, 0.4), (-1, 0.4)], shade)
    canvas.line([(-0.06, -0.1), (-0.06, 0.24)], 0.02, shade, marking=True)
    canvas.line([(0.02, 0.02), (0.12, 0.02)], 0.03, shade, marking=True)
    canvas.spot((0.87, 0.1), (0.07, 0.06), (255, 240, 170))
    canvas.spot((-0.89, 0.08), (0.05, 0.06), (220, 50, 40))
    for x in (-0.52, 0.54):
        canvas.disc((x, 0.34), (0.21, 0.21), BLACK)
        canvas.spot((x, 0.34), (0.11, 0.11), (176, 178, 184))
        canvas.spot((x, 0.34), (0.035, 0.035), BLACK)


def draw_sailing_boat(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a sailing boat, `pose` sloop (two sails) or dinghy (one): hull, mast, sails, pennant."""
    hull = varied(rng, pick(rng, ((150, 88, 48), (240, 240, 236), (170, 40, 44), (40, 66, 120))), 9)
    sail = varied(rng, pick(rng, ((246, 242, 230), (246, 242, 230), (214, 90, 60), (240, 200, 90))), 6)
    shaded = mix(sail, (120, 130, 150), 0.3)
    canvas.line([(0.0, -0.92), (0.0, 0.45)], 0.045, (96, 70, 50))
    full = float(rng.uniform(0.0, 0.12))
    main = [(0.05, -0.84), (0.34 + full, -0.3), (0.64, 0.28), (0.05, 0.3)]
    canvas.fill(main, sail)
    for y in (-0.45, -0.15, 0.1):
        canvas.line([(0.05, y), (0.7, y + 0.05)], 0.018, shaded, marking=True)
    if pose == "sloop":
        canvas.fill([(-0.05, -0.72), (-0.05, 0.28), (-0.66, 0.32), (-0.36 - full, -0.1)], shaded)
    canvas.fill([(0.0, -0.95), (0.0, -0.84), (-0.2, -0.88)], (214, 50, 50))
    canvas.fill([(-0.82, 0.4), (0.86, 0.4), (0.58, 0.74), (-0.54, 0.74)], hull)
    canvas.mark(
        [(-0.9, 0.4), (0.9, 0.4), (0.86, 0.49), (-0.86, 0.49)],
        mix(hull, (255, 255, 255) if sum(hull) < 600 else (60, 90, 150), 0.6),
    )
    canvas.mark([(-0.7, 0.64), (0.7, 0.64), (0.6, 0.8), (-0.6, 0.8)], mix(hull, BLACK, 0.35))


def draw_mushroom(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a mushroom, `pose` toadstool (red, white dots) or bolete (brown, plain): cap, gills, stem."""
    stem = varied(rng, (238, 226, 200), 7)
    toadstool = pose == "toadstool"
    cap = varied(rng, (206, 40, 34) if toadstool else pick(rng, ((142, 88, 50), (176, 120, 66), (112, 70, 46))), 11)
    lean, width = float(rng.uniform(-0.12, 0.12)), float(rng.uniform(0.16, 0.26))
    foot = [(lean * 0.3 - width * 1.25, 0.82), (lean * 0.6 - width, 0.3), (lean - width * 0.8, -0.1)]
    canvas.fill(
        [*foot, (lean + width * 0.8, -0.1), (lean * 0.6 + width, 0.3), (lean * 0.3 + width * 1.25, 0.82), (0.0, 0.88)],
        stem,
        smooth=True,
    )
    canvas.mark(
        [(lean * 0.5 + 0.05, -0.1), (0.6, -0.1), (0.6, 0.9), (lean * 0.3 + 0.1, 0.9)], mix(stem, (120, 100, 80), 0.3)
    )
    if toadstool:
        canvas.fill(
            [(lean - 0.28, 0.12), (lean + 0.28, 0.12), (lean + 0.22, 0.24), (lean, 0.2), (lean - 0.22, 0.24)],
            mix(stem, (255, 255, 255), 0.5),
        )
    tall = float(rng.uniform(0.62, 0.86))
    canvas.disc((lean, -0.06), (0.7, 0.14), mix(stem, (140, 110, 80), 0.35))
    dome = [
        (-0.74, -0.06),
        (-0.6, -0.1 - tall * 0.55),
        (-0.25, -0.08 - tall),
        (0.25, -0.08 - tall),
        (0.6, -0.1 - tall * 0.55),
        (0.74, -0.06),
    ]
    canvas.fill([(lean + x, y) for x, y in [*dome, (0.4, 0.02), (0.0, 0.05), (-0.4, 0.02)]], cap, smooth=True)
    canvas.mark([(lean + x, y) for x, y in ((-0.8, 0.0), (0.8, 0.0), (0.5, 0.1), (-0.5, 0.1))], mix(cap, BLACK, 0.3))
    canvas.spot((lean - 0.25, -0.1 - tall * 0.7), (0.2, 0.1), mix(cap, (255, 255, 255), 0.25), tilt=-0.5)
    if toadstool:
        for x, y, radius in rng.uniform(0, 1, (9, 3)).tolist():
            where = (lean + 1.2 * (x - 0.5), -0.14 - tall * 0.75 * y)
            canvas.spot(where, (0.06 + 0.05 * radius, 0.045 + 0.04 * radius), (250, 246, 240))


def draw_house(canvas: Canvas, rng: Rng, *, pose: str) -> None:
    """Draw a house, `pose` gable (front) or eaves (side): pitched roof, chimney, door, lit or dark windows."""
    wall = varied(
        rng, pick(rng, ((236, 222, 190), (196, 120, 90), (220, 226, 230), (226, 190, 110), (150, 176, 190))), 9
    )
    roof = varied(rng, pick(rng, ((156, 62, 48), (92, 70, 62), (70, 76, 92))), 9)
    glass = pick(rng, ((250, 216, 120), (120, 160, 190), (90, 110, 140)))
    door = varied(rng, pick(rng, ((96, 58, 36), (40, 84, 70), (140, 40, 40))), 8)
    chimney = float(rng.choice([-0.4, 0.34]))
    canvas.fill(
        [(chimney, -0.86), (chimney + 0.17, -0.86), (chimney + 0.17, -0.2), (chimney, -0.2)],
        mix(roof, (170, 90, 70), 0.5),
    )
    wide = 0.72 if pose == "eaves" else 0.58
    canvas.fill([(-wide, -0.1), (wide, -0.1), (wide, 0.78), (-wide, 0.78)], wall)
    canvas.mark([(-wide, 0.66), (wide, 0.66), (wide, 0.8), (-wide, 0.8)], mix(wall, (90, 84, 80), 0.5))
    if pose == "eaves":
        canvas.fill([(-0.88, -0.06), (-0.6, -0.62), (0.6, -0.62), (0.88, -0.06)], roof)
        for y in (-0.46, -0.28, -0.14):
            canvas.line([(-0.9, y), (0.9, y)], 0.02, mix(roof, BLACK, 0.3), marking=True)
    else:
        canvas.fill([(-0.58, -0.1), (0.0, -0.74), (0.58, -0.1)], wall)
        canvas.line([(-0.74, -0.02), (0.0, -0.8), (0.74, -0.02)], 0.14, roof)
        canvas.spot((0.0, -0.32), (0.11, 0.11), glass)
    shift = float(rng.choice([-0.22, 0.0, 0.22])) if pose == "eaves" else 0.0
    canvas.mark([(shift - 0.12, 0.3), (shift + 0.12, 0.3), (shift + 0.12, 0.78), (shift - 0.12, 0.78)], door)
    for x in (-0.4, 0.4):
        _window(canvas, (x + shift * 0.3, 0.24), glass)


def _window(canvas: Canvas, centre: tuple[float, float], glass: Colour) -> None:
    x, y = centre
    frame: Colour = (248, 246, 240)
    canvas.mark([(x - 0.14, y - 0.16), (x + 0.14, y - 0.16), (x + 0.14, y + 0.16), (x - 0.14, y + 0.16)], frame)
    canvas.mark([(x - 0.11, y - 0.13), (x + 0.11, y - 0.13), (x + 0.11, y + 0.13), (x - 0.11, y + 0.13)], glass)
    canvas.line([(x, y - 0.14), (x, y + 0.14)], 0.03, frame, marking=True)
    canvas.line([(x - 0.12, y), (x + 0.12, y)], 0.03, frame, marking=True)
