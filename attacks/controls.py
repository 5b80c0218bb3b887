"""Controls: perturbations that know nothing of the network. An attack that is no better than these found nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.delivery import quantise
from attacks.threat import Threat


def sign_noise(threat: Threat, size: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """Return random signs of the full size of the threat, `[3,H,W]` float32 multiples of 1/255.

    linf: every value is plus or minus epsilon; L2: the signs are scaled to the radius; patch: every channel within it
    is black or full. All are rounded to 8 bit within the threat.
    """
    signs = torch.randint(0, 2, (3, *size), generator=generator).float().mul_(2).sub_(1)
    if threat.norm == "linf":
        return quantise(signs * threat.epsilon, threat)
    if threat.norm == "patch":
        return quantise(signs, threat)
    return quantise(signs * (threat.epsilon / signs.norm()), threat)


def noise_controls(threat: Threat, size: tuple[int, int], *, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Return one `sign_noise` a seed, named "noise <seed>"."""
    return {f"noise {seed}": sign_noise(threat, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds}
