"""Auto-PGD as the paper writes it (algorithm 1 and section 3.1): one image, one step at a time. Slow on purpose."""

from collections.abc import Callable

import torch
from torch import Tensor

from wolfhound.classifier import Classifier


def paper_checkpoints(iterations: int) -> list[int]:
    """w_j = ceil(p_j N) with p_0 = 0, p_1 = 0.22 and p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), in hundredths."""
    shares = [0, 22]
    while shares[-1] + max(shares[-1] - shares[-2] - 3, 6) <= 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return [-(-share * iterations // 100) for share in shares[1:]]


def project(at: Tensor, clean: Tensor, norm: str, epsilon: float) -> Tensor:
    delta = at - clean
    if norm == "linf":
        delta = torch.minimum(torch.maximum(delta, torch.tensor(-epsilon)), torch.tensor(epsilon))
    elif float(delta.norm()) > epsilon:
        delta = delta * (epsilon / float(delta.norm()))
    return (clean + delta).clamp(0, 1)


def apgd_one(
    classifier: Classifier,
    clean: Tensor,
    start: Tensor,
    objective: Callable[[Tensor], Tensor],
    *,
    norm: str,
    epsilon: float,
    iterations: int,
    rho: float,
) -> tuple[Tensor, list[float]]:
    """Return (the point of the highest objective, the step sizes) for one image `[3,H,W]`, without an early stop."""

    def ask(at: Tensor) -> tuple[float, Tensor]:
        leaf = at.clone().requires_grad_()
        value = objective(classifier.logits(leaf[None])[0])
        (gradient,) = torch.autograd.grad(value, leaf)
        direction = gradient.sign() if norm == "linf" else gradient / gradient.norm()
        return float(value.detach()), direction

    checks = paper_checkpoints(iterations)
    eta, before = 2 * epsilon, 0
    previous = current = start
    value, direction = ask(current)
    best, best_value, best_direction = current, value, direction
    last_eta, last_best = None, None
    rises, etas = 0, []
    for k in range(1, iterations + 1):
        z = project(current + eta * direction, clean, norm, epsilon)
        alpha = 1.0 if k == 1 else 0.75
        mixed = current + alpha * (z - current) + (1 - alpha) * (current - previous)
        previous, current = current, project(mixed, clean, norm, epsilon)
        etas.append(eta)
        new_value, direction = ask(current)
        rises += new_value > value
        value = new_value
        if value > best_value:
            best, best_value, best_direction = current, value, direction
        if k in checks:
            first = rises < rho * (k - before)
            second = last_eta == eta and last_best == best_value
            last_eta, last_best, before, rises = eta, best_value, k, 0
            if first or second:
                eta = eta / 2
                current, value, direction = best, best_value, best_direction
    return best, etas
