"""Attacks of foolbox."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from attacks.adapters.peers import Request, built, refuse_options, refuse_unknown
from wolfhound.errors import PlanError


def check(attack: str, options: Mapping[str, object]) -> None:
    """Raise unless foolbox has `attack` and that has `options`.

    Raises:
        PlanError: it has not.
    """
    foolbox = _library()
    base = foolbox.attacks.Attack
    offered = [
        name
        for name, found in vars(foolbox.attacks).items()
        if inspect.isclass(found) and issubclass(found, base) and found is not base
    ]
    refuse_unknown("foolbox", attack, sorted(offered))
    parameters = inspect.signature(getattr(foolbox.attacks, attack).__init__).parameters
    known = [name for name in parameters if name != "self"]
    refuse_options(f"foolbox:{attack}", options, known=known, ours=())


def run(request: Request) -> Tensor:
    """Return the adversarial pixels of `request`.

    Raises:
        PlanError: an attack of another norm than the threat's, a goal that it does not have, or options refused.
    """
    foolbox, name = _library(), f"foolbox:{request.attack}"
    attack = built(name, lambda: getattr(foolbox.attacks, request.attack)(**request.options))
    _check_norm(name, attack, request)
    network = foolbox.PyTorchModel(request.network, bounds=(0, 1), device=request.pixels.device)
    criteria = foolbox.criteria
    goal = criteria.TargetedMisclassification if request.targeted else criteria.Misclassification
    epsilons = None if request.threat is None else request.threat.epsilon
    found = built(name, lambda: attack(network, request.pixels, goal(request.classes), epsilons=epsilons))
    clipped: Tensor = found[1]
    return clipped


def _check_norm(name: str, attack: object, request: Request) -> None:
    distances = _library().distances
    distance = getattr(attack, "_distance", None) or inspect.getattr_static(attack, "distance", None)
    norms = {distances.linf: "linf", distances.l2: "l2"}
    norm = next((norm for known, norm in norms.items() if known is distance), None)
    if request.threat is not None and norm is not None and norm != request.threat.norm:
        raise PlanError(f"{name}: expected an attack in {request.threat.norm} as the threat says, got one in {norm}")


def _library() -> Any:
    return import_module("foolbox")
