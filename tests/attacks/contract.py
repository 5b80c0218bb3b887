"""The rows of the contract that every attack is held to: a new attack adds one row here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attacks.threat import Threat

LINF = Threat("linf", 16 / 255)
L2 = Threat("l2", 1.5)
PATCH = Threat("patch", 0.07)


@dataclass(frozen=True)
class Row:
    """An attack by name, with options that keep the test short, and the threats that it must respect.

    `ahead`: by how many percentage points it must beat noise; less for an attack that never sees an image of this
    set, and for one whose noise is strong (an opaque square changes nearly half of these predictions).
    `free`: a per-image attack that also works without a threat, bounded by [0, 1] alone.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    threats: tuple[Threat, ...] = (LINF, L2)
    ahead: float = 20.0
    free: bool = True


UNIVERSAL_ROWS = (
    Row("cosine_uap", {"passes": 6, "augment": "none"}),
    Row("data_free_uap", {"passes": 2, "updates_per_pass": 40, "prior": "noise"}, ahead=5.0),
    Row("deepfool_uap", {"passes": 3}),
    Row("df_uap", {"passes": 4, "augment": "mixes"}),
    Row("dm_uap", {"passes": 3, "augment": "flips"}),
    Row("dominant_uap", {"passes": 4}),
    Row("patch_uap", {"passes": 6}, threats=(PATCH,), ahead=10.0),
    Row("sga_uap", {"passes": 2, "images_per_update": 24, "step": 0.2, "augment": "flips"}),
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
    Row("apgd_ce", {"iterations": 10}),
    Row("apgd_t", {"iterations": 10, "targets": 2}),
    Row("fab_t", {"iterations": 10, "targets": 2}),
    Row("square", {"most_queries": 150}),
    Row("hopskipjump", {"iterations": 3, "first_evaluations": 60, "gamma": 100.0}, threats=(L2,)),
)
