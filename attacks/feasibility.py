"""What each attack can do, as one table, so that what cannot work is refused before any work and with a reason.

An attack that runs outside of what it was made for finds little, and that little would read as robustness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from attacks.base import ImageAttack, UniversalAttack
from attacks.per_image.apgd import ApgdTargeted
from attacks.per_image.carlini_wagner import CarliniWagner
from attacks.threat import Norm, Threat
from attacks.universal.cosine import CosineUniversal
from attacks.universal.data_free import DataFreeUniversal
from attacks.universal.deepfool import DeepFoolUniversal
from attacks.universal.dominant import DominantUniversal
from attacks.universal.patch import PatchUniversal
from wolfhound.errors import PlanError


@dataclass(frozen=True)
class Limits:
    """What an attack can do.

    Attributes:
        norms: of the threats that it works under.
        least_classes: how many classes it needs.
        targets: whether it can push to a class (universal attacks; a per-image attack says so itself).
        mend: what to use instead.
    """

    norms: tuple[Norm, ...] = ("linf", "l2")
    least_classes: int = 2
    targets: bool = True
    mend: str = "a patch is for patch_uap alone"


USUAL = Limits()
_IN_LINF = (
    "FGSM BIM RFGSM PGD EOTPGD FFGSM TPGD MIFGSM UPGD DIFGSM TIFGSM Jitter NIFGSM PGDRS SINIFGSM VMIFGSM VNIFGSM SPSA "
    "PIFGSM PIFGSMPP"
)
_IN_L2, _IN_NEITHER = "CW PGDL2 PGDRSL2 DeepFool EADEN", "EADL1 SparseFool OnePixel Pixle JSMA"
GUESTS: Mapping[str, Mapping[str, tuple[Norm, ...]]] = MappingProxyType(
    {
        "torchattacks": {
            **dict.fromkeys(_IN_LINF.split(), ("linf",)),
            **dict.fromkeys(_IN_L2.split(), ("l2",)),
            **dict.fromkeys(_IN_NEITHER.split(), ()),
        },
        "art": {"CarliniL2Method": ("l2",), "CarliniLInfMethod": ("linf",), "CarliniL0Method": (), "DeepFool": ("l2",)},
    }
)
"""Norms of other libraries' attacks that have one of their own and cannot choose.

torchattacks as its documentation says (3.5.1), of the toolbox those that their names or papers say. foolbox has it in
the name: `L2PGD`, `LinfPGD`.
"""

LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        CarliniWagner.name: Limits(norms=("l2",), mend="use pgd or deepfool"),
        ApgdTargeted.name: Limits(
            least_classes=4, mend="its DLR loss divides by the third and fourth logit: use apgd_ce, or pgd with margin"
        ),
        PatchUniversal.name: Limits(norms=("patch",), mend="every other universal attack is for linf and l2"),
        CosineUniversal.name: Limits(targets=False, mend="use sgd_uap for a target class"),
        DataFreeUniversal.name: Limits(targets=False, mend="use sgd_uap for a target class"),
        DeepFoolUniversal.name: Limits(targets=False, mend="use sgd_uap for a target class"),
        DominantUniversal.name: Limits(targets=False, mend="use sgd_uap for a target class"),
    }
)
"""Attacks that are limited in some way; every other one is `USUAL`."""


def threat_faults(attack: ImageAttack | UniversalAttack, threat: Threat | None) -> tuple[str, ...]:
    """Return what speaks against an attack under a threat, in words; nothing where it can work.

    A `norm` of the attack's own is for where there is no threat, and no fault here (see `contradiction`).
    """
    limits, found = limits_of(attack.name), []
    if threat is not None and threat.norm not in limits.norms:
        norms = " or ".join(limits.norms) or "l0 or l1, which there is none of"
        found.append(f"{attack.name}: expected a threat of norm {norms}, got {threat.norm} ({limits.mend})")
    if threat is not None and threat.target is not None and not limits.targets:
        found.append(f"{attack.name}: expected no target class, as it only leaves classes ({limits.mend})")
    return tuple(found)


def refuse_threat(attack: ImageAttack | UniversalAttack, threat: Threat | None) -> None:
    """Raise where an attack cannot work under a threat.

    Raises:
        PlanError: it cannot; says why and what to use instead.
    """
    faults = threat_faults(attack, threat)
    if faults:
        raise PlanError("; ".join(faults))


def class_faults(attack: ImageAttack | UniversalAttack, classes: int) -> tuple[str, ...]:
    """Return what speaks against an attack on networks of that many classes, in words."""
    limits = limits_of(attack.name)
    if classes >= limits.least_classes:
        return ()
    return (f"{attack.name}: expected at least {limits.least_classes} classes, got {classes} ({limits.mend})",)


def contradiction(options: Mapping[str, Any], threat: Threat) -> tuple[str, ...]:
    """Return a fault where the options of an attack name another norm than its threat, which would decide."""
    asked = options.get("norm", threat.norm)
    if asked == threat.norm:
        return ()
    return (f"expected no norm among the options but the threat's, {threat.norm}, got {asked!r}",)


def limits_of(name: str) -> Limits:
    """Return what the attack of that name can do, that of another library as far as its norm is known."""
    owner, _, guest = name.partition(":")
    norms = GUESTS.get(owner, {}).get(guest, _in_name(guest) if owner == "foolbox" else None)
    if norms is None:
        return LIMITS.get(name, USUAL)
    return Limits(norms=norms, mend="take the library's attack of that norm")


def _in_name(guest: str) -> tuple[Norm, ...] | None:
    prefixes: dict[str, tuple[Norm, ...]] = {"Linf": ("linf",), "L2": ("l2",), "L1": (), "L0": ()}
    return next((norms for prefix, norms in prefixes.items() if guest.startswith(prefix)), None)
