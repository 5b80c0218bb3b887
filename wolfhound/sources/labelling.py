"""What the labels of a listing mean: names of classes, or indices among them. Nothing is guessed where both fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LabelKind = Literal["auto", "name", "index"]


@dataclass(frozen=True)
class StatedLabel:
    """A label as it was written, and where: "line 7", say, as faults begin."""

    place: str
    text: str


def read_labels(
    rows: Sequence[StatedLabel], kind: LabelKind, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int], list[str]]:
    """Return the class names, the label of each row (0 where it has none) and a fault for each that has none.

    `kind`: whether labels are class names or class indices; "auto" takes the reading that suits every row, and refuses
    to choose between two that disagree. Without `class_names` they are the sorted labels that occur.
    """
    if class_names is None:
        return _labels_from_names(rows, kind)
    places = _places(class_names)
    as_names = [_by_name(row.text, places) for row in rows]
    as_indices = [_by_index(row.text, class_names) for row in rows]
    fits_names = all(isinstance(label, int) for label in as_names)
    fits_indices = all(isinstance(label, int) for label in as_indices)
    if kind == "auto" and fits_names and fits_indices and as_names != as_indices:
        fault = "the labels can be read as names and as indices, with different results (say labels: name or index)"
        return tuple(class_names), [0] * len(rows), [fault]
    if kind == "auto":
        numbers = sum(row.text.isdecimal() for row in rows)
        kind = "index" if not fits_names and (fits_indices or 2 * numbers > len(rows)) else "name"
    chosen = as_indices if kind == "index" else as_names
    faults = [f"{row.place}: {label}" for row, label in zip(rows, chosen, strict=True) if isinstance(label, str)]
    return tuple(class_names), [label if isinstance(label, int) else 0 for label in chosen], faults


def _labels_from_names(rows: Sequence[StatedLabel], kind: LabelKind) -> tuple[tuple[str, ...], list[int], list[str]]:
    names = tuple(sorted({row.text for row in rows if row.text}))
    faults = [f"{row.place}: has no label" for row in rows if not row.text]
    if kind == "index" or (kind == "auto" and names and all(name.isdecimal() for name in names)):
        faults.append("the labels are numbers: give the class names that they count (class_names)")
    place = {name: index for index, name in enumerate(names)}
    return names or ("",), [place.get(row.text, 0) for row in rows], faults


def _places(class_names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, name in enumerate(class_names):
        places.setdefault(name, []).append(index)
    return places


def _by_name(label: str, places: dict[str, list[int]]) -> int | str:
    found = places.get(label, [])
    if len(found) == 1:
        return found[0]
    return f"the label {label!r} is the name of classes {found}" if found else f"the label {label!r} is no class name"


def _by_index(label: str, class_names: Sequence[str]) -> int | str:
    if not label.isdecimal():
        return f"the label {label!r} is no class index"
    if int(label) >= len(class_names):
        return f"the label {label} is outside the {len(class_names)} classes (indices begin at 0)"
    return int(label)
