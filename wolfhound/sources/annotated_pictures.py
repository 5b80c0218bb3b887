"""From annotated objects to one labelled, masked picture each: the rule that COCO and VOC sets share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wolfhound.errors import DataError
from wolfhound.sources.annotated import DrawnMask, Mask, union
from wolfhound.sources.listing import Entry, PictureFile, name_fault


@dataclass(frozen=True)
class AnnotatedObject:
    """One object: its category, how many pixels it covers, and its shape."""

    category: str
    area: float
    description: str = field(repr=False)
    draw: Callable[[int, int], Mask] = field(repr=False)


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture with its objects, as the annotation states it: size is width and height."""

    path: Path
    origin: str
    size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]


@dataclass(frozen=True)
class Rule:
    """Which pictures are taken: those whose main object is of one of `categories` and covers at least `least_share`."""

    categories: tuple[str, ...]
    least_share: float = 0.0


def labelled(pictures: Sequence[AnnotatedPicture], rule: Rule) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Return an entry for each picture that the rule takes, and every fault.

    The label is the category whose objects cover the largest area together, among all categories; the mask is the union
    of that category's objects. A picture whose main category is not asked for, that has no object at all, or whose
    object is too small is left out: its label would be a matter of opinion.
    """
    place = {name: index for index, name in enumerate(rule.categories)}
    entries, faults = [], []
    for picture in pictures:
        main = _main(picture)
        if main is None or main[0] not in place or main[1] < rule.least_share * picture.size[0] * picture.size[1]:
            continue
        if fault := name_fault(picture.origin):
            faults.append(fault)
            continue
        try:
            found = PictureFile.found(picture.path, picture.origin)
        except (OSError, ValueError) as error:
            faults.append(f"{picture.origin}: {getattr(error, 'strerror', None) or error}")
            continue
        mine = [each for each in picture.objects if each.category == main[0]]
        description = "|".join(each.description for each in mine)
        mask = DrawnMask(found, picture.size, description, union([each.draw for each in mine]))
        entries.append(Entry(found, place[main[0]], mask))
    return tuple(entries), tuple(faults)


def _main(picture: AnnotatedPicture) -> tuple[str, float] | None:
    """Return the category that covers most of a picture and how many pixels; of equal ones the first by name."""
    areas: dict[str, float] = {}
    for each in picture.objects:
        areas[each.category] = areas.get(each.category, 0.0) + each.area
    return max(sorted(areas.items()), key=lambda item: item[1]) if areas else None


def chosen_categories(offered: Sequence[str], wanted: Sequence[str], *, where: Path) -> tuple[str, ...]:
    """Return the categories in the order asked for; by default all that the annotations name.

    Raises:
        DataError: some are not there, or are there twice.
    """
    if len(set(offered)) < len(offered):
        raise DataError(f"{where}: expected categories of different names, got {list(offered)}")
    missing = [name for name in wanted if name not in offered]
    if missing or len(set(wanted)) < len(wanted):
        raise DataError(f"{where}: expected different categories out of {list(offered)}, got {list(wanted)}")
    return tuple(wanted or offered)
