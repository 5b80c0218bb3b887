"""An image set from shards of the WebDataset layout: tar files in which files of one stem are one sample."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.labelling import LabelKind, StatedLabel, read_labels
from wolfhound.sources.listing import SUFFIXES, Entry, Listing, name_fault
from wolfhound.sources.tar_pictures import TarMember, members

_MOST_TEXT = 1 << 20


@dataclass
class _Sample:
    """The files of one stem, by what follows the first dot of the name."""

    place: str
    files: dict[str, TarMember] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardKeys:
    """Which file of a sample is what: `label` is "cls", "txt" or "json:KEY"; `mask` a suffix such as "mask.png"."""

    label: str = "cls"
    mask: str | None = None
    attributes: tuple[str, ...] = ()


def read_webdataset(
    pattern: Path,
    *,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    keys: ShardKeys | None = None,
    labels: LabelKind = "auto",
    class_names: Sequence[str] | None = None,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return the images of all shards that `pattern` stands for, in the order of the shards' names and of their files.

    Args:
        pattern: a tar file, or a shell pattern in the last part of a path.
        cache: where decoded pixels are kept between runs.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        keys: which file of a sample is label, mask and attributes.
        labels: whether labels are class names or indices.
        class_names: the classes, in the classifier's order; by default the sorted labels that occur.
        at_least: how many images there must be in all.
        name: what the set is called; the first shard's name by default.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: names every fault at once: samples without a picture, with two, or without a label.
    """
    keys = keys or ShardKeys()
    shards = [pattern] if pattern.is_file() else sorted(pattern.parent.glob(pattern.name))
    if not shards:
        raise DataError(f"expected tar files at {pattern}, but there are none")
    samples = [sample for shard in shards for sample in _samples(shard)]
    stated = [StatedLabel(sample.place, _value(sample, keys.label)) for sample in samples]
    names, found, faults = read_labels(stated, labels, class_names)
    entries = []
    for sample, label in zip(samples, found, strict=True):
        entry = _entry(sample, label, keys)
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            faults.append(f"{sample.place}: {entry}")
    listing = Listing(tuple(entries), names, tuple(faults))
    name = name or shards[0].stem
    return assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)


def _samples(shard: Path) -> list[_Sample]:
    """Return the samples of a shard in its order. The stem ends at the first dot of the last part of the name."""
    found: dict[str, _Sample] = {}
    for member in members(shard):
        folder, _, base = member.name.rpartition("/")
        stem, _, suffix = base.partition(".")
        if not stem:  # hidden files, which archivers leave
            continue
        sample = found.setdefault(f"{folder}/{stem}", _Sample(f"{shard.name}/{folder}/{stem}".replace("//", "/")))
        if suffix.lower() in sample.files:
            raise DataError(f"{shard}: {member.name!r} is there twice")
        sample.files[suffix.lower()] = member
    return list(found.values())


def _value(sample: _Sample, key: str) -> str:
    """Return the text of one of the sample's files, or of a key of its .json; nothing where it is absent."""
    suffix, _, inner = key.partition(":")
    member = sample.files.get(suffix)
    if member is None or member.size > _MOST_TEXT:
        return ""
    try:
        text = member.read().decode("utf-8").strip()
        value = json.loads(text).get(inner) if inner else text
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{member.origin}: expected UTF-8 text{' with a JSON object' if inner else ''}: {error}"
        ) from error
    return "" if value is None else str(value)


def _entry(sample: _Sample, label: int, keys: ShardKeys) -> Entry | str:
    pictures = [m for suffix, m in sample.files.items() if f".{suffix}" in SUFFIXES and suffix != keys.mask]
    if len(pictures) != 1:
        return f"expected one picture, got {len(pictures)} (its files: {', '.join(sorted(sample.files))})"
    if fault := name_fault(pictures[0].name):
        return fault
    mask = sample.files.get(keys.mask) if keys.mask else None
    if keys.mask and mask is None:
        return f"has no .{keys.mask}"
    attributes = tuple((each, _value(sample, f"json:{each}")) for each in keys.attributes)
    if missing := [each for each, value in attributes if not value]:
        return f"its .json has no {missing[0]!r}"
    return Entry(pictures[0], label, mask, None, attributes)
