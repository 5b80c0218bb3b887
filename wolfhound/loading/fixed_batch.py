"""A network that was exported for one batch size, made to take any."""

import torch
from torch import Tensor, nn


class FixedBatch(nn.Module):
    """Hands `network` exactly `size` images at a time; the last group is filled up with its own last image."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores `[B,classes]` of `images` `[B,3,H,W]`."""
        return torch.cat([self._group(group) for group in torch.split(images, self.size)])

    def _group(self, group: Tensor) -> Tensor:
        missing = self.size - len(group)
        filled = torch.cat([group, group[-1:].expand(missing, -1, -1, -1)]) if missing else group
        scores: Tensor = self.network(filled)
        return scores[: len(group)]
