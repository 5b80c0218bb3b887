"""Attacks of other libraries, run through our protocol and judged by our judge.

`torchattacks:PGD`, `foolbox:LinfPGD` or `art:ProjectedGradientDescent`: the library, a colon and the class of the
attack as the library names it; options go to that class. The library is handed a module from pixels in [0, 1] to
logits, our preprocessing inside, and its own normalisation stays off. Norm, epsilon and goal come from the threat,
never from options. Nothing of a library is imported before one of its attacks is named.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import ClassVar, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from attacks.base import ImageProposal
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What a library is asked for: images `[B,3,H,W]` float32 in [0, 1], and the classes `[B]` to reach or to leave."""

    network: "CountedNetwork"
    pixels: Tensor
    classes: Tensor
    threat: Threat | None
    attack: str
    options: Mapping[str, object]
    targeted: bool


class Library(Protocol):
    """What an adapter module of a library offers."""

    def check(self, attack: str, options: Mapping[str, object]) -> None:
        """Raise a PlanError unless the library has the attack and the attack the options."""
        ...

    def run(self, request: Request) -> Tensor:
        """Return adversarial pixels `[B,3,H,W]`."""
        ...


@dataclass(frozen=True)
class _Extra:
    module: str
    package: str
    adapter: str


LIBRARIES: Mapping[str, _Extra] = MappingProxyType(
    {
        "torchattacks": _Extra("torchattacks", "torchattacks", "attacks.adapters.with_torchattacks"),
        "foolbox": _Extra("foolbox", "foolbox", "attacks.adapters.with_foolbox"),
        "art": _Extra("art", "adversarial-robustness-toolbox", "attacks.adapters.with_art"),
    }
)


@dataclass(frozen=True)
class PeerAttack:
    """One attack of another library.

    The library is handed the whole network, so that `access` is "white-box" whatever the attack makes of it. Its global
    random numbers are seeded from the seeds of the batch and put back afterwards: the same batch gives the same result,
    but what an image gets may depend on its batch, as it does in the library. Steps are how often the library called
    the network, and queries the rows that it sent divided among the images, as it does not say more.
    """

    library: str
    attack: str
    options: Mapping[str, object] = field(default_factory=dict)
    targeted: bool = False

    access: ClassVar[Knowledge] = "white-box"

    @property
    def name(self) -> str:
        """The library and its attack, as in a plan."""
        return f"{self.library}:{self.attack}"

    @property
    def title(self) -> str:
        """The attack and the library."""
        return f"{self.attack} of {self.library}"

    @property
    def source(self) -> str:
        """The package that it comes from."""
        return LIBRARIES[self.library].package

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`.

        Raises:
            PlanError: the attack cannot do what the threat asks for, or the library refuses its options.
        """
        network = CountedNetwork(classifier)
        given = pixels.detach().to(torch.float32, copy=True)
        request = Request(network, given, targets.clone(), threat, self.attack, self.options, self.targeted)
        with _global_seeds(seeds), _gradients_kept(classifier.module), torch.enable_grad():
            found = library(self.library).run(request)
        count = len(pixels)
        steps = torch.full((count,), network.calls, dtype=torch.int64)
        queries = torch.full((count,), network.rows // count, dtype=torch.int64)
        queries[: network.rows % count] += 1
        return ImageProposal(found.detach().to(pixels), steps, queries)


class CountedNetwork(nn.Module):
    """From pixels in [0, 1] to logits, as a library wants it; counts the calls and the rows."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.inner = classifier.module  # so that the library finds the parameters, and through them the device
        self.classifier = classifier
        self.calls = 0
        self.rows = 0
        self.training = False

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits `[B,classes]` in the dtype of `pixels`."""
        self.calls += 1
        self.rows += len(pixels)
        logits = self.classifier.logits(pixels.to(self.classifier.device, self.classifier.dtype))
        return logits.to(pixels.dtype)


def is_peer(name: str) -> bool:
    """Return whether `name` is that of another library's attack."""
    return ":" in name


def peer_attack(name: str, options: Mapping[str, object]) -> PeerAttack:
    """Return the attack that `name` ("library:Attack") stands for, with `options` for its class.

    Raises:
        PlanError: an unknown library, one that is not installed, an attack that it does not have, or unknown options.
    """
    owner, _, attack = name.partition(":")
    library(owner).check(attack, options)
    return PeerAttack(owner, attack, dict(options))


def library(name: str) -> Library:
    """Return the adapter of a library.

    Raises:
        PlanError: an unknown library, or one that is not installed.
    """
    if name not in LIBRARIES:
        raise PlanError(f"expected a library out of {', '.join(sorted(LIBRARIES))} before the colon, got {name!r}")
    extra = LIBRARIES[name]
    if find_spec(extra.module) is None:
        raise PlanError(
            f"expected {extra.package} to be installed for attacks of {name}, got none "
            f"(pip install {extra.package}, or all of them: pip install 'wolfhound[adapters]')"
        )
    return cast(Library, import_module(extra.adapter))


def refuse_unknown(owner: str, attack: str, offered: list[str]) -> None:
    """Raise where `attack` is not one of those `offered`.

    Raises:
        PlanError: it is not; the message lists them.
    """
    if attack not in offered:
        raise PlanError(f"expected an attack of {owner} out of {', '.join(offered)}, got {attack!r}")


def refuse_options(name: str, options: Mapping[str, object], *, known: list[str], ours: tuple[str, ...]) -> None:
    """Raise where options are unknown to the attack, or are what the threat decides (`ours`).

    Raises:
        PlanError: they are; all are listed.
    """
    decided = sorted(set(options) & set(ours))
    if decided:
        raise PlanError(f"{name}: expected {', '.join(decided)} to come from the threat, got them among the options")
    unknown = sorted(set(options) - set(known))
    if unknown:
        offer = ", ".join(key for key in known if key not in ours)
        raise PlanError(f"{name}: expected options out of {offer}, got {', '.join(unknown)}")


def built(name: str, make: Callable[[], T]) -> T:
    """Return what `make` makes; what a library says against its arguments becomes a fault of the plan.

    Raises:
        PlanError: the library refuses.
    """
    try:
        return make()
    except (TypeError, ValueError, NotImplementedError) as error:
        raise PlanError(f"{name}: expected options that the library accepts, got its refusal: {error}") from error


@contextmanager
def _global_seeds(seeds: Tensor) -> Iterator[None]:
    """Seed the global generators from `seeds` and put them back as they were."""
    seed = int.from_bytes(hashlib.sha256(seeds.cpu().numpy().tobytes()).digest()[:4])
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _gradients_kept(module: nn.Module) -> Iterator[None]:
    """Put the parameters' gradients back as they were: some libraries clear them."""
    kept = [(parameter, parameter.grad) for parameter in module.parameters()]
    try:
        yield
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient
