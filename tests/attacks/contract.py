"""The rows of the contract that every attack is held to: a new attack adds one row here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attacks.threat import Threat

LINF = Threat("linf", 16 / 255)
L2 = Threat("l2", 1.5)


@dataclass(frozen=True)
class Row:
    """An attack by name, with options that keep the test short, and the threats that it must respect."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    threats: tuple[Threat, ...] = (LINF, L2)


UNIVERSAL_ROWS = (
    Row("deepfool_uap", {"passes": 3}),
    Row("sgd_uap", {"passes": 4, "images_per_update": 24}),
)
IMAGE_ROWS = (
    Row("targeted_ascent", {"most_steps": 30}),
    Row("apgd_ce", {"iterations": 10}),
    Row("apgd_t", {"iterations": 10, "targets": 2}),
    Row("fab_t", {"iterations": 10, "targets": 2}),
    Row("square", {"most_queries": 150}),
    Row("hopskipjump", {"iterations": 3, "first_evaluations": 60, "gamma": 100.0}, threats=(L2,)),
)
