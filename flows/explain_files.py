"""What `wolfhound explain` shows and writes: a figure a photograph, lines of text, raw maps, a document."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
from torch import Tensor

from explainers.base import Maps
from explainers.checks.randomisation import RandomisationCheck
from explainers.drawing.figures import Heading, Remark, draw
from explainers.drawing.sheets import Panel, explanation_sheet
from explainers.drawing.titles import method_title
from flows.explaining import Explanation
from wolfhound.store import file_sha256, write_atomically

FORMAT = "wolfhound-explanation/1"
CORRELATE = "A heat map is a correlate, not a cause: only a changed image shows what the classifier hangs on."

# A figure needs as much of a digest as tells files apart; the document has all of it.
_DIGEST = re.compile(r"(SHA-256 [0-9a-f]{16})[0-9a-f]{48}")


def verdict_lines(explanation: Explanation) -> list[Remark]:
    """Return what is known of every method and layer; where nothing was checked, one line says it of all."""
    if not explanation.checked:
        return [Remark("Randomisation check not run: whether the maps depend on the learned weights is not known.")]
    return [_verdict(maps, explanation.checks.get(key)) for key, maps in explanation.maps[0].items()]


def _verdict(maps: Maps, check: RandomisationCheck | None) -> Remark:
    where = f"{method_title(maps.method)}, layer {maps.layer}" if maps.layer else method_title(maps.method)
    if check is None:
        return Remark(f"{where}: randomisation check impossible, the maps are constant", False)
    return Remark(f"{where}: {check.text}", check.passed)


def figure_of(explanation: Explanation, image: int, *, format: Literal["png", "svg"] = "png") -> bytes:  # noqa: A002
    """Return the figure of one photograph: a row a class, a column a method and layer, the verdicts below."""
    names, classes = explanation.classifier.class_names, explanation.classes[image]
    panels = []
    for slot, index in enumerate(classes):
        share = 100 * float(explanation.probabilities[image, index])
        row = Heading(names[index], f"class {index}, {share:.1f} %{_contrast(explanation)}")
        panels += [
            Panel(row, Heading(method_title(maps.method), maps.layer or "no layer"), maps.raw[image])
            for maps in explanation.maps[slot].values()
        ]
    cautions = dict.fromkeys(maps.caution for maps in explanation.maps[0].values() if maps.caution)
    two = (
        (names[classes[0]], names[classes[1]]) if len(classes) == 2 and names[classes[0]] != names[classes[1]] else None
    )
    sheet = explanation_sheet(
        explanation.pixels[image],
        panels,
        title=f"{explanation.files[image].name}: {explanation.classifier.name} says {_top(explanation, image, 1)}",
        subtitle=_DIGEST.sub(r"\1…", f"{explanation.classifier.architecture}; {explanation.classifier.provenance}"),
        remarks=[*verdict_lines(explanation), *(Remark(caution) for caution in cautions), Remark(CORRELATE)],
        difference=two,
    )
    return draw(sheet, format=format)


def _contrast(explanation: Explanation) -> str:
    if explanation.against is None:
        return ""
    return f"\nagainst {explanation.classifier.class_names[explanation.against]}"


def _top(explanation: Explanation, image: int, count: int) -> str:
    shares, indices = explanation.probabilities[image].topk(min(count, explanation.logits.shape[1]))
    names = explanation.classifier.class_names
    return ", ".join(
        f"{names[index]} {100 * share:.1f} %" for share, index in zip(shares.tolist(), indices.tolist(), strict=True)
    )


def summary_lines(explanation: Explanation) -> list[str]:
    """Return what a person reads in the terminal: predictions, what was explained, and the verdicts."""
    names = explanation.classifier.class_names
    lines = [
        f"{explanation.classifier.name}: {explanation.classifier.architecture}; {explanation.classifier.provenance}"
    ]
    for image, file in enumerate(explanation.files):
        lines.append(f"{file.name}: {_top(explanation, image, 3)}")
        for index in explanation.classes[image]:
            share = 100 * float(explanation.probabilities[image, index])
            rival = "" if explanation.against is None else f" against {names[explanation.against]}"
            lines.append(f"  explained: {names[index]}{rival} (class {index}, {share:.1f} %)")
    if explanation.checked:
        lines.append(f"checked on {explanation.checked}:")
    for remark in verdict_lines(explanation):
        mark = {True: "+", False: "x", None: "-"}[remark.holds]
        lines.append(f"  {mark} {remark.text}")
    return lines


def write_files(explanation: Explanation, folder: Path, *, formats: Sequence[Literal["png", "svg"]]) -> list[Path]:
    """Write a figure a photograph, the raw maps (maps.safetensors) and explanation.json; return their paths."""
    stems = _stems(explanation.files)
    written = []
    for image, stem in enumerate(stems):
        for kind in formats:
            path = folder / f"{stem}.{kind}"
            write_atomically(path, figure_of(explanation, image, format=kind))
            written.append(path)
    tensors = _tensors(explanation, stems)
    write_atomically(folder / "maps.safetensors", safetensors.torch.save(tensors))
    document = json.dumps(_document(explanation, stems, formats), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "explanation.json", document.encode() + b"\n")
    return [*written, folder / "maps.safetensors", folder / "explanation.json"]


def _stems(files: Sequence[Path]) -> list[str]:
    """Names of the figures: the photographs' own, numbered where two are called the same."""
    stems = [file.stem for file in files]
    return [stem if stems.count(stem) == 1 else f"{stem}-{place + 1}" for place, stem in enumerate(stems)]


