"""Local response normalisation (Krizhevsky et al. 2012, section 3.3), written so that it is fast on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResponseNorm(nn.Module):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^0.75.

    Equal to `nn.LocalResponseNorm(size, alpha=alpha, beta=0.75, k=k)`. The sum over channels is a 1x1 convolution with
    a banded matrix and the power is taken by square roots, which is several times faster than pooling and `pow`.
    """

    band: Tensor

    def __init__(self, channels: int, *, size: int = 5, alpha: float, k: float) -> None:
        super().__init__()
        self.k = k
        self.share = alpha / size
        places = torch.arange(channels)
        near = (places[:, None] - places[None, :]).abs() <= size // 2
        self.register_buffer("band", near.float()[:, :, None, None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` `[B,channels,h,w]` normalised, of the same shape."""
        energy = functional.conv2d(features * features, self.band)
        inverse_root = (energy * self.share + self.k).rsqrt()
        return features * (inverse_root * inverse_root.sqrt())
