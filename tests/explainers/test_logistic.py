import pytest
import torch

from explainers.logistic import fit_logistic


def problem(count: int = 20, width: int = 50, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return features, features[:, 0] + 0.5 * torch.randn(count, generator=generator, dtype=torch.float64) > 0


@pytest.mark.parametrize(("count", "width"), [(20, 50), (60, 4)])
def test_the_gradient_of_the_whole_objective_vanishes(count: int, width: int) -> None:
    features, positive = problem(count, width)
    fit = fit_logistic(features, positive, strength=2.0)
    weights, bias = fit.weights.clone().requires_grad_(), torch.tensor(fit.bias, dtype=torch.float64).requires_grad_()
    signs = positive.double() * 2 - 1
    loss = 2.0 * torch.log1p(torch.exp(-signs * (features @ weights + bias))).sum() + weights.square().sum() / 2
    for gradient in torch.autograd.grad(loss, [weights, bias]):
        assert float(gradient.abs().max()) < 1e-7


def test_slow_gradient_descent_ends_at_the_same_weights() -> None:
    features, positive = problem(12, 6)
    signs, weights, bias = positive.double() * 2 - 1, torch.zeros(6, dtype=torch.float64), 0.0
    for _ in range(20000):
        wrong = torch.sigmoid(-signs * (features @ weights + bias))
        weights = weights - 0.02 * (weights - features.T @ (signs * wrong))
        bias = bias + 0.02 * float((signs * wrong).sum())
    fit = fit_logistic(features, positive)
    assert torch.allclose(fit.weights, weights, atol=1e-8)
    assert fit.bias == pytest.approx(bias, abs=1e-8)


def test_separable_features_of_any_size_give_a_finite_fit() -> None:
    for scale in (1e-3, 1.0, 1e4):
        features, _ = problem(20, 400)
        positive = torch.arange(20) % 2 == 0
        fit = fit_logistic(scale * features, positive)
        assert torch.isfinite(fit.weights).all()
        assert bool(((fit.margins(scale * features) > 0) == positive).all()) or scale == 1e-3


def test_features_of_no_use_leave_the_odds_of_the_classes() -> None:
    fit = fit_logistic(torch.zeros(10, 3) + 1e-12, torch.tensor([True] * 8 + [False] * 2))
    assert fit.bias == pytest.approx(torch.tensor(4.0).log().item(), abs=1e-6)


@pytest.mark.peers
def test_the_fit_is_scikit_learns() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    features, positive = problem(40, 90)
    peer = linear.LogisticRegression(C=0.7, tol=1e-12, max_iter=100000).fit(features.numpy(), positive.numpy())
    fit = fit_logistic(features, positive, strength=0.7)
    assert torch.allclose(fit.weights, torch.from_numpy(peer.coef_[0]), atol=1e-5)
    assert fit.bias == pytest.approx(float(peer.intercept_[0]), abs=1e-5)


@pytest.mark.parametrize(
    ("features", "positive", "strength"),
    [
        (torch.zeros(3), torch.tensor([True]), 1.0),
        (torch.zeros(2, 3), torch.tensor([True, True]), 1.0),
        (torch.zeros(2, 3), torch.tensor([True, False]), 0.0),
        (torch.full((2, 3), torch.nan), torch.tensor([True, False]), 1.0),
    ],
)
def test_what_cannot_be_fitted_is_refused(features: torch.Tensor, positive: torch.Tensor, strength: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        fit_logistic(features, positive, strength=strength)