def _tensors(explanation: Explanation, stems: Sequence[str]) -> dict[str, Tensor]:
    return {
        f"{stem}/{index}/{maps.method}/{maps.layer}": maps.raw[image].float().cpu().contiguous()
        for image, stem in enumerate(stems)
        for slot, index in enumerate(explanation.classes[image])
        for maps in explanation.maps[slot].values()
    }


def _document(explanation: Explanation, stems: Sequence[str], formats: Sequence[str]) -> dict[str, Any]:
    classifier, classes = explanation.classifier, explanation.classes
    return {
        "format": FORMAT,
        "classifier": {
            "name": classifier.name,
            "architecture": classifier.architecture,
            "provenance": classifier.provenance,
            "weights_sha256": classifier.weights_digest,
            "input_size": list(classifier.preprocessing.input_size),
        },
        "against": None if explanation.against is None else _class(explanation, None, explanation.against),
        "images": [
            {
                "file": file.name,
                "sha256": file_sha256(file),
                "figures": [f"{stems[image]}.{kind}" for kind in formats],
                "top": [_class(explanation, image, int(index)) for index in _highest(explanation, image)],
                "explained": [
                    _explained(explanation, image, slot, stems[image]) for slot in range(len(classes[image]))
                ],
            }
            for image, file in enumerate(explanation.files)
        ],
        "checked": explanation.checked or "not run",
        "checks": [_check(maps, explanation.checks.get(key)) for key, maps in explanation.maps[0].items()],
        "seed": explanation.seed,
    }


def _highest(explanation: Explanation, image: int) -> list[int]:
    return [int(index) for index in explanation.logits[image].topk(min(5, explanation.logits.shape[1])).indices]


def _class(explanation: Explanation, image: int | None, index: int) -> dict[str, Any]:
    named = {"index": index, "name": explanation.classifier.class_names[index]}
    if image is None:
        return named
    share, logit = explanation.probabilities[image, index], explanation.logits[image, index]
    return {**named, "probability": float(share), "logit": float(logit)}


def _explained(explanation: Explanation, image: int, slot: int, stem: str) -> dict[str, Any]:
    index = explanation.classes[image][slot]
    return {
        **_class(explanation, image, index),
        "maps": [
            {
                "method": maps.method,
                "layer": maps.layer,
                "key": f"{stem}/{index}/{maps.method}/{maps.layer}",
                "shape": list(maps.raw[image].shape),
                "lowest": float(maps.raw[image].min()),
                "highest": float(maps.raw[image].max()),
            }
            for maps in explanation.maps[slot].values()
        ],
    }


def _check(maps: Maps, check: RandomisationCheck | None) -> dict[str, Any]:
    named = {"method": maps.method, "layer": maps.layer, "caution": maps.caution}
    if check is None:
        return {**named, "passed": None}
    kept, specific = check.kept, check.image_specific
    return {
        **named,
        "passed": check.passed,
        "kept": [kept.mean, kept.interval.low, kept.interval.high],
        "image_specific": [specific.mean, specific.interval.low, specific.interval.high],
        "limit": check.limit,
        "images": check.compared,
    }
