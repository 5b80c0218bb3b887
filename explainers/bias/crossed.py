"""Every object on every background: how much of the decision's variance is due to the background, and does one suffice?

F objects times B plates are composed on the fly, a batch at a time, so nothing but the two sets is ever in memory.
Ledger, one row a cell: image, label, plate, background (the plate's kind), prediction, margin (z_label - max z_j over
the other classes asked about).
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from explainers.bias.probe import Asker, Positions, load_objects
from explainers.bias.verdict import Question
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Interval, Rate


@dataclass(frozen=True, eq=False)
class CrossedDesign:
    """What a crossed design measured.

    Attributes:
        background_share, object_share, interaction_share: of the margin's variance within the classes, in [0, 1]; they
            sum to 1. None where the margin never varies.
        background_interval: bootstrap over objects and over plates, at once.
        fooled: objects whose prediction some plate changes, against the prediction on the image as it is.
        fooled_by_own_kind: the same with plates of the image's own kind alone (placebo).
        plates_of_own_kind, plates_of_other_kinds: how many an object met; more plates find more.
        cells: the ledger; `objects`: one row an object (image, label, background, prediction_own, changed_own_kind,
            changed_other_kind: on how many plates the prediction changed).
    """

    background_share: float | None
    object_share: float | None
    interaction_share: float | None
    background_interval: Interval | None
    fooled: Rate
    fooled_by_own_kind: Rate
    plates_of_own_kind: tuple[int, int]
    plates_of_other_kinds: tuple[int, int]
    cells: pd.DataFrame = field(repr=False)
    objects: pd.DataFrame = field(repr=False)


def crossed_design(
    classifier: Classifier,
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    probed: pd.DataFrame,
    *,
    question: Question,
    size: int,
    seed: int,
    among_classes: bool = False,
    batch_size: int = 64,
    progress: Progress = silent,
) -> CrossedDesign:
    """Return a crossed design of at most `size` objects and `size` plates, drawn evenly over classes and over kinds.

    Args:
        classifier: left exactly as found.
        foregrounds, backgrounds: the sets of a background probe; probed: its ledger, which names the images and their
            predictions as they are.
        size: 2 or more of each.
        seed: of the draws and the bootstrap.

    Raises:
        DataError: a mask without any object; ValueError: a size below 2.
    """
    if size < 2:
        raise ValueError(f"expected at least 2 objects and 2 plates, got size={size}")
    where = {content: position for position, content in enumerate(foregrounds.hashes)}
    rows = _evenly(probed["label"].tolist(), size, np.random.default_rng([seed, 7]))
    kinds = backgrounds.groups or ()
    usable = [i for i, kind in enumerate(kinds) if kind in question.kinds]
    plates = np.array(usable)[_evenly([kinds[i] for i in usable], size, np.random.default_rng([seed, 8]))]
    drawn = probed.iloc[rows]
    objects = np.array([where[content] for content in drawn["image"]], dtype=np.int64)
    with (
        progress(f"crossed design of {classifier.name}", len(objects) * len(plates)) as advance,
        torch.no_grad(),
        frozen(classifier.module),
    ):
        ask = Asker(classifier, question, among_classes=among_classes, advance=advance)
        cells = crossed_answers(ask, foregrounds, backgrounds, objects, plates, batch_size=batch_size)
    return _concluded(cells, drawn, seed=seed)


def _evenly(groups: list[int] | list[str], count: int, rng: np.random.Generator) -> Positions:
    """Return at most `count` positions, drawn at random, as many of each group as of every other while they last."""
    shuffled = rng.permutation(len(groups))
    turn: dict[int | str, int] = {}
    order = []
    for position in shuffled.tolist():
        turn[groups[position]] = turn.get(groups[position], -1) + 1
        order.append((turn[groups[position]], position))
    ranked = sorted(range(len(order)), key=lambda i: (order[i][0], i))
    return np.sort(np.array([order[i][1] for i in ranked[:count]], dtype=np.int64))


def crossed_answers(
    ask: Asker, foregrounds: ImageSet, backgrounds: ImageSet, objects: Positions, plates: Positions, *, batch_size: int
) -> pd.DataFrame:
    """Return the cells of every object on every plate, one object after the other.

    A batch holds some objects on some plates, composed by one broadcast; no composite is kept.
    """
    across = min(len(plates), batch_size)
    down = max(1, batch_size // across)
    predictions = np.zeros((len(objects), len(plates)), dtype=np.int64)
    margins = np.zeros((len(objects), len(plates)))
    for first in range(0, len(plates), across):
        columns = slice(first, first + across)
        scenes = backgrounds.load(plates[columns])[None]
        for start in range(0, len(objects), down):
            rows = slice(start, start + down)
            chosen = objects[rows]
            images, masks = foregrounds.load(chosen)[:, None], load_objects(foregrounds, chosen)[:, None]
            # One pass over the pixels; exact where the mask is 0 or 1.
            composed = torch.lerp(scenes.expand(len(chosen), *scenes.shape[1:]), images, masks)
            found = ask(composed.flatten(0, 1))
            shape, labels = (len(chosen), scenes.shape[1]), np.repeat(foregrounds.labels[chosen], scenes.shape[1])
            predictions[rows, columns] = found.predictions.reshape(shape)
            margins[rows, columns] = found.margins(labels, ask.question).reshape(shape)
    return _cells(foregrounds, backgrounds, objects, plates, predictions, margins)


def _cells(
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    objects: Positions,
    plates: Positions,
    predictions: Positions,
    margins: NDArray[np.float64],
) -> pd.DataFrame:
    kinds = backgrounds.groups or ()
    return pd.DataFrame(
        {
            "image": np.repeat([foregrounds.hashes[i] for i in objects], len(plates)),
            "label": np.repeat(foregrounds.labels[objects], len(plates)),
            "plate": np.tile([backgrounds.hashes[i] for i in plates], len(objects)),
            "background": np.tile([kinds[i] for i in plates], len(objects)),
            "prediction": predictions.ravel(),
            "margin": margins.ravel(),
        }
    )


def _concluded(cells: pd.DataFrame, drawn: pd.DataFrame, *, seed: int) -> CrossedDesign:
    objects = _changes(cells, drawn)
    own, others = (objects[f"plates_{which}"] for which in ("own_kind", "other_kind"))
    shares = variance_shares(cells)
    return CrossedDesign(
        background_share=None if shares is None else shares[0],
        object_share=None if shares is None else shares[1],
        interaction_share=None if shares is None else shares[2],
        background_interval=None if shares is None else _share_interval(cells, seed=seed),
        fooled=Rate(int((objects["changed_other_kind"] > 0).sum()), len(objects), "objects of the crossed design"),
        fooled_by_own_kind=Rate(
            int((objects["changed_own_kind"] > 0).sum()), len(objects), "objects of the crossed design"
        ),
        plates_of_own_kind=(int(own.min()), int(own.max())),
        plates_of_other_kinds=(int(others.min()), int(others.max())),
        cells=cells,
        objects=objects,
    )


def _changes(cells: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for entry, block in zip(drawn.to_dict("records"), _blocks(cells), strict=True):
        changed = block["prediction"].to_numpy() != entry["prediction_own"]
        own = block["background"].to_numpy() == entry["background"]
        rows.append(
            {name: entry[name] for name in ("image", "label", "background", "prediction_own")}
            | {"changed_own_kind": int((changed & own).sum()), "plates_own_kind": int(own.sum())}
            | {"changed_other_kind": int((changed & ~own).sum()), "plates_other_kind": int((~own).sum())}
        )
    return pd.DataFrame(rows)


def _blocks(cells: pd.DataFrame) -> list[pd.DataFrame]:
    return [block for _, block in cells.groupby("image", sort=False)]


def variance_shares(cells: pd.DataFrame) -> tuple[float, float, float] | None:
    """Return the shares of background, object and their interaction in the margin's variance, within classes.

    Two-way analysis of variance without replication, random effects (Searle, Casella & McCulloch 1992, section 4.2):
    sigma_b^2 = (MS_b - MS_i) / F, sigma_o^2 = (MS_o - MS_i) / B, sigma_i^2 = MS_i, negative estimates set to 0. It is
    made within each class, where the margin means the same thing, and the components are averaged over classes by their
    numbers of objects. A classifier answers without noise, so what is left is interaction: the background matters to
    some objects only. None where nothing varies, or no class has two objects.
    """
    return _shares([_table(block) for _, block in cells.groupby("label")])


def _table(block: pd.DataFrame) -> NDArray[np.float64]:
    """Return the margins of a class, objects down and plates across."""
    margins: NDArray[np.float64] = block["margin"].to_numpy(np.float64).reshape(block["image"].nunique(), -1)
    return margins


def _shares(tables: list[NDArray[np.float64]]) -> tuple[float, float, float] | None:
    kept = [table for table in tables if min(table.shape) >= 2]
    if not kept:
        return None
    components = np.average([_components(table) for table in kept], axis=0, weights=[len(table) for table in kept])
    total = float(components.sum())
    if total <= 1e-20:
        return None
    background, of_object, interaction = (float(part / total) for part in components)
    return background, of_object, interaction


def _components(table: NDArray[np.float64]) -> tuple[float, float, float]:
    rows, columns = table.shape
    mean, down, across = table.mean(), table.mean(axis=1), table.mean(axis=0)
    of_object = columns * float(((down - mean) ** 2).sum()) / (rows - 1)
    background = rows * float(((across - mean) ** 2).sum()) / (columns - 1)
    left = table - down[:, None] - across[None] + mean
    interaction = float((left**2).sum()) / ((rows - 1) * (columns - 1))
    return max(0.0, background - interaction) / rows, max(0.0, of_object - interaction) / columns, interaction


def _share_interval(cells: pd.DataFrame, *, seed: int, resamples: int = 500) -> Interval | None:
    """Percentile bootstrap of the background's share: objects within classes and plates are drawn anew together."""
    tables, rng = [_table(block) for _, block in cells.groupby("label")], np.random.default_rng([seed, 9])
    plates = tables[0].shape[1]
    found = []
    for _ in range(resamples):
        across = rng.integers(0, plates, plates)
        drawn = [table[rng.integers(0, len(table), len(table))][:, across] for table in tables]
        shares = _shares(drawn)
        if shares is not None:
            found.append(shares[0])
    if len(found) < 0.95 * resamples:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(float(low), float(high), 0.95, "bootstrap")
