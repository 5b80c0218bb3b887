"""The corruptions by name, with the parameters of their five severities.

Names, order and parameters are those of Hendrycks & Dietterich (ICLR 2019), from the code that made their published
data sets for 32, 64 and 224 pixels (CIFAR-10-C, Tiny ImageNet-C, ImageNet-C). An image of another size takes the
parameters of the published size that is nearest in ratio, unchanged; the elastic ones are shares of the shorter side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from attacks.corruptions import blur, digital, noise, weather
from attacks.corruptions.noise import Draws, Parameters
from wolfhound.errors import PlanError

Family = Literal["noise", "blur", "weather", "digital"]
SEVERITIES = (1, 2, 3, 4, 5)
_SIZES = (32, 64, 224)
_SCALE = 244 / 224  # published: "244 should have been 224"


@dataclass(frozen=True)
class Corruption:
    """One corruption: `apply(pixels, parameters, draws)`, and its parameters by published size and severity."""

    name: str
    title: str
    family: Family
    apply: Callable[[Tensor, Parameters, Draws], Tensor]
    published: Mapping[int, tuple[Parameters, ...]]

    def parameters(self, severity: int, *, side: int) -> Parameters:
        """Return the parameters for an image whose shorter side has `side` pixels."""
        return self.published[published_size(side)][severity - 1]


def published_size(side: int) -> int:
    """Return which of the published sizes is nearest in ratio to a side of that many pixels.

    >>> [published_size(side) for side in (16, 32, 45, 46, 64, 119, 120, 224, 299)]
    [32, 32, 32, 64, 64, 64, 224, 224, 224]
    """
    return min(_SIZES, key=lambda size: max(size, side) / min(size, side))


def _single(*values: float) -> tuple[Parameters, ...]:
    return tuple((value,) for value in values)


def _by_size(*groups: Sequence[Parameters]) -> dict[int, tuple[Parameters, ...]]:
    return {size: tuple(group) for size, group in zip(_SIZES, groups, strict=True)}


_SNOW_SMALL = ((0.1, 0.2, 1, 0.6, 8, 3), (0.1, 0.2, 1, 0.5, 10, 4), (0.15, 0.3, 1.75, 0.55, 10, 4))
_SNOW_SMALL_STRONG = ((0.25, 0.3, 2.25, 0.6, 12, 6), (0.3, 0.3, 1.25, 0.65, 14, 12))


def _small_snow(*kept: float) -> tuple[Parameters, ...]:
    return tuple((*flakes, share) for flakes, share in zip(_SNOW_SMALL + _SNOW_SMALL_STRONG, kept, strict=True))


def _frost(contrast: float, *shares: Parameters) -> tuple[Parameters, ...]:
    """Return published shares of image and ice, with the contrast of our ice for that size behind them."""
    return tuple((*pair, contrast) for pair in shares)


_ALL = (
    Corruption(
        "gaussian_noise",
        "Gaussian noise",
        "noise",
        noise.gaussian_noise,
        _by_size(
            _single(0.04, 0.06, 0.08, 0.09, 0.10),
            _single(0.04, 0.08, 0.12, 0.15, 0.18),
            _single(0.08, 0.12, 0.18, 0.26, 0.38),
        ),
    ),
    Corruption(
        "shot_noise",
        "Shot noise",
        "noise",
        noise.shot_noise,
        _by_size(_single(500, 250, 100, 75, 50), _single(250, 100, 50, 30, 15), _single(60, 25, 12, 5, 3)),
    ),
    Corruption(
        "impulse_noise",
        "Impulse noise",
        "noise",
        noise.impulse_noise,
        _by_size(
            _single(0.01, 0.02, 0.03, 0.05, 0.07),
            _single(0.01, 0.02, 0.05, 0.08, 0.14),
            _single(0.03, 0.06, 0.09, 0.17, 0.27),
        ),
    ),
    Corruption(
        "defocus_blur",
        "Defocus blur",
        "blur",
        blur.defocus_blur,
        _by_size(
            ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
            ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
            ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ),
    ),
    Corruption(
        "glass_blur",
        "Glass blur",
        "blur",
        blur.glass_blur,
        _by_size(
            ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
            ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
            ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ),
    ),
    Corruption(
        "motion_blur",
        "Motion blur",
        "blur",
        blur.motion_blur,
        _by_size(
            ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
            ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
            ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ),
    ),
    Corruption(
        "zoom_blur",
        "Zoom blur",
        "blur",
        blur.zoom_blur,
        _by_size(
            ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
            ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
            ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        ),
    ),
    Corruption(
        "snow",
        "Snow",
        "weather",
        weather.snow,
        _by_size(
            _small_snow(0.95, 0.9, 0.9, 0.85, 0.8),
            _small_snow(0.8, 0.8, 0.7, 0.65, 0.6),
            (
                (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
                (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
                (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
            ),
        ),
    ),
    Corruption(
        "frost",
        "Frost (generated)",
        "weather",
        weather.frost,
        _by_size(
            _frost(0.059, (1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
            _frost(0.070, (1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
            _frost(0.094, (1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ),
    ),
    Corruption(
        "fog",
        "Fog",
        "weather",
        weather.fog,
        _by_size(
            ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
            ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
            ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ),
    ),
    Corruption(
        "brightness",
        "Brightness",
        "weather",
        weather.brightness,
        _by_size(
            _single(0.05, 0.1, 0.15, 0.2, 0.3), _single(0.1, 0.2, 0.3, 0.4, 0.5), _single(0.1, 0.2, 0.3, 0.4, 0.5)
        ),
    ),
    Corruption(
        "contrast",
        "Contrast",
        "digital",
        digital.contrast,
        _by_size(
            _single(0.75, 0.5, 0.4, 0.3, 0.15), _single(0.4, 0.3, 0.2, 0.1, 0.05), _single(0.4, 0.3, 0.2, 0.1, 0.05)
        ),
    ),
    Corruption(
        "elastic_transform",
        "Elastic deformation",
        "digital",
        digital.elastic_transform,
        _by_size(
            ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
            ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
            tuple(
                tuple(_SCALE * share for share in shares)
                for shares in (
                    (2, 0.7, 0.1),
                    (2, 0.08, 0.2),
                    (0.05, 0.01, 0.02),
                    (0.07, 0.01, 0.02),
                    (0.12, 0.01, 0.02),
                )
            ),
        ),
    ),
    Corruption(
        "pixelate",
        "Pixelation",
        "digital",
        digital.pixelate,
        _by_size(
            _single(0.95, 0.9, 0.85, 0.75, 0.65), _single(0.9, 0.8, 0.7, 0.6, 0.5), _single(0.6, 0.5, 0.4, 0.3, 0.25)
        ),
    ),
    Corruption(
        "jpeg_compression",
        "JPEG compression",
        "digital",
        digital.jpeg_compression,
        _by_size(_single(80, 65, 58, 50, 40), _single(65, 58, 50, 40, 25), _single(25, 18, 15, 10, 7)),
    ),
)
CORRUPTIONS: Mapping[str, Corruption] = {corruption.name: corruption for corruption in _ALL}


def chosen_corruptions(names: Literal["all"] | Sequence[str]) -> tuple[Corruption, ...]:
    """Return the corruptions of those names, in the registry's order.

    Raises:
        PlanError: unknown names, or none at all.
    """
    unknown = [] if names == "all" else [name for name in names if name not in CORRUPTIONS]
    if unknown or not names:
        raise PlanError(f"expected corruptions out of {', '.join(CORRUPTIONS)}, got {', '.join(unknown) or 'none'}")
    return tuple(corruption for name, corruption in CORRUPTIONS.items() if names == "all" or name in names)
