"""L2-penalised logistic regression on few images and many features: exact, deterministic, in float64."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

MOST_STEPS = 100
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """P(positive | f) = sigmoid(weights . f + bias).

    Attributes:
        weights: float64 `[D]`.
        bias: not penalised.
        steps: Newton steps taken.
        residual: largest absolute entry of the objective's gradient in the span of the features, which is 0 at the
            optimum.
    """

    weights: Tensor = field(repr=False)
    bias: float
    steps: int
    residual: float

    def margins(self, features: Tensor) -> Tensor:
        """Return the log odds of features `[N,D]`, float64 `[N]`."""
        return features.double() @ self.weights + self.bias


def fit_logistic(features: Tensor, positive: Tensor, *, strength: float = 1.0) -> LogisticFit:
    """Return the minimum of strength * sum_i log(1 + exp(-y_i (w . f_i + b))) + |w|^2 / 2, y in {-1, 1}.

    That is scikit-learn's objective with C = strength. The optimum lies in the span of the images' features, so the
    problem is solved there, in at most N + 1 numbers whatever D is, by Newton's method with halved steps.

    Args:
        features: `[N,D]`, of any floating dtype, on the CPU.
        positive: bool `[N]`; both values occur.

    Raises:
        ValueError: shapes that do not fit, one class alone, features that are not finite, a strength that is not above
            0, or no convergence (features of a size that floating point cannot serve).
    """
    _check(features, positive, strength)
    basis, reduced = _in_their_span(features.double())
    design = torch.cat([reduced, reduced.new_ones(len(reduced), 1)], dim=1)
    signs = torch.where(positive, 1.0, -1.0).double()
    penalty = torch.ones(design.shape[1], dtype=torch.float64)
    penalty[-1] = 0
    found = torch.zeros_like(penalty)
    for step in range(MOST_STEPS):
        gradient, hessian = _derivatives(design, signs, found, penalty, strength)
        residual = float(gradient.abs().max())
        if residual <= _TOLERANCE * max(1.0, strength * float(design.abs().max())):
            return LogisticFit(basis @ found[:-1], float(found[-1]), step, residual)
        direction = torch.linalg.solve(hessian, gradient)
        found = _halved_until_lower(design, signs, found, direction, penalty, strength)
    raise ValueError(f"expected a fit within {MOST_STEPS} steps, got a gradient of {residual:.2g} (scale the features)")


def _in_their_span(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return an orthonormal basis `[D,R]` of the rows of `features` and their coordinates in it `[N,R]`."""
    left, sizes, right = torch.linalg.svd(features, full_matrices=False)
    kept = sizes > sizes.max() * 1e-13
    return right[kept].T, left[:, kept] * sizes[kept]


def _objective(design: Tensor, signs: Tensor, found: Tensor, penalty: Tensor, strength: float) -> float:
    losses = functional.softplus(-signs * (design @ found))
    return float(strength * losses.sum() + (penalty * found**2).sum() / 2)


def _derivatives(
    design: Tensor, signs: Tensor, found: Tensor, penalty: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    wrong = torch.sigmoid(-signs * (design @ found))
    gradient = -strength * design.T @ (signs * wrong) + penalty * found
    hessian = strength * design.T @ (design * (wrong * (1 - wrong))[:, None]) + torch.diag(penalty)
    # The bias has no penalty: with every image far on its own side the curvature there vanishes.
    return gradient, hessian + 1e-12 * torch.eye(len(hessian), dtype=torch.float64)


def _halved_until_lower(
    design: Tensor, signs: Tensor, found: Tensor, direction: Tensor, penalty: Tensor, strength: float
) -> Tensor:
    before, length = _objective(design, signs, found, penalty, strength), 1.0
    while length > 1e-8:
        moved = found - length * direction
        if _objective(design, signs, moved, penalty, strength) <= before + 1e-12 * abs(before):
            return moved
        length /= 2
    return found


def _check(features: Tensor, positive: Tensor, strength: float) -> None:
    if features.ndim != 2 or positive.shape != features.shape[:1] or positive.dtype != torch.bool:
        raise ValueError(f"expected features [N, D] and flags [N], got {list(features.shape)} and {positive.shape}")
    if not bool(torch.isfinite(features).all()):
        raise ValueError("expected finite features, got NaN or infinity (does the network give finite activations?)")
    if not strength > 0 or bool(positive.all()) or not bool(positive.any()):
        raise ValueError(f"expected images of both classes and a strength above 0, got {positive.sum()} positive")
