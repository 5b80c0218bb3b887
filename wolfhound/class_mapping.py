"""Which output of a classifier stands for which class of an image set: matched by name, and said in words."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError, fault_list

_SHOWN = 8


@dataclass(frozen=True)
class ClassMapping:
    """For each class of the set the output that stands for it, and a sentence on how that is known."""

    outputs: tuple[int, ...] = field(repr=False)
    text: str

    @property
    def reorders(self) -> bool:
        """Whether the outputs come in another order than the classes."""
        return self.outputs != tuple(range(len(self.outputs)))


class Reordered(nn.Module):
    """The scores of `network` in another order. No weight and no score is changed."""

    order: Tensor

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("order", torch.tensor(order, dtype=torch.int64), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return `[B,classes]` for `images` `[B,3,H,W]`."""
        scores: Tensor = self.network(images)
        return scores[:, self.order]


def match_classes(outputs: Sequence[str], classes: Sequence[str], *, of: str = "the classifier") -> ClassMapping:
    """Return how the named `outputs` of a classifier stand for the `classes` of an image set.

    Names agree if they are equal but for case, spaces, hyphens and underscores, or if one is one of the other's
    synonyms, separated by commas, as in "tench, Tinca tinca". Names that agree place by place need no more; else every
    class must agree with exactly one output and every output with exactly one class.

    >>> match_classes(["Cat", "dog"], ["dog", "cat"]).outputs
    (1, 0)
    >>> match_classes(["tench, Tinca tinca", "goldfish"], ["tench", "goldfish"]).text
    '2 classes, names agree in the same order'

    Raises:
        ModelError: another number of classes, or a class without its own output; each is named, with how to mend it.
    """
    if len(outputs) != len(classes):
        raise ModelError(
            f"{of} knows {len(outputs)} classes, the image set has {len(classes)}; say what the set's labels are among "
            "the classifier's classes (images.class_names with labels: class_name or leading_index)"
        )
    wanted, offered = [_synonyms(name) for name in classes], [_synonyms(name) for name in outputs]
    if all(mine & theirs for mine, theirs in zip(wanted, offered, strict=True)):
        return ClassMapping(tuple(range(len(classes))), f"{len(classes)} classes, names agree in the same order")
    by_name: dict[str, set[int]] = {}
    for place, names in enumerate(offered):
        for name in names:
            by_name.setdefault(name, set()).add(place)
    found = [sorted(set().union(*(by_name.get(name, set()) for name in names))) for names in wanted]
    faults = [
        f"{classes[i]!r}: " + (f"outputs {places} are all called so" if places else "no output is called so")
        for i, places in enumerate(found)
        if len(places) != 1
    ]
    chosen = [places[0] for places in found if len(places) == 1]
    faults += [f"output {place} ({outputs[place]!r}) stands for several classes" for place in sorted(_repeated(chosen))]
    if faults:
        mend = "(name them alike, or say classes: as_listed if the outputs are in the set's order)"
        headline = f"{of}: outputs and classes of the image set do not match by name {mend}; {len(faults)} fault(s):"
        raise ModelError(fault_list(headline, faults, most=_SHOWN))
    moved = [f"output {place} is {classes[i]!r}" for i, place in enumerate(chosen) if place != i]
    shown = ", ".join(moved[:_SHOWN]) + (f", … and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else "")
    text = f"{len(classes)} classes, outputs reordered by name: {shown}"
    return ClassMapping(tuple(chosen), text)


def in_set_order(classifier: Classifier, classes: Sequence[str], *, by_name: bool = True) -> tuple[Classifier, str]:
    """Return the classifier with its scores in the order of `classes`, called so, and a sentence on how that is known.

    Raises:
        ModelError: another number of classes; or, `by_name`, names that do not match.
    """
    if by_name:
        mapping = match_classes(classifier.class_names, classes, of=classifier.name)
    elif len(classes) != len(classifier.class_names):
        raise ModelError(
            f"{classifier.name} knows {len(classifier.class_names)} classes, the image set has {len(classes)}"
        )
    else:
        outputs = tuple(range(len(classes)))
        mapping = ClassMapping(
            outputs, f"{len(classes)} classes, taken in the set's order as the plan says; names unchecked"
        )
    named = replace(classifier, class_names=tuple(classes))
    if not mapping.reorders:
        return named, mapping.text
    # Finished steps are found again by this digest, and in another order they would be others.
    digest = hashlib.sha256(json.dumps([classifier.weights_digest, mapping.outputs]).encode()).hexdigest()
    return replace(
        named,
        module=Reordered(classifier.module, mapping.outputs).eval(),
        weights_digest=digest,
        provenance=f"{classifier.provenance}; {mapping.text} (the digest covers weights and order)",
    ), mapping.text


def _synonyms(name: str) -> set[str]:
    whole = "".join(name.casefold().replace("-", " ").replace("_", " ").split())
    parts = {"".join(part.split()) for part in name.casefold().replace("-", " ").replace("_", " ").split(",")}
    return {whole} | (parts - {""})


def _repeated(places: Sequence[int]) -> set[int]:
    return {place for place in places if places.count(place) > 1}
