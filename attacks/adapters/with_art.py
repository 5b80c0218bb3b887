"""Evasion attacks of adversarial-robustness-toolbox."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attacks.adapters.peers import Request, built, refuse_options, refuse_unknown
from wolfhound.errors import PlanError

_NORMS = {"linf": np.inf, "l2": 2}
_OURS = ("eps", "norm", "targeted")


def check(attack: str, options: Mapping[str, object]) -> None:
    """Raise unless the toolbox has `attack` and that has `options`.

    Raises:
        PlanError: it has not.
    """
    base = import_module("art.attacks").EvasionAttack
    offered = [name for name, found in vars(_evasion()).items() if inspect.isclass(found) and issubclass(found, base)]
    refuse_unknown("art", attack, sorted(offered))
    refuse_options(f"art:{attack}", options, known=_parameters(attack), ours=_OURS)


def run(request: Request) -> Tensor:
    """Return the adversarial pixels of `request`.

    An attack with an eps takes the threat's, one that can choose its norm the threat's, or linf where there is none.

    Raises:
        PlanError: an eps is needed but there is no threat, no such goal, or options that are refused.
    """
    name = f"art:{request.attack}"
    known = _parameters(request.attack)
    given = dict(request.options)
    if "eps" in known:
        if request.threat is None:
            raise PlanError(f"{name}: expected a threat for its eps, got none")
        given["eps"] = request.threat.epsilon
    if "norm" in known and request.threat is not None:
        given["norm"] = _NORMS[request.threat.norm]
    if "verbose" in known:
        given.setdefault("verbose", False)
    if "targeted" in known:
        given["targeted"] = request.targeted
    elif request.targeted:
        raise PlanError(f"{name}: expected an attack that can reach a class, got one that only leaves it")
    attack = built(name, lambda: getattr(_evasion(), request.attack)(_estimator(request), **given))
    classes = np.eye(len(request.network.classifier.class_names), dtype=np.float32)[request.classes.cpu().numpy()]
    found = built(name, lambda: attack.generate(request.pixels.cpu().numpy(), classes))
    return torch.from_numpy(np.asarray(found, dtype=np.float32))


def _evasion() -> Any:
    return import_module("art.attacks.evasion")


def _estimator(request: Request) -> Any:
    return import_module("art.estimators.classification").PyTorchClassifier(
        request.network,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(request.pixels.shape[1:]),
        nb_classes=len(request.network.classifier.class_names),
        clip_values=(0.0, 1.0),
        device_type="cpu" if request.pixels.device.type == "cpu" else "gpu",
    )


def _parameters(attack: str) -> list[str]:
    parameters = inspect.signature(getattr(_evasion(), attack).__init__).parameters
    return [name for name in parameters if name not in ("self", "estimator", "classifier")]
