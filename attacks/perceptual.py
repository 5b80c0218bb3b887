"""How visible a perturbation is: SSIM, and LPIPS where its package is there, beside the sizes in linf and L2."""

from collections.abc import Sequence
from importlib import import_module

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from wolfhound.checks import check_pixels
from wolfhound.errors import DataError, ModelError
from wolfhound.images import ImageSet

WINDOW, SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the structural similarity of each pair of images, float64 `[B]`: 1 only for equal images.

    `first`, `second` `[B,3,H,W]`, floating in [0, 1], of at least 11 pixels a side. Wang, Bovik, Sheikh & Simoncelli
    (2004, section III): a Gaussian window of 11x11 and sigma 1.5, K1 = 0.01, K2 = 0.03, data range 1, population
    moments; the mean over all whole windows and over the three channels (the paper's images are grey).

    Raises:
        TypeError, ValueError: not floating pixels in [0, 1].
        DataError: different shapes, or images smaller than the window.
    """
    check_pixels(first, name="first images")
    check_pixels(second, name="second images")
    if first.shape != second.shape or min(first.shape[-2:]) < WINDOW:
        raise DataError(
            f"expected images of one shape and at least {WINDOW} pixels a side, got {list(first.shape)} and "
            f"{list(second.shape)}"
        )
    x, y = first.detach().double(), second.detach().double()
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _K1**2) / (mean_x**2 + mean_y**2 + _K1**2)
    structure = (2 * covariance + _K2**2) / (variance_x + variance_y + _K2**2)
    similarity: Tensor = (luminance * structure).mean(dim=(1, 2, 3))
    return similarity


def _windowed(images: Tensor) -> Tensor:
    """Return the Gaussian-weighted mean of every whole window of each channel."""
    steps = torch.arange(WINDOW, dtype=torch.float64, device=images.device) - WINDOW // 2
    weights = torch.exp(-0.5 * (steps / SIGMA) ** 2)
    line = weights / weights.sum()
    rows = images.flatten(0, 1).unsqueeze(1)
    windowed = functional.conv2d(functional.conv2d(rows, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))
    return windowed.view(*images.shape[:2], *windowed.shape[-2:])


def load_lpips(network: str = "alex") -> nn.Module:
    """Return the LPIPS metric (Zhang et al., CVPR 2018) of the lpips package, in evaluation mode.

    Raises:
        ModelError: the package is not installed, or the weights of its features cannot be fetched.
    """
    try:
        package = import_module("lpips")
    except ImportError as error:
        raise ModelError("expected the package lpips, for LPIPS (pip install 'wolfhound[perceptual]')") from error
    try:
        metric: nn.Module = package.LPIPS(net=network, verbose=False).eval()
    except OSError as error:
        raise ModelError(
            f"expected torchvision's weights of {network!r} for LPIPS, but they cannot be fetched: {error} (fetch them "
            "once where the hub can be reached; torch keeps them below TORCH_HOME)"
        ) from error
    return metric


def lpips_distances(first: Tensor, second: Tensor, metric: nn.Module) -> Tensor:
    """Return the LPIPS distance of each pair of images `[B,3,H,W]` in [0, 1], float64 `[B]`: 0 for equal images.

    `metric` is what `load_lpips` returns; it takes pixels in [-1, 1].

    Raises:
        TypeError, ValueError: not floating pixels in [0, 1].
    """
    check_pixels(first, name="first images")
    check_pixels(second, name="second images")
    with torch.no_grad():
        distances: Tensor = metric(2 * first.float() - 1, 2 * second.float() - 1)
    return distances.flatten().double()


def with_sizes(
    ledger: pd.DataFrame,
    images: ImageSet,
    adversarial: Tensor,
    *,
    positions: Sequence[int],
    metric: nn.Module | None = None,
    batch_size: int = 64,
) -> pd.DataFrame:
    """Return a per-image `ledger` with the columns linf, l2, ssim (and lpips, given a `metric`) of its successes.

    `adversarial` uint8 `[K,3,H,W]`: the judged versions of the images at `positions` (see
    `attacks.per_image.driver.attack_images`, which keeps those asked for). linf and l2 are on the pixel scale [0, 1].
    Rows without success, or whose adversarial version was not kept, get NaN for ssim and lpips; linf and l2 are
    measured again for the others and stay as the ledger has them elsewhere.

    Raises:
        DataError: the ledger is of other images, or there is not one adversarial image a position.
    """
    _check_kept(ledger, images, adversarial, positions)
    columns = {name: ledger[name].to_numpy(np.float64, copy=True) for name in ("linf", "l2")}
    columns |= {name: np.full(len(ledger), np.nan) for name in ("ssim",) + (("lpips",) if metric is not None else ())}
    success = ledger["success"].to_numpy(np.bool_)
    wanted = [(k, i) for k, i in enumerate(positions) if success[i]]
    for start in range(0, len(wanted), batch_size):
        kept, rows = (list(part) for part in zip(*wanted[start : start + batch_size], strict=True))
        sizes = _sizes(images.load(rows), adversarial[kept].float().div(255), metric)
        for name, values in sizes.items():
            columns[name][rows] = values.numpy()
    return ledger.assign(**columns)


def _sizes(before: Tensor, after: Tensor, metric: nn.Module | None) -> dict[str, Tensor]:
    delta = (after.double() - before.double()).flatten(1)
    sizes = {"linf": delta.abs().amax(dim=1), "l2": delta.norm(dim=1), "ssim": ssim(before, after)}
    return sizes if metric is None else sizes | {"lpips": lpips_distances(before, after, metric)}


def _check_kept(ledger: pd.DataFrame, images: ImageSet, adversarial: Tensor, positions: Sequence[int]) -> None:
    if list(ledger["image"]) != list(images.hashes):
        raise DataError(f"{images.name}: expected the ledger of these very images, got one of others")
    expected = (len(positions), 3, *images.size)
    if adversarial.dtype != torch.uint8 or adversarial.shape != expected:
        raise DataError(
            f"{images.name}: expected uint8 adversarial images of shape {list(expected)}, one a position, got "
            f"{adversarial.dtype} {list(adversarial.shape)}"
        )
    outside = [i for i in positions if not 0 <= i < len(images)]
    if outside:
        raise DataError(f"{images.name}: expected positions in [0, {len(images)}), got {outside}")
