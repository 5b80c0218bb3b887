"""How much memory a network takes for an image, counted rather than tried out, and how much there is.

A gradient in the pixels keeps every tensor that the backward pass needs. Their bytes are counted once on two images,
which is the same on every device, so nothing has to run out of memory to find a batch that fits.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wolfhound.classifier import Classifier, frozen

_CGROUP = Path("/sys/fs/cgroup")
_COUNTED = 2


@dataclass(frozen=True)
class Footprint:
    """Bytes that a network takes: its weights once, and for each image what a gradient in its pixels keeps."""

    weights: int
    image: int

    def bytes(self, batch: int) -> int:
        """Return what a batch takes in all.

        >>> Footprint(weights=1000, image=10).bytes(5)
        1050
        """
        return self.weights + batch * self.image

    def most(self, memory: int) -> int:
        """Return how many images fit into `memory` bytes beside the weights; 0 where none does.

        >>> Footprint(weights=1000, image=10).most(1055)
        5
        """
        return max(0, memory - self.weights) // self.image


def footprint(classifier: Classifier, size: tuple[int, int]) -> Footprint:
    """Return what `classifier` takes for images of `size` (height, width).

    Counted are its parameters and buffers, the image itself, its gradient, and every different tensor that autograd
    keeps for the backward pass. Work space of single operations is not, so leave room.
    """
    module = classifier.module
    weights = sum(part.numel() * part.element_size() for part in (*module.parameters(), *module.buffers()))
    pixels = torch.full((_COUNTED, 3, *size), 0.5, device=classifier.device, dtype=classifier.dtype)
    kept: dict[int, int] = {}
    own = {part.untyped_storage().data_ptr() for part in (*module.parameters(), *module.buffers())}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    wanted = classifier.differentiable  # a black box keeps nothing for a backward pass, and would refuse one
    with (
        frozen(module),
        torch.set_grad_enabled(wanted),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        logits = classifier.logits(pixels.requires_grad_(wanted))
        # Tensors have to live until all are counted: a freed one's address may be given to the next.
        total = sum(kept.values()) + logits.numel() * logits.element_size()
    image = 2 * pixels[0].numel() * pixels.element_size() + total // _COUNTED
    return Footprint(weights, image)


def available_memory(device: torch.device) -> int:
    """Return how many bytes are free for tensors on `device`, the limit of a container included.

    Raises:
        RuntimeError: an unknown kind of device.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device.type == "cpu":
        return min([_free_on_this_machine(), *_left_in_container(_CGROUP)])
    raise RuntimeError(f"expected cuda, mps or cpu, got {device.type}")


def _free_on_this_machine(meminfo: Path = Path("/proc/meminfo")) -> int:
    if meminfo.is_file():
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return 1024 * int(rows["MemAvailable"].split()[0])
    # Without Linux's figure: half of what the machine has.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _left_in_container(folder: Path) -> list[int]:
    """Return what a container's limit (cgroup v2) leaves; nothing where there is none.

    Cached files that nobody uses are counted as used by the kernel, and given up by it when memory is asked for.
    """
    try:
        limit, used, rows = (
            (folder / name).read_text().strip() for name in ("memory.max", "memory.current", "memory.stat")
        )
    except OSError:
        return []
    cached = dict(line.split() for line in rows.splitlines()).get("inactive_file", "0")
    return [] if limit == "max" else [max(0, int(limit) - int(used) + int(cached))]
