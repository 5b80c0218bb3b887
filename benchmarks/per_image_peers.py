"""Our per-image attacks and those of torchattacks and foolbox with equal settings, for tests and benchmarks."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from attacks.base import ImageAttack
from attacks.per_image.carlini_wagner import CarliniWagner
from attacks.per_image.deepfool import DeepFool
from attacks.per_image.gradient_steps import FastGradient, MomentumGradient, ProjectedGradient
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen

Peer = Callable[[nn.Module, Tensor, Tensor, bool], Tensor]
"""(network of pixels, pixels, targets, whether to reach them) -> adversarial pixels, not rounded."""


class OfPixels(nn.Module):
    """A classifier as the peers want it: a module from pixels in [0, 1] to logits, frozen, in evaluation mode."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.inner = classifier.module

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier.logits(pixels)


@dataclass(frozen=True, eq=False)
class Pair:
    """One of our attacks, its budget, and the peers' attacks with the same settings.

    Where there is no threat, the attack looks for a small perturbation, and sizes are compared, else success.
    """

    name: str
    ours: ImageAttack
    threat: Threat | None
    peers: Mapping[str, Peer] = field(default_factory=dict)

    @property
    def small(self) -> bool:
        """Whether sizes are what is compared."""
        return self.threat is None

    def towards(self) -> "Pair":
        """Return the same pair with classes to reach."""
        return replace(self, ours=replace(self.ours, targeted=True))  # type: ignore[type-var]


def installed() -> tuple[str, ...]:
    """Return which of the peers are there."""
    return tuple(name for name in ("torchattacks", "foolbox") if importlib.util.find_spec(name))


def run_peer(peer: Peer, classifier: Classifier, pixels: Tensor, targets: Tensor, *, targeted: bool) -> Tensor:
    """Return what the peer makes of a batch, in a network frozen as ours is, with its own seed."""
    with frozen(classifier.module), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return peer(OfPixels(classifier).eval(), pixels, targets, targeted).detach()


def torchattacks_peer(kind: str, **options: Any) -> Peer:
    """Return an attack of torchattacks."""

    def run(network: nn.Module, pixels: Tensor, targets: Tensor, targeted: bool) -> Tensor:
        import torchattacks

        attack = getattr(torchattacks, kind)(network, **options)
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        adversarial: Tensor = attack(pixels, targets)
        return adversarial

    return run


def foolbox_peer(kind: str, *, epsilon: float | None = None, **options: Any) -> Peer:
    """Return an attack of foolbox."""

    def run(network: nn.Module, pixels: Tensor, targets: Tensor, targeted: bool) -> Tensor:
        import foolbox

        model = foolbox.PyTorchModel(network, bounds=(0, 1), device=pixels.device)
        criterion = (foolbox.criteria.TargetedMisclassification if targeted else foolbox.criteria.Misclassification)(
            targets
        )
        budget = {} if epsilon is None else {"epsilon": epsilon}
        adversarial: Tensor = getattr(foolbox.attacks, kind)(**options).run(model, pixels, criterion, **budget)
        return adversarial

    return run


def bounded_pairs(linf: float, l2: float, *, steps: int = 10) -> tuple[Pair, ...]:
    """Return the attacks within a threat, `steps` steps each where they take several."""
    in_linf, in_l2 = Threat("linf", linf), Threat("l2", l2)
    share = 1 / steps
    return (
        Pair(
            "FGSM, linf",
            FastGradient(),
            in_linf,
            {
                "torchattacks": torchattacks_peer("FGSM", eps=linf),
                "foolbox": foolbox_peer("LinfFastGradientAttack", epsilon=linf),
            },
        ),
        Pair(
            "PGD, linf",
            ProjectedGradient(most_steps=steps),
            in_linf,
            {
                "torchattacks": torchattacks_peer("PGD", eps=linf, alpha=linf / 4, steps=steps),
                "foolbox": foolbox_peer(
                    "LinfProjectedGradientDescentAttack", epsilon=linf, rel_stepsize=0.25, steps=steps
                ),
            },
        ),
        Pair(
            "PGD, L2",
            ProjectedGradient(most_steps=steps),
            in_l2,
            {
                "torchattacks": torchattacks_peer("PGDL2", eps=l2, alpha=l2 / 4, steps=steps),
                "foolbox": foolbox_peer("L2ProjectedGradientDescentAttack", epsilon=l2, rel_stepsize=0.25, steps=steps),
            },
        ),
        Pair(
            "MI-FGSM, linf",
            MomentumGradient(most_steps=steps),
            in_linf,
            {
                "torchattacks": torchattacks_peer("MIFGSM", eps=linf, alpha=share * linf, steps=steps),
                "foolbox": foolbox_peer(
                    "LinfMomentumIterativeFastGradientMethod", epsilon=linf, rel_stepsize=share, steps=steps
                ),
            },
        ),
    )


def small_pairs(*, searches: int = 5, steps: int = 80, candidates: int = 10, classes: int = 10) -> tuple[Pair, ...]:
    """Return the attacks that look for a small perturbation.

    torchattacks has no search over c, so it has a pair of its own; its DeepFool takes a gradient for every class, so it
    is left out where there are more than 100.
    """
    searched = CarliniWagner(searches=searches, most_steps=steps)
    deepfool = {"foolbox": foolbox_peer("L2DeepFoolAttack", steps=50, candidates=candidates)}
    if classes <= 100:
        deepfool["torchattacks"] = torchattacks_peer("DeepFool", steps=50, overshoot=0.02)
    return (
        Pair(
            "Carlini-Wagner, one c",
            CarliniWagner(searches=1, most_steps=50, first_constant=1.0, learning_rate=0.01),
            None,
            {"torchattacks": torchattacks_peer("CW", c=1, steps=50, lr=0.01)},
        ),
        Pair(
            "Carlini-Wagner, search",
            searched,
            None,
            {
                "foolbox": foolbox_peer(
                    "L2CarliniWagnerAttack",
                    binary_search_steps=searches,
                    steps=steps,
                    stepsize=searched.learning_rate,
                    initial_const=searched.first_constant,
                )
            },
        ),
        Pair("DeepFool, L2", DeepFool(candidates=candidates), None, deepfool),
        Pair(
            "DeepFool, linf",
            DeepFool(norm="linf", candidates=candidates),
            None,
            {"foolbox": foolbox_peer("LinfDeepFoolAttack", steps=50, candidates=candidates)},
        ),
    )
