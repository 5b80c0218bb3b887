"""What an attack will cost, said beforehand: gradients by tier, and seconds on this machine from a short warm-up."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, get_args

import torch

from attacks.base import Tier, UniversalAttack
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, PlanError
from wolfhound.images import ImageSet

TIERS: tuple[Tier, ...] = get_args(Tier)


def tier_options(attack: type[UniversalAttack], tier: Tier, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that `tier` puts in place of the attack's defaults, and over them those that are given.

    Raises:
        PlanError: no such tier.
    """
    if tier not in TIERS:
        raise PlanError(f"expected a tier out of {', '.join(TIERS)}, got {tier!r}")
    return {**attack.tiers[tier], **options}


def gradients(attack: UniversalAttack, images: int, *, networks: int = 1) -> int:
    """Return how many gradients with respect to one image a run takes; a bound where `attack.gradients_exact` is False.

    `images` is how many it is crafted on, `networks` how many networks.
    """
    return networks * attack.gradients(images)


@dataclass(frozen=True)
class Pace:
    """How long one image takes on this machine, in seconds: a gradient (forward and backward), a forward pass.

    Of a black box, which gives no gradients and is asked for none, that of a gradient is 0.
    """

    gradient: float
    forward: float

    def __add__(self, other: "Pace") -> "Pace":
        return Pace(self.gradient + other.gradient, self.forward + other.forward)


@dataclass(frozen=True)
class Estimate:
    """What a run takes on a machine of a given pace.

    Attributes:
        gradients: gradients with respect to one image, over all networks.
        exact: whether that is exact or the most that it can be.
        seconds: how long the run takes, select images included, as far as a warm-up can tell.
    """

    gradients: int
    exact: bool
    seconds: float

    @property
    def text(self) -> str:
        """The estimate as it is printed.

        >>> Estimate(2000, True, 90.0).text
        '2,000 gradients, about 1.5 min on this machine'
        >>> Estimate(90000, False, 7300.0).text
        'at most 90,000 gradients, at most about 2.0 h on this machine'
        """
        most = "" if self.exact else "at most "
        return f"{most}{self.gradients:,} gradients, {most}about {duration(self.seconds)} on this machine"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit.

    >>> duration(42.0), duration(90.0), duration(7300.0)
    ('42 s', '1.5 min', '2.0 h')
    """
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def calibrate(
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    batch_size: int = 64,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Return the pace of all `classifiers` together, from about `seconds` of forward passes and as long of gradients.

    The first batch of `images` is shown over and over; the median of the repetitions counts, the first of them, which
    allocates, does not. Other work on the machine slows it as it slows the run.

    Raises:
        DataError: no images.
    """
    if not len(images):
        raise DataError(f"{images.name}: expected at least one image to calibrate on, got none")
    total = Pace(0.0, 0.0)
    for classifier in classifiers:
        total += _pace(classifier, images, batch_size, seconds / len(classifiers), clock)
    return total


def _pace(
    classifier: Classifier, images: ImageSet, batch_size: int, seconds: float, clock: Callable[[], float]
) -> Pace:
    pixels = images.load(slice(0, batch_size)).to(classifier.device, classifier.dtype)

    def forward() -> None:
        with torch.no_grad():
            classifier.logits(pixels).argmax(dim=1).cpu()

    def gradient() -> None:
        with torch.enable_grad():
            at = pixels.detach().requires_grad_()
            torch.autograd.grad(classifier.logits(at).amax(dim=1).sum(), at)[0].cpu()

    with frozen(classifier.module):
        works = (gradient, forward) if classifier.differentiable else (forward,)
        spent = [_median_seconds(work, seconds, clock) / len(pixels) for work in works]
    return Pace(gradient=spent[0] if classifier.differentiable else 0.0, forward=spent[-1])


def _median_seconds(work: Callable[[], None], seconds: float, clock: Callable[[], float]) -> float:
    """Return the median duration of `work`, repeated at least once after a first time and until `seconds` are over."""
    work()
    durations: list[float] = []
    while not durations or sum(durations) < seconds:
        start = clock()
        work()
        durations.append(clock() - start)
    return median(durations)


def estimate(attack: UniversalAttack, pace: Pace, *, craft: int, select: int, networks: int = 1) -> Estimate:
    """Return what `attack` takes on `craft` and `select` images, at the `pace` of all networks together.

    Counted are its gradients, a clean prediction of every image, and the select images once a pass. Forward passes that
    an attack does beyond these are not, such as DeepFool's on images that are fooled already.
    """
    count = gradients(attack, craft, networks=networks)
    passes = attack.steps(craft) / craft
    forwards = craft + select * (1 + passes)
    seconds = count / networks * pace.gradient + forwards * pace.forward
    return Estimate(count, attack.gradients_exact, seconds)
