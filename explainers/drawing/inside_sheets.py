"""Sheets of filters, patches, attributions of single pixels, and LIME's segments."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from explainers.black_box.lime import LimeExplanation
from explainers.drawing.figures import Heading, Remark, Scale, Sheet, Tile
from explainers.drawing.overlay import picture
from explainers.drawing.sheets import SIGNED, contact_sheet, segment_picture
from explainers.drawing.titles import method_title
from explainers.inside.tiles import Tiles
from explainers.pixels.attributions import Attributions


def tiles_sheet(named: Mapping[str, Tiles], *, title: str, subtitle: str = "", remarks: Sequence[Remark] = ()) -> Sheet:
    """Return tiles as contact sheets side by side, each under its name and above what its shades stand for.

    Several networks' filters, or one network's in two scalings, can so be compared.
    """
    row = tuple(
        Tile(contact_sheet(tiles.pictures, columns=tiles.columns, least_side=36), tiles.scale)
        for tiles in named.values()
    )
    columns = tuple(Heading(name, f"{len(tiles)} of {_shape(tiles)}") for name, tiles in named.items())
    return Sheet(title, (row,), subtitle, columns, remarks=tuple(remarks))


def _shape(tiles: Tiles) -> str:
    return f"{tiles.pictures.shape[2]} x {tiles.pictures.shape[3]}"


def rows_sheet(
    tiles: Tiles,
    rows: Sequence[Heading],
    *,
    beside: Tiles | None = None,
    title: str,
    subtitle: str = "",
    remarks: Sequence[Remark] = (),
) -> Sheet:
    """Return tiles row by row (the patches of a channel, say), each followed by its partner of `beside` if given.

    Labels that begin with the row's name ("channel 3: 2.1 in image 7") lose it.

    Raises:
        ValueError: tiles that do not fill the rows, or partners of another number.
    """
    most = len(tiles) // max(1, len(rows))
    if not rows or most * len(rows) != len(tiles) or (beside is not None and len(beside) != len(tiles)):
        partners = "" if beside is None else f" with {len(beside)} partners"
        raise ValueError(f"expected as many tiles in each of {len(rows)} rows, got {len(tiles)} in all{partners}")
    lines = []
    for number, heading in enumerate(rows):
        line = []
        for index in range(number * most, (number + 1) * most):
            caption = tiles.labels[index].removeprefix(f"{heading.name}: ")
            line.append(Tile(_colour(tiles.pictures[index]), caption))
            if beside is not None:
                line.append(Tile(_colour(beside.pictures[index])))
        lines.append(tuple(line))
    notes = [Remark(one.scale) for one in (tiles, beside) if one is not None]
    return Sheet(title, tuple(lines), subtitle, rows=tuple(rows), remarks=(*notes, *remarks))


def _colour(tile: Tensor) -> NDArray[np.uint8]:
    """A grey or coloured tile `[1 or 3,h,w]` as a picture."""
    return picture(tile.expand(3, -1, -1))


def attributions_sheet(
    photographs: Tensor,
    methods: Sequence[Attributions],
    names: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    remarks: Sequence[Remark] = (),
) -> Sheet:
    """Return photographs `[B,3,H,W]` beside their attributions around grey, a column a method; cautions stand below.

    Raises:
        ValueError: no method, or attributions or names of another number than the photographs.
    """
    if not methods or any(len(one) != len(photographs) for one in methods) or len(names) != len(photographs):
        raise ValueError(
            f"expected attributions and names of {len(photographs)} photographs, got {[len(one) for one in methods]} "
            f"and {len(names)}"
        )
    drawn = [one.pictures().float().cpu() for one in methods]
    rows = tuple(
        (Tile(picture(photograph)), *(Tile(picture(pictures[index])) for pictures in drawn))
        for index, photograph in enumerate(photographs)
    )
    headings = (Heading("photograph"), *(Heading(method_title(one.method), one.layer) for one in methods))
    cautions = dict.fromkeys(one.caution for one in methods if one.caution)
    scale = Remark("Grey is 0; each picture is scaled by itself, its largest hundredth at full strength.")
    below = (scale, *(Remark(caution) for caution in cautions), *remarks)
    return Sheet(title, rows, subtitle, headings, tuple(Heading(name) for name in names), remarks=below)


def lime_sheet(photograph: Tensor, found: LimeExplanation, *, title: str, remarks: Sequence[Remark] = ()) -> Sheet:
    """Return a photograph's segments for each class explained, on one scale: what speaks for it and what against.

    Below each stand the probability, the weighted R^2 of the linear model, and its own prediction.
    """
    coefficients = found.fit.coefficients.float()
    limit = float(coefficients.abs().max()) or 1.0
    row = [Tile(picture(photograph), f"{int(found.segments.max()) + 1} segments ({found.segmenter})")]
    for index in range(len(found.classes)):
        score = float(found.fit.score[index])
        fit = "not measured (the probability never changed)" if score != score else f"{score:.2f}"
        own, local = float(found.probabilities[index]), float(found.local_predictions[index])
        caption = f"probability {own:.3f}\nlinear model {local:.3f}\nweighted R² {fit}"
        tinted = segment_picture(photograph, found.segments, coefficients[index], limit=limit)
        row.append(Tile(tinted, caption))
    columns = (Heading("photograph"), *(Heading(name) for name in found.class_names))
    scale = Scale(
        SIGNED,
        f"-{limit:.3g}",
        f"+{limit:.3g}",
        "What a segment adds to the probability of the class while it is shown; one scale for all classes.",
    )
    subtitle = f"LIME, {found.samples} perturbed images"
    return Sheet(title, (tuple(row),), subtitle, columns, scales=(scale,), remarks=tuple(remarks))
