"""Which methods, classes and layers are asked for: names in, checked values out, with the nearest names in errors."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.base import Targets
from explainers.cams.cam import RULES
from explainers.registry import EXPLAINERS
from wolfhound.errors import PlanError, fault_list
from wolfhound.plugins import is_plugin

FAMILY = "cam-family"
PREDICTED = "predicted"


def split_list(values: Sequence[str]) -> list[str]:
    """Return the items of options that may be repeated, or hold several items with commas between, each once.

    >>> split_list(["a,b", "c", "a"])
    ['a', 'b', 'c']
    """
    return list(dict.fromkeys(item.strip() for value in values for item in value.split(",") if item.strip()))


def chosen_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Return registry names; "cam-family" stands for all that share one pass.

    Raises:
        PlanError: names that there are not, each with the nearest ones.
    """
    faults = [_unknown("method", name, [FAMILY, *EXPLAINERS]) for name in names if not _offered(name)]
    if faults or not names:
        raise PlanError(fault_list(f"expected methods out of {FAMILY}, {', '.join(EXPLAINERS)}:", faults))
    return tuple(dict.fromkeys(one for name in names for one in (RULES if name == FAMILY else (name,))))


def _offered(name: str) -> bool:
    return name in (FAMILY, *EXPLAINERS) or is_plugin(name)


def class_index(text: str, names: Sequence[str]) -> int:
    """Return the class of a name (whatever its case, "_" for blanks too) or of an index in digits.

    A name counts before an index, so classes that are called by digits are found by them.

    Raises:
        PlanError: there is none, with the nearest names; or several are called so, with their indices.
    """
    wanted = _plain(text)
    found = [index for index, name in enumerate(names) if name == text]
    found = found or [index for index, name in enumerate(names) if _plain(name) == wanted]
    if len(found) > 1:
        places = ", ".join(str(index) for index in found)
        raise PlanError(f"{len(found)} classes are called {text!r}: say which by its index ({places})")
    if found:
        return found[0]
    if text.isascii() and text.isdigit():
        if int(text) < len(names):
            return int(text)
        raise PlanError(f"expected a class index below {len(names)}, got {text}")
    raise PlanError(_unknown("class", text, names))


@dataclass(frozen=True)
class ClassChoice:
    """One or several rows of an explanation: a fixed class, or each image's own highest ones from `first` to `last`."""

    fixed: int | None
    ranks: tuple[int, ...] = ()


def chosen_classes(texts: Sequence[str], names: Sequence[str]) -> tuple[ClassChoice, ...]:
    """Return what "predicted", "top-3", a name or an index stand for.

    Raises:
        PlanError: every class that there is not.
    """
    choices, faults = [], []
    for text in texts:
        top = re.fullmatch(r"top-?([0-9]+)", text)
        if text == PREDICTED or top:
            count = int(top[1]) if top else 1
            if not 1 <= count <= len(names):
                faults.append(f"expected top-1 to top-{len(names)}, got {text!r}")
            choices.append(ClassChoice(None, tuple(range(count))))
            continue
        try:
            choices.append(ClassChoice(class_index(text, names)))
        except PlanError as error:
            faults.append(str(error))
    if faults:
        raise PlanError(faults[0] if len(faults) == 1 else fault_list(f"{len(faults)} classes are not there:", faults))
    return tuple(choices)


def class_rows(choices: Sequence[ClassChoice], logits: Tensor) -> list[list[int]]:
    """Return the classes to explain of each image, in the order asked for, each class once."""
    order = logits.argsort(dim=1, descending=True, stable=True).tolist()
    rows = []
    for ranked in order:
        wanted = [[c.fixed] if c.fixed is not None else [ranked[rank] for rank in c.ranks] for c in choices]
        rows.append(list(dict.fromkeys(index for part in wanted for index in part)))
    return rows


def slot_targets(rows: Sequence[Sequence[int]], slot: int, *, against: int | None) -> Targets:
    """Return the targets of the `slot`-th class of every image; an image with fewer classes repeats its last one.

    Raises:
        PlanError: the rival is itself a class to be explained.
    """
    classes = [row[min(slot, len(row) - 1)] for row in rows]
    if against is not None and against in classes:
        raise PlanError(
            f"expected another class than the one contrasted with (--against), got class {against} on both sides"
        )
    chosen = torch.tensor(classes, dtype=torch.int64)
    return Targets(chosen, None if against is None else torch.full_like(chosen, against))


def _plain(text: str) -> str:
    return text.strip().casefold().replace("_", " ")


def _unknown(what: str, text: str, names: Sequence[str]) -> str:
    plain = {_plain(name): name for name in names}
    close = difflib.get_close_matches(_plain(text), plain, n=4, cutoff=0.5)
    close += [name for name in plain if _plain(text) and _plain(text) in name and name not in close][:4]
    hint = f" (did you mean {', '.join(repr(plain[name]) for name in close)}?)" if close else ""
    return f"there is no {what} {text!r}{hint}"
