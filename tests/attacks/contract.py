"""The rows of the contract that every attack is held to: a new attack adds one row here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attacks.threat import Threat

LINF = Threat("linf", 16 / 255)
L2 = Threat("l2", 1.5)


@dataclass(frozen=True)
class Row:
    """An attack by name, with options that keep the test short, and the threats that it must respect.

    `free`: a per-image attack that also works without a threat, bounded by [0, 1] alone.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    threats: tuple[Threat, ...] = (LINF, L2)
    free: bool = True


UNIVERSAL_ROWS = (
    Row("deepfool_uap", {"passes": 3}),
    Row("sgd_uap", {"passes": 4, "images_per_update": 24}),
)
IMAGE_ROWS = (
    Row("targeted_ascent", {"most_steps": 30}),
    Row("fgsm", free=False),
    Row("pgd", {"most_steps": 10}, free=False),
    Row("mi_fgsm", free=False),
    Row(
        "carlini_wagner", {"searches": 2, "most_steps": 25, "first_constant": 1.0, "learning_rate": 0.01}, threats=(L2,)
    ),
    Row("deepfool"),
)
