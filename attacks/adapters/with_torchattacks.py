"""Attacks of torchattacks."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from attacks.adapters.peers import Request, built, refuse_options, refuse_unknown
from wolfhound.errors import PlanError

_NORMS = {"linf": "Linf", "l2": "L2"}
_OURS = ("eps", "norm", "n_classes", "targeted")


def check(attack: str, options: Mapping[str, object]) -> None:
    """Raise unless torchattacks has `attack` and that has `options`.

    Raises:
        PlanError: it has not.
    """
    base = import_module("torchattacks.attack").Attack
    offered = [
        name
        for name, found in vars(_library()).items()
        if inspect.isclass(found) and issubclass(found, base) and found is not base
    ]
    refuse_unknown("torchattacks", attack, sorted(offered))
    refuse_options(f"torchattacks:{attack}", options, known=_parameters(attack), ours=_OURS)


def run(request: Request) -> Tensor:
    """Return the adversarial pixels of `request`.

    An attack with an eps takes the threat's; one that can choose its norm takes the threat's.

    Raises:
        PlanError: an eps is needed but there is no threat, no such goal, or options that are refused.
    """
    name = f"torchattacks:{request.attack}"
    given = dict(request.options)
    known = _parameters(request.attack)
    if "eps" in known:
        if request.threat is None:
            raise PlanError(f"{name}: expected a threat for its eps, got none")
        given["eps"] = request.threat.epsilon
    if "norm" in known and request.threat is not None:
        given["norm"] = _NORMS[request.threat.norm]
    if "n_classes" in known:
        given["n_classes"] = len(request.network.classifier.class_names)
    attack = built(name, lambda: getattr(_library(), request.attack)(request.network, **given))
    if request.targeted:
        built(name, lambda: attack.set_mode_targeted_by_label(quiet=True))
    found: Tensor = attack(request.pixels, request.classes)
    return found


def _library() -> Any:
    return import_module("torchattacks")


def _parameters(attack: str) -> list[str]:
    parameters = inspect.signature(getattr(_library(), attack).__init__).parameters
    return [name for name in parameters if name not in ("self", "model")]
