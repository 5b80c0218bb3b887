"""Where a crafting run stands, written down so that a run killed at any moment goes on as if it had never stopped.

A checkpoint is a safetensors file: tensors, and JSON in its metadata. Reading it runs no code.
"""

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from attacks.base import Proposal, UniversalAttack
from attacks.threat import Threat
from wolfhound.classifier import Classifier, state_digest
from wolfhound.errors import EvidenceError, fault_list
from wolfhound.images import ImageSet
from wolfhound.statistics import Rate
from wolfhound.store import sha256, write_atomically

FORMAT = "1"
_STATE = "state/"


class CheckpointStore(Protocol):
    """Keeps one checkpoint: `save` replaces it as a whole or not at all, whatever interrupts it."""

    def load(self) -> bytes | None:
        """Return what was saved last, or None."""
        ...

    def save(self, data: bytes) -> None:
        """Keep `data` in place of what was saved before."""
        ...


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint in a file, replaced atomically."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> bytes | None:
        """Return the file's bytes, or None where there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def save(self, data: bytes) -> None:
        """Write the file."""
        write_atomically(self.path, data)

    def forget(self) -> None:
        """Remove the file, and what runs killed while they were writing it left beside it."""
        self.path.unlink(missing_ok=True)
        for partial in self.path.parent.glob(f".{self.path.name}.*.partial"):
            partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Checkpoint:
    """How far a perturbation had come after a pass, measured on the select split.

    Attributes:
        rates: one for each network that it is crafted on, in their order.
    """

    passes: int
    gradients: int
    rates: tuple[Rate, ...]

    @property
    def share(self) -> Fraction:
        """The mean over the networks of the share of select images, exact."""
        return sum((Fraction(rate.successes, rate.total) for rate in self.rates), Fraction(0)) / len(self.rates)

    @property
    def rate(self) -> Rate:
        """The rate over the select images of all networks taken together."""
        return reduce(operator.add, self.rates)


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a crafting run stands.

    Attributes:
        proposal: what the attack goes on from; None at the beginning.
        history: one checkpoint a pass.
        best: the delivered perturbation of the pass that `as_good_as_the_best` names.
        last: the delivered perturbation after the last pass.
    """

    proposal: Proposal | None = None
    history: tuple[Checkpoint, ...] = ()
    best: Tensor | None = None
    last: Tensor | None = None

    def after_pass(self, delta: Tensor, point: Checkpoint) -> "Standing":
        """Return the standing after a pass that ended with `delta`, measured as `point`."""
        history = (*self.history, point)
        chosen = as_good_as_the_best(history) is point
        return replace(self, history=history, best=delta if chosen else self.best, last=delta)


def as_good_as_the_best(history: Sequence[Checkpoint]) -> Checkpoint:
    """Return the last checkpoint whose share on the select split is within one standard error of the highest.

    The highest of many passes is often the luckiest on a few select images, and a later one, trained longer, fools more
    of others (ADR 0101). The standard error is that of the highest share p, sqrt(p (1 - p) / images); the rule is the
    one of Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3, with the longest trained for the
    simplest. More passes never change the choice back to an earlier one than it was.
    """
    highest = max(point.share for point in history)
    images = min(rate.total for rate in history[0].rates)
    variance = highest * (1 - highest) / images
    return next(point for point in reversed(history) if (highest - point.share) ** 2 <= variance)


@dataclass(frozen=True)
class RunInputs:
    """All that the result of a crafting run depends on, by name; two runs with the same give the same bits."""

    facts: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(
        cls,
        attack: UniversalAttack,
        members: Sequence[Classifier],
        craft: ImageSet,
        select: ImageSet,
        threat: Threat,
        *,
        generator: torch.Generator,
        batch_size: int,
    ) -> "RunInputs":
        """Return them for a run that begins with `generator` as it now stands.

        The batch size and torch's version change the result by round-off alone, but a resumed run is to be the same to
        the bit.
        """
        options = asdict(attack)  # type: ignore[call-overload]
        return cls(
            {
                "attack": f"{attack.name} {json.dumps(options, sort_keys=True, default=repr)}",
                "threat": repr(threat),
                "networks": json.dumps([_network(member) for member in members]),
                "crafting images": craft.fingerprint,
                "select images": select.fingerprint,
                "seed": sha256(generator.get_state().numpy().tobytes()),
                "batch size": str(batch_size),
                "torch": torch.__version__,
                "format": FORMAT,
            }
        )


def _network(member: Classifier) -> list[str]:
    classes = sha256(json.dumps(member.class_names).encode())
    placed = f"{member.dtype} on {member.device.type}"
    return [member.weights_digest, member.architecture, repr(member.preprocessing), classes, placed]


def dump_checkpoint(standing: Standing, inputs: RunInputs, *, generator: torch.Generator) -> bytes:
    """Return a standing that holds a proposal, and the state of `generator`, as bytes."""
    proposal = standing.proposal
    if proposal is None:
        raise ValueError("expected a standing with a proposal, got one at the beginning (there is nothing to save yet)")
    tensors = {"delta": proposal.delta, "generator": generator.get_state(), "best": standing.best}
    tensors |= {"last": standing.last, **{f"{_STATE}{name}": tensor for name, tensor in proposal.state.items()}}
    kept = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
        if tensor is not None
    }
    facts = {
        "inputs": dict(inputs.facts),
        "position": {name: getattr(proposal, name) for name in ("passes", "gradients", "finished", "seen")},
        "history": [asdict(point) for point in standing.history],
        "tensors": state_digest(kept),
    }
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    # One entry alone, as safetensors writes several in an order that changes from call to call.
    return safetensors.torch.save(kept, {"facts": f"{sha256(text.encode())} {text}"})


def read_checkpoint(data: bytes, inputs: RunInputs, *, name: str) -> tuple[Standing, Tensor]:
    """Return the saved standing and the state of its generator; `name` says in messages what `data` was read from.

    Raises:
        EvidenceError: it is damaged, or of a run of other inputs, which are named.
    """
    facts, tensors = _intact(data, name)
    saved = facts["inputs"]
    differing = sorted(
        fact for fact in {*saved, *inputs.facts} if saved.get(fact, "none") != inputs.facts.get(fact, "none")
    )
    if differing:
        rows = [f"{name}: {saved.get(name, 'none')}, now {inputs.facts.get(name, 'none')}" for name in differing]
        raise EvidenceError(
            fault_list(
                f"{name}: expected a checkpoint of this run, got one of another (remove it to begin anew):", rows
            )
        )
    state = {name.removeprefix(_STATE): tensor for name, tensor in tensors.items() if name.startswith(_STATE)}
    proposal = Proposal(tensors["delta"], state=state, **facts["position"])
    history = tuple(
        Checkpoint(row["passes"], row["gradients"], tuple(Rate(**rate) for rate in row["rates"]))
        for row in facts["history"]
    )
    return Standing(proposal, history, tensors.get("best"), tensors.get("last")), tensors["generator"]


def _intact(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and tensors of a checkpoint, both checked against their digests.

    Raises:
        EvidenceError: they do not match, or these are no safetensors with such facts.
    """
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        digest, _, text = header["__metadata__"]["facts"].partition(" ")
        facts: dict[str, Any] = json.loads(text)
        intact = sha256(text.encode()) == digest and state_digest(tensors) == facts["tensors"]
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{name}: expected a checkpoint, got none ({error}; remove it to begin anew)") from error
    if not intact:
        raise EvidenceError(f"{name}: expected an intact checkpoint, got a damaged one (remove it to begin anew)")
    return facts, tensors
