"""Epsilon on the wrong scale: too small for 8-bit images, no whole number of levels, or large enough for anything."""

import math
from collections.abc import Iterator

from attacks.threat import Threat
from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected
from wolfhound.plan import AuditPlan, ThreatSection

LARGE_LEVELS = 64
"""linf levels beyond which an image is hardly the same one: ImageNet is attacked at 4 to 16, MNIST at 76 of 255."""

LARGE_L2 = 0.1
"""Mean change of a pixel value (L2 epsilon over the square root of the values) that an L2 threat seldom exceeds."""

_ROUND_OFF = 1e-6


def epsilon_scale(inspected: Inspected) -> Iterator[Notice]:
    """Yield a notice for each threat of the plan whose epsilon is probably not what was meant."""
    height, width = inspected.images.whole.size
    for place, threat in threats(inspected.job.plan):
        if threat.norm == "linf":
            yield from _linf(place, threat)
        elif threat.norm == "l2":
            yield from _l2(place, threat, 3 * height * width)
        else:
            yield from _patch(place, threat, (height, width))


def threats(plan: AuditPlan) -> list[tuple[str, Threat]]:
    """Return every threat of the plan with its place; the smallest of several epsilons stands for them all."""
    places = [
        *((f"universal[{i}]", section.threat) for i, section in enumerate(plan.universal)),
        *((f"replay[{i}]", section.threat) for i, section in enumerate(plan.replay)),
        *((f"robust[{i}]", section.threat) for i, section in enumerate(plan.robust)),
        *((f"targeted[{i}]", section.threat) for i, section in enumerate(plan.targeted)),
    ]
    found = [(f"{place}.threat", _threat(threat)) for place, threat in places]
    for i, section in enumerate(plan.universal):
        smallest = section.epsilons[:1]
        found += [(f"universal[{i}].epsilons", Threat(section.threat.norm, epsilon)) for epsilon in smallest]
    return found


def _threat(section: ThreatSection) -> Threat:
    return Threat(section.norm, section.epsilon, place=section.place)


def _linf(place: str, threat: Threat) -> Iterator[Notice]:
    levels = 255 * threat.epsilon
    whole = math.floor(levels * (1 + _ROUND_OFF))
    if whole == 0:
        yield _too_small(place, f"an epsilon of {threat.epsilon:.3g} is {levels:.2g} of 255 levels")
    elif levels - whole > 1e-3 and whole <= LARGE_LEVELS:
        yield Notice(
            "epsilon-part-level",
            "warning",
            "plan",
            f"{place}: an epsilon of {threat.epsilon:.5g} is {levels:.4g} levels, and 8-bit images hold whole ones: "
            f"what is judged is {whole}/255",
            f"write {round(levels)}/255 if that was meant, else {whole}/255",
        )
    elif whole > LARGE_LEVELS:
        yield Notice(
            "epsilon-large",
            "warning",
            "plan",
            f"{place}: linf {threat.epsilon_text} allows every pixel to change by {levels:.0f} of 255 levels, which no "
            "observer would miss",
            "say the epsilon on the pixel scale [0, 1], such as 8/255 (not on a scale divided by the deviation)",
        )


def _l2(place: str, threat: Threat, values: int) -> Iterator[Notice]:
    mean = threat.epsilon / math.sqrt(values)
    if 255 * threat.epsilon < 1:
        yield _too_small(place, f"an L2 epsilon of {threat.epsilon:.3g} is less than one level of one value")
    elif mean > LARGE_L2:
        yield Notice(
            "epsilon-large",
            "warning",
            "plan",
            f"{place}: L2 {threat.epsilon:.4g} on images of {values} values is a mean change of {255 * mean:.0f} of "
            "255 levels, which no observer would miss",
            "say the L2 epsilon on the pixel scale [0, 1]: about 0.5 for CIFAR-10, 3 for ImageNet",
        )


def _patch(place: str, threat: Threat, size: tuple[int, int]) -> Iterator[Notice]:
    if threat.box(size)[2] == 0:
        yield _too_small(place, f"a patch of {threat.epsilon:.3g} of the area is smaller than one pixel")


def _too_small(place: str, what: str) -> Notice:
    return Notice(
        "epsilon-below-a-level",
        "error",
        "plan",
        f"{place}: {what}, so no 8-bit image but the original is within it and nothing can be fooled",
        "say the epsilon on the pixel scale [0, 1], such as 8/255 for linf",
    )
