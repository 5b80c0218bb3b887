"""A user's own images, masks, boxes and classifier for the bias stage, made in a folder.

The pictures are red and blue squares on bright and dark textures; the classifier reads the border, by construction.
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from flows.audit_job import AuditJob
from flows.bias_stage import bias_entries, bias_findings, check_bias, probe
from flows.planning import check_against_registries
from tests.explainers import synthetic
from wolfhound.evidence import Finding
from wolfhound.progress import silent

NETWORK = """
import torch
from torch import nn


class Border(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))
        self.features = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.features.weight, 1 / 3)

    def forward(self, pixels):
        grey = self.features(pixels)
        inner = grey[:, :, 2:-2, 2:-2].sum(dim=(1, 2, 3))
        border = (grey.sum(dim=(1, 2, 3)) - inner) / (grey[0].numel() - grey[0, :, 2:-2, 2:-2].numel()) - 0.5
        return torch.stack([-self.scale * border, self.scale * border], dim=1)


def border():
    return Border()


def darkened(pixels):
    changed = torch.full_like(pixels, 0.05)
    changed[..., 2:-2, 2:-2] = pixels[..., 2:-2, 2:-2]
    return changed
"""

PLAN = """\
wolfhound: 1
name: own
purpose: A test.
seed: 3
device: cpu
batch_size: 16
images: {source: csv, path: images.csv, size: 16, fit: {method: squash}}
splits: {craft: 2, select: 2, report: 60}
classifiers:
  - name: border
    source: factory
    file: network.py
    callable: border
    preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}
bias:
"""
# Labels are sorted by name: husky is 0, wolf is 1; a bright border (snow) says wolf.
USUAL = {"wolf": "snow", "husky": "grass"}


def written(folder: Path, *, masks: bool = True) -> Path:
    """Write 64 pictures, their list, boxes and attributes, and the network."""
    rng, rows, boxes = np.random.default_rng(0), [], []
    for index in range(64):
        label = ("wolf", "husky")[index % 2]
        kind = USUAL[label] if index % 8 < 6 else USUAL[("husky", "wolf")[index % 2]]
        pixels, mask = synthetic.texture(kind, rng), np.zeros((16, 16), dtype=np.uint8)
        pixels[:, 5:11, 4:12] = np.array([220, 40, 30] if label == "wolf" else [30, 40, 220])[:, None, None]
        mask[5:11, 4:12] = 255
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"{index}-mask.png")
        rows.append((f"{index}.png", label, f"{index}-mask.png" if masks else "", kind))
        boxes.append((f"{index}.png", 4, 5, 12, 11, ("old", "new")[index % 3 == 0], "x" if index else "rare"))
    with (folder / "images.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "mask", "group"), *rows])
    with (folder / "boxes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "x0", "y0", "x1", "y1", "camera", "odd"), *boxes])
    (folder / "network.py").write_text(NETWORK)
    return folder


def job_of(folder: Path, bias: str) -> AuditJob:
    root = folder / "run"
    root.mkdir(exist_ok=True)
    return AuditJob((PLAN + bias).encode(), folder, root, folder / "cache", "wolfhound run own.yaml")


def findings_of(job: AuditJob) -> list[Finding]:
    check_against_registries(job)
    check_bias(job)
    values = {entry.name: (entry, probe(job, entry, silent)) for entry in bias_entries(job)}
    return [finding for _, finding in bias_findings(values)]


SWAPS = (
    "  - {source: masks, crossed: 6, shown: 2, kinds: groups, usual: {wolf: snow, husky: grass}, plates: inpainted}\n"
)
