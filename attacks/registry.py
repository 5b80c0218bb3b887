"""Every attack by its name. A new one is a line here; nothing is registered at run time."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, cast, get_args, get_origin, get_type_hints

from attacks.adapters.peers import is_peer, peer_attack
from attacks.base import ImageAttack, UniversalAttack
from attacks.per_image.apgd import ApgdCrossEntropy, ApgdTargeted
from attacks.per_image.carlini_wagner import CarliniWagner
from attacks.per_image.deepfool import DeepFool
from attacks.per_image.fab import FabTargeted
from attacks.per_image.gradient_steps import FastGradient, MomentumGradient, ProjectedGradient
from attacks.per_image.hopskipjump import HopSkipJump
from attacks.per_image.square import Square
from attacks.per_image.targeted_ascent import TargetedAscent
from attacks.universal.cosine import CosineUniversal
from attacks.universal.data_free import DataFreeUniversal
from attacks.universal.deepfool import DeepFoolUniversal
from attacks.universal.df import DfUniversal
from attacks.universal.dm import DmUniversal
from attacks.universal.dominant import DominantUniversal
from attacks.universal.patch import PatchUniversal
from attacks.universal.sga import SgaUniversal
from attacks.universal.sgd import SgdUniversal
from wolfhound.errors import PlanError, fault_list
from wolfhound.plugins import is_plugin, plugged

UNIVERSAL: Mapping[str, type[UniversalAttack]] = MappingProxyType(
    {
        attack.name: attack
        for attack in (
            CosineUniversal,
            DataFreeUniversal,
            DeepFoolUniversal,
            DfUniversal,
            DmUniversal,
            DominantUniversal,
            PatchUniversal,
            SgaUniversal,
            SgdUniversal,
        )
    }
)
WITHOUT_PHOTOGRAPHS: frozenset[str] = frozenset({DataFreeUniversal.name})
"""Universal attacks that read no crafting image."""

IMAGE: Mapping[str, type[ImageAttack]] = MappingProxyType(
    {
        attack.name: attack
        for attack in (
            TargetedAscent,
            FastGradient,
            ProjectedGradient,
            MomentumGradient,
            CarliniWagner,
            DeepFool,
            ApgdCrossEntropy,
            ApgdTargeted,
            FabTargeted,
            Square,
            HopSkipJump,
        )
    }
)

MINIMUM_NORM: frozenset[str] = frozenset({CarliniWagner.name, DeepFool.name, FabTargeted.name, HopSkipJump.name})
"""Per-image attacks that keep the perturbation small and so work without a threat."""

GOAL = "targeted"
"""The field of an attack that can do both; the section of the plan sets it, never the options."""


def make_universal(name: str, options: Mapping[str, object]) -> UniversalAttack:
    """Return the universal attack of that name with `options` in place of its defaults.

    Raises:
        PlanError: no such attack, or options that it does not have or cannot use; all of them are listed.
    """
    return cast(UniversalAttack, _make(UNIVERSAL, "universal", name, options))


def make_image(name: str, options: Mapping[str, object], *, targeted: bool | None = None) -> ImageAttack:
    """Return the per-image attack of that name with `options` in place of its defaults.

    `targeted` says whether it is to reach a class or to leave one; None: whichever it does by itself.

    Raises:
        PlanError: no such attack, options that it does not have or cannot use (all of them are listed), or a goal that
            it does not have.
    """
    made = (
        peer_attack(name, options)
        if is_peer(name) and not is_plugin(name)
        else _make(IMAGE, "per-image", name, options)
    )
    attack = cast(ImageAttack, made)
    if targeted is None or attack.targeted == targeted:
        return attack
    if not can_choose_goal(type(attack)):
        goal = "reach a class" if targeted else "leave a class"
        able = ", ".join(sorted(key for key, kind in IMAGE.items() if can_choose_goal(kind)))
        raise PlanError(f"{name}: expected an attack that can {goal}, got one that cannot (these can do both: {able})")
    return cast(ImageAttack, replace(cast(Any, attack), targeted=targeted))


def can_choose_goal(attack: type[ImageAttack]) -> bool:
    """Return whether an attack can both reach a class and leave one."""
    return any(part.name == GOAL for part in fields(cast(Any, attack)))


def make(name: str, options: Mapping[str, object]) -> UniversalAttack | ImageAttack:
    """Return the attack of that name, universal or per image.

    Raises:
        PlanError: no such attack, or options that it does not have or cannot use; all of them are listed.
    """
    if is_peer(name) and not is_plugin(name):
        return cast(ImageAttack, peer_attack(name, options))
    everything: dict[str, type] = {**UNIVERSAL, **IMAGE}
    return cast(UniversalAttack | ImageAttack, _make(everything, "universal or per-image", name, options))


def defaults(attack: type) -> dict[str, Any]:
    """Return the hyper-parameters of an attack class and their defaults."""
    return {part.name: part.default for part in _options(attack)}


def _options(attack: type) -> tuple[Field[Any], ...]:
    return tuple(part for part in fields(attack) if part.default is not MISSING and part.name != GOAL)


def _make(table: Mapping[str, type], kind: str, name: str, options: Mapping[str, object]) -> object:
    attack = _plugged(kind, name) if is_plugin(name) else table.get(name)
    if attack is None:
        raise PlanError(f"expected a {kind} attack out of {', '.join(sorted(table))}, got {name!r}")
    hints = get_type_hints(attack)
    known = defaults(attack)
    faults = [f"no option {key!r}" for key in options if key not in known]
    faults += [fault for key, value in options.items() if key in known if (fault := _fault(key, value, hints[key]))]
    if not faults:
        try:
            return attack(**options)
        except ValueError as error:
            faults.append(str(error))
    offer = ", ".join(f"{key}={value!r}" for key, value in known.items())
    raise PlanError(fault_list(f"{name}: the options do not fit (it has, with defaults: {offer}):", faults))


def _plugged(kind: str, name: str) -> type:
    """Return the attack of a plug-in, an attack like our own: a frozen dataclass that implements a protocol.

    Raises:
        PlanError: there is no such plug-in, or it is no attack of this kind.
    """
    attack = plugged("wolfhound.attacks", name)
    wanted = [method for method, word in (("propose", "per"), ("proposals", "universal")) if word in kind]
    able = any(callable(getattr(attack, method, None)) for method in wanted)
    if not isinstance(attack, type) or not is_dataclass(attack) or not able:
        raise PlanError(
            f"{name}: expected a {kind} attack (a dataclass with the method {' or '.join(wanted)}), got {attack!r}"
        )
    return attack


def _fault(key: str, value: object, hint: Any) -> str | None:
    """Return what is wrong with the type of an option's value, or None."""
    literal = get_args(hint) if get_origin(hint) is not None else ()
    if literal:
        return None if value in literal else f"expected {key} out of {', '.join(map(repr, literal))}, got {value!r}"
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {float: numeric, int: numeric and isinstance(value, int), bool: isinstance(value, bool)}
    if fits.get(hint, isinstance(value, hint)):
        return None
    return f"expected {key} as {hint.__name__}, got {value!r}"
