"""Subjects, images and findings that no audit made, but that any audit could have made."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wolfhound.counting import Counted, holds, holds_not
from wolfhound.evidence import (
    Artefact,
    Doubt,
    Evidence,
    Finding,
    Gallery,
    ImageRecord,
    Picture,
    Quantity,
    RateTable,
    RunRecord,
    Subject,
)
from wolfhound.statistics import Interval, Rate
from wolfhound.store import EvidenceStore, sha256

NAMES = ("vgg_f", "caffenet", "googlenet", "vgg16", "vgg19", "resnet152")
CLASSES = ("wolf", "husky", "cat", "horse", "owl", "fish", "car", "boat", "house", "tree")
HELD_OUT = "held-out images"
N = 1000
RUN = RunRecord(
    started="2026-03-02T09:14:07+00:00",
    finished="2026-03-02T09:21:33+00:00",
    machine={"system": "Linux 6.1, x86-64", "processor": "2 cores", "device": "cpu", "memory": "8 GiB"},
    versions={"wolfhound": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "torchvision": "0.28.0", "numpy": "2.4.1"},
    seconds={"prepare images": 3.21, "universal perturbations": 214.5, "table": 88.0, "targeted": 21.7, "bias": 44.9},
    reused=("prepare images",),
)
PLAN = b"name: demonstration\nseed: 7\nattacks:\n  - sgd-universal\n"


def rate(share: float, total: int = N, denominator: str = HELD_OUT) -> Rate:
    return Rate(round(share * total), total, denominator)


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def drawing(seed: int) -> NDArray[np.uint8]:
    """A little landscape with an animal-shaped blob, `[64,64,3]`, another one for each seed."""
    rng = np.random.default_rng(seed)
    snow = seed % 2 == 0
    image = Image.new("RGB", (64, 64), (205, 222, 240) if snow else (120, 170, 220))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 38, 64, 64), fill=(243, 246, 250) if snow else (92, 148, 72))
    left, coat = int(rng.integers(8, 22)), tuple(int(v) for v in rng.integers(60, 150, 3))
    draw.ellipse((left, 28, left + 32, 46), fill=coat)
    draw.ellipse((left + 22, 18, left + 38, 34), fill=coat)
    draw.polygon([(left + 25, 20), (left + 27, 11), (left + 31, 18)], fill=coat)
    for leg in (4, 10, 22, 28):
        draw.rectangle((left + leg, 42, left + leg + 3, 56), fill=coat)
    return np.asarray(image)


def perturbation(seed: int, scale: float = 10.0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(1000 + seed)
    waves = sum(
        np.sin(np.outer(np.arange(64) * rng.normal(0, 0.4), np.ones(64)) + np.arange(64) * rng.normal(0, 0.5))[
            ..., None
        ]
        * rng.normal(0, 1, 3)
        for _ in range(4)
    )
    return np.clip(127.5 + scale * 12.7 * np.sign(waves), 0, 255).astype(np.uint8)


class Folder:
    """Writes one run folder."""

    def __init__(self, root: Path) -> None:
        self.store = EvidenceStore(root)

    def picture(self, pixels: NDArray[np.uint8], caption: str, alt: str) -> Picture:
        return Picture(self.store.put(png(pixels), ".png"), caption, alt)

    def ledger(self, rates: Mapping[str, Rate]) -> Artefact:
        """One row an image and one column a rate: 1 a success, 0 none, empty where the image is not counted."""
        rows = max(value.total for value in rates.values())
        lines = [",".join(["image", *rates])]
        for i in range(rows):
            cells = ["" if i >= r.total else str(int(i < r.successes)) for r in rates.values()]
            lines.append(",".join([sha256(f"image {i}".encode()), *cells]))
        return self.store.put(("\n".join(lines) + "\n").encode(), ".csv")

    def counted(self, finding: Finding, *, name: str = "per image") -> Finding:
        """The finding with a ledger that its rates are counted from, and the rules of counting them."""
        rules = {rate: Counted(name, ((holds(rate, 1),),), (holds_not(rate, ""),)) for rate in finding.rates}
        return replace(finding, ledgers={name: self.ledger(finding.rates)}, counted=rules)

    def finish(self, evidence: Evidence, record: RunRecord = RUN) -> EvidenceStore:
        self.store.write("plan.yaml", PLAN)
        self.store.write_evidence(evidence, record)
        return self.store


def subjects() -> tuple[Subject, ...]:
    return tuple(
        Subject(
            name=name,
            architecture=f"{name} at reduced width",
            provenance="demonstration classifier, trained on the generated images; not the published network",
            weights_sha256=sha256(name.encode()),
            parameters=412_345 + 91_000 * index,
            input_size=(64, 64),
            classes=10,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )
        for index, name in enumerate(NAMES)
    )


def images() -> tuple[ImageRecord, ...]:
    roles = {"craft": 2000, "select": 500, "report": N}
    return tuple(
        ImageRecord(f"demonstration/{role}", role, count, 10, (64, 64), sha256(role.encode()), "generated, seed 7")
        for role, count in roles.items()
    )


def clean(folder: Folder, index: int, name: str) -> Finding:
    counts = np.full((10, 10), 1, dtype=int)
    np.fill_diagonal(counts, 91 - index)
    lines = ["true," + ",".join(CLASSES)]
    lines += [f"{label},{','.join(map(str, row))}" for label, row in zip(CLASSES, counts.tolist(), strict=True)]
    finding = Finding(
        id=f"clean/{name}",
        kind="clean",
        subject=name,
        title=f"Clean accuracy of {name}",
        claim=f"{name} classified {910 - 10 * index} of 1000 held-out images correctly.",
        knowledge="none",
        conditions={"images": "report split, 1000 images", "batch size": "100"},
        rates={"accuracy": rate(0.91 - 0.01 * index)},
        counts={"per class": dict.fromkeys(CLASSES, 91 - index)},
        artefacts={"confusion matrix": folder.store.put(("\n".join(lines) + "\n").encode(), ".csv")},
        reproduce="wolfhound run plans/demonstration.yaml --only clean",
    )
    return folder.counted(finding, name="predictions")


def universal(folder: Folder, index: int, name: str, attack: str) -> Finding:
    own = folder.picture(
        perturbation(index), "perturbation, amplified × 12.75", f"Perturbation crafted on {name}: coloured waves"
    )
    rows: list[tuple[Picture, ...]] = []
    for example in range(2):
        pixels = drawing(10 * index + example)
        noisy = np.clip(pixels.astype(int) + (perturbation(index).astype(int) - 127) // 13, 0, 255).astype(np.uint8)
        rows.append(
            (
                folder.picture(pixels, f"clean: {CLASSES[example]} (0.98)", f"A {CLASSES[example]} on its background"),
                folder.picture(noisy, "perturbed: boat (0.91)", f"The same {CLASSES[example]}, slightly grainy"),
            )
        )
    share = 0.93 - 0.07 * index
    finding = Finding(
        id=f"universal/{attack}/{name}",
        kind="universal",
        subject=name,
        title=f"{attack} on {name}",
        claim=f"One perturbation of size l∞ 10/255 changed the prediction of {name} on {round(1000 * share)} of 1000 "
        "held-out images.",
        knowledge="white-box",
        conditions={
            "attack": attack,
            "source": "Shafahi et al., 2020",
            "norm and epsilon": "l∞ 10/255",
            "crafting images": "2000",
            "passes": "5",
            "gradients": str(10_000 + index),
            "seed": "7",
            "checkpoint": "best on the select split",
        },
        rates={
            "fooling_rate": rate(share),
            "error_rate": rate(share - 0.02),
            "attack_success": rate(share, 900 - index, "held-out images classified correctly when clean"),
            "noise_control": rate(0.06 if index < 5 else 0.0),
        },
        controls=("noise_control",),
        quantities={"linf": Quantity(10 / 255, "", "largest change of a pixel value, after rounding to 8 bits")},
        counts={"dominant labels": {label: 600 // (place + 1) for place, label in enumerate(CLASSES)}},
        series={
            "fooling rate on the select split by pass": tuple(
                (float(p), min(share, 0.3 + 0.15 * p)) for p in range(1, 6)
            )
        },
        galleries=(
            Gallery("The perturbation", ((own,),), "the one that was measured", "grey is no change"),
            Gallery("Examples", tuple(rows), "the first two images of the report split"),
        ),
        artefacts={"perturbation": folder.store.put(f"perturbation {attack} {name}".encode(), ".safetensors")},
        doubts=(Doubt("gradient masking", "the white-box rate is below the transfer rate"),) if index == 4 else (),
        reproduce=f"wolfhound run plans/demonstration.yaml --only universal/{attack}/{name}",
    )
    return folder.counted(finding, name="predictions")


def transfer(folder: Folder, table: RateTable, name: str, attack: str) -> Finding:
    rates = {f"from {row}": table.cell(row, name) for row in NAMES if row != name}
    known = {key: value for key, value in rates.items() if value is not None}
    worst = max(known.values(), key=lambda value: value.share)
    finding = Finding(
        id=f"transfer/{attack}/{name}",
        kind="transfer",
        subject=name,
        title=f"Perturbations from other networks against {name}",
        claim=f"The worst of five perturbations crafted on other networks changed the prediction of {name} on "
        f"{worst.successes} of {worst.total} held-out images.",
        knowledge="transfer",
        conditions={"attack": attack, "norm and epsilon": "l∞ 10/255", "resampling": "none, all inputs are 64 × 64"},
        rates={**known, "worst_transfer": worst, "noise_control": rate(0.06)},
        controls=("noise_control",),
        reproduce=f"wolfhound run plans/demonstration.yaml --only transfer/{attack}/{name}",
    )
    return folder.counted(finding, name="predictions")


def cross_table(attack: str) -> RateTable:
    rng = np.random.default_rng(5)
    cells: list[tuple[Rate | None, ...]] = []
    for i in range(6):
        cells.append(tuple(rate(0.93 - 0.07 * i if i == j else float(rng.uniform(0.2, 0.6))) for j in range(6)))
    cells.append(tuple(rate(float(rng.uniform(0.02, 0.1))) for _ in range(6)))
    if attack.startswith("DeepFool"):
        cells[3] = (*cells[3][:5], None)
    return RateTable(
        name=f"cross_architecture_{attack}",
        title=f"Fooling rates of {attack}, l∞ 10/255",
        row_label="computed on",
        column_label="evaluated on",
        rows=(*NAMES, "random noise"),
        columns=NAMES,
        cells=tuple(cells),
        marked=tuple((name, name) for name in NAMES),
        control_rows=("random noise",),
        note="Report split, 1000 images; every interval is a 95 % Wilson interval.",
    )


def targeted(folder: Folder, index: int, name: str) -> Finding:
    rows = []
    for example in range(3):
        pixels = drawing(40 + 3 * index + example)
        change = (perturbation(60 + index + example, 0.1).astype(int) - 127) // 4
        adversarial = np.clip(pixels.astype(int) + change, 0, 255).astype(np.uint8)
        difference = np.clip(128 + change, 0, 255).astype(np.uint8)
        tenfold = np.clip(128 + 10 * change, 0, 255).astype(np.uint8)
        rows.append(
            (
                folder.picture(pixels, "original: wolf (0.97)", "A wolf"),
                folder.picture(adversarial, "adversarial: boat (0.99)", "The same wolf; no change can be seen"),
                folder.picture(difference, "difference", "An almost even grey"),
                folder.picture(tenfold, "difference × 10", "Faint coloured waves on grey"),
            )
        )
    finding = Finding(
        id=f"targeted/{name}",
        kind="targeted",
        subject=name,
        title=f"Targeted fooling of {name}",
        claim=f"Ascent on the target's score made {name} predict the chosen class on 58 of 60 held-out images.",
        knowledge="white-box",
        conditions={
            "attack": "gradient ascent",
            "target": "boat",
            "norm and epsilon": "l2 1.0",
            "steps": "at most 100",
        },
        rates={
            "targeted_success": Rate(58, 60, HELD_OUT),
            "targeted_change": Rate(0, 0, "images not already the target"),
        },
        quantities={
            "median linf": Quantity(0.0117, "", "median over the successful images"),
            "median l2": Quantity(
                0.431, "", "median over the successful images", Interval(0.4, 0.47, 0.95, "bootstrap")
            ),
            "median steps": Quantity(12.0, "steps", "median over the successful images"),
        },
        galleries=(Gallery("Original, adversarial and their difference", tuple(rows), "the first three of the split"),),
        reproduce=f"wolfhound run plans/demonstration.yaml --only targeted/{name}",
    )
    return folder.counted(finding, name="images")


def bias(folder: Folder, name: str, *, confounded: bool) -> Finding:
    rows = []
    for example in range(3):
        pixels, other = drawing(2 * example), drawing(2 * example + 1)
        heat = pixels.copy()
        heat[38 if confounded else 20 : 60, 10:50, 0] = 255
        rows.append(
            (
                folder.picture(pixels, "as taken: husky", "A husky on grass"),
                folder.picture(other, "background swapped: wolf", "The same husky on snow"),
                folder.picture(heat, "Grad-CAM, as taken", "Red over the ground" if confounded else "Red over the dog"),
                folder.picture(
                    255 - heat, "Grad-CAM, swapped", "Red over the snow" if confounded else "Red over the dog"
                ),
            )
        )
    flips = 0.71 if confounded else 0.03
    finding = Finding(
        id=f"bias/{name}",
        kind="bias",
        subject=name,
        title=f"Does {name} use the background?",
        claim=f"Swapping the background flipped {name}'s prediction on {round(200 * flips)} of 200 images, "
        "a placebo background on 4 of 200.",
        knowledge="none",
        conditions={"classes": "wolf, husky", "intervention": "background replaced by mask", "images": "200"},
        rates={
            "accuracy_same_background": rate(0.95, 200),
            "accuracy_other_background": rate(0.95 - flips, 200),
            "flip_rate_other_background": rate(flips, 200),
            "flip_rate_placebo": Rate(4, 200, HELD_OUT),
        },
        controls=("flip_rate_placebo",),
        quantities={
            "excess flip rate": Quantity(
                flips - 0.02,
                "share of images",
                "flips beyond the placebo",
                Interval(flips - 0.08, flips + 0.04, 0.95, "bootstrap"),
            ),
            "McNemar p": Quantity(2.3e-31 if confounded else 0.72, "p", "exact test, adjusted by Holm"),
        },
        facts={"verdict": "uses the confounder" if confounded else "no evidence found that it uses the confounder"},
        galleries=(
            Gallery(
                "Intervention and heat maps", tuple(rows), "the first three images of the split", "Layer: last block"
            ),
        ),
        reproduce=f"wolfhound run plans/demonstration.yaml --only bias/{name}",
    )
    return folder.counted(finding, name="images")
