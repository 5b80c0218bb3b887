"""Whether other ways to run the same network pay on this CPU, and whether its predictions stay the same.

    python benchmarks/attacks_variants.py REAL [--threads 1] [--repeats 5] [--only folded bf16]

REAL is the folder of real classifiers (or $WOLFHOUND_REAL): CIFAR-10 ResNet-20 on 256 images and SqueezeNet 1.1 on 64
photographs. Each variant takes turns with the plain network; printed are the ratios of the medians of CPU time (plain
over variant: above 1 it pays) for forward passes and for input gradients, how many predictions differ, by how much
logits do at most, in deviations of the logits, and how long it took to be ready, its first passes over the images
included. "input_last" changes the layout of the pixels alone.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from attack_subjects import cifar10, real_folder, squeezenet
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from wolfhound.classifier import Classifier


@dataclass(frozen=True)
class Variant:
    """A network of the same function, and what its pixels and passes need."""

    module: nn.Module
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    memory_format: torch.memory_format = torch.contiguous_format


def variants(module: nn.Module) -> dict[str, Callable[[], Variant]]:
    """Return the ways to run `module`, made when they are asked for."""
    last = torch.channels_last
    return {
        "channels_last": lambda: Variant(copy.deepcopy(module).to(memory_format=last), memory_format=last),
        "input_last": lambda: Variant(module, memory_format=last),
        "folded": lambda: Variant(fuse(copy.deepcopy(module))),
        "bf16": lambda: Variant(module, lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
        "compiled": lambda: Variant(torch.compile(copy.deepcopy(module))),
        "compiled_last": lambda: Variant(
            torch.compile(copy.deepcopy(module).to(memory_format=last)), memory_format=last
        ),
    }


def forward(variant: Variant, inputs: Tensor) -> Tensor:
    """Return the logits."""
    with torch.no_grad(), variant.context():
        logits: Tensor = variant.module(inputs)
    return logits.float()


def gradient(variant: Variant, inputs: Tensor) -> Tensor:
    """Return the gradient of the summed largest logits in the inputs."""
    at = inputs.detach().requires_grad_()
    with variant.context():
        reached = variant.module(at).float().amax(dim=1).sum()
    return torch.autograd.grad(reached, at)[0]


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ratio(task: Callable[[Variant, Tensor], Tensor], plain: Variant, other: Variant, pixels: Tensor, n: int) -> float:
    """Return the CPU time of the plain network over that of the other one, in turns."""
    inputs = {id(one): pixels.to(memory_format=one.memory_format) for one in (plain, other)}
    times: dict[int, list[float]] = {id(plain): [], id(other): []}
    for _ in range(n + 1):
        for one in (plain, other):
            times[id(one)].append(cpu_seconds(lambda one=one: task(one, inputs[id(one)])))
    return statistics.median(times[id(plain)][1:]) / statistics.median(times[id(other)][1:])


def compare(classifier: Classifier, pixels: Tensor, *, batch: int, repeats: int, only: list[str]) -> None:
    """Print a line for each variant."""
    module = classifier.module.eval().requires_grad_(False)
    prepared, plain = classifier.preprocessing.apply(pixels), Variant(module)
    for name, make in variants(module).items():
        if name not in only:
            continue
        begun = time.monotonic()
        other = make()
        shown = prepared.to(memory_format=other.memory_format)
        pairs = [
            (forward(plain, prepared[i : i + batch]), forward(other, shown[i : i + batch]))
            for i in range(0, len(pixels), batch)
        ]
        gradient(other, shown[:batch])
        first = time.monotonic() - begun
        expected, found = (torch.cat(logits) for logits in zip(*pairs, strict=True))
        differing = int((expected.argmax(dim=1) != found.argmax(dim=1)).sum())
        off = float((found - expected).abs().max() / expected.std())
        forwards, gradients = (ratio(task, plain, other, prepared[:batch], repeats) for task in (forward, gradient))
        print(
            f"{classifier.name:26} {name:14} forward {forwards:5.2f}, gradient {gradients:5.2f}, "
            f"predictions that differ {differing} of {len(pixels)}, logits off by {off:.1e}, "
            f"{first:.1f} s until first used",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", nargs="*", default=["channels_last", "input_last", "folded", "bf16", "compiled", "compiled_last"]
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    real = real_folder(options.real)
    with tempfile.TemporaryDirectory() as cache:
        for load, count, batch in ((cifar10, 256, 64), (squeezenet, 64, 16)):
            classifier, splits = load(real, cache=Path(cache), craft=1, select=1, report=count)
            compare(classifier, splits.report.load(), batch=batch, repeats=options.repeats, only=options.only)


if __name__ == "__main__":
    main()
