"""`wolfhound explain`: what photographs look like to a classifier, with the sanity check beside every map."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows import process_settings
from wolfhound.errors import DataError, PlanError, WolfhoundError

if TYPE_CHECKING:
    from torch import Tensor

    from flows.explain_choice import ClassChoice
    from flows.explain_model import ModelRequest
    from wolfhound.classifier import Classifier
    from wolfhound.progress import Progress

BROKE_OFF = 4
EPILOG = (
    "Exit codes: 0 written; 2 bad usage, model or photograph, and nothing was written; 4 it broke off. "
    "Examples: wolfhound explain resnet50 wolf.jpg -m cam-family -c top-2   |   "
    "wolfhound explain plan.yaml#mine a.png b.png -c wolf --against husky   |   "
    "wolfhound explain model.py:build a.png --weights w.pth --mean 0,0,0 --std 1,1,1 --class-names names.txt"
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A torchvision name, PLAN.yaml#NAME, or FILE.py:CALLABLE.", show_default=False
    ),
]
Photographs = Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photographs.", show_default=False)]
Methods = Annotated[
    list[str], typer.Option("--method", "-m", help="One or several, or cam-family: all that share one pass.")
]
Classes = Annotated[
    list[str], typer.Option("--class", "-c", help="By name or index; predicted, or top-3. One or several.")
]
Layers = Annotated[
    list[str] | None, typer.Option("--layer", "-l", help="By dotted name; each method's own by default.")
]
Against = Annotated[str | None, typer.Option("--against", help="Explain the lead over this class.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for figures, raw maps and explanation.json.")]
Weights = Annotated[str | None, typer.Option("--weights", help="Weights file, torchvision weights name, or random.")]
Names = Annotated[str | None, typer.Option("--class-names", help="imagenet, or a file with one name a line.")]
Channels = Annotated[str | None, typer.Option(help="Three numbers on the [0, 1] scale, as 0.485,0.456,0.406.")]
Side = Annotated[int | None, typer.Option("--size", min=1, help="Side of the classifier's input in pixels.")]
FitName = Annotated[str | None, typer.Option("--fit", help="How photographs get that size: crop or squash.")]
Arguments = Annotated[list[str] | None, typer.Option("--argument", help="KEY=VALUE for CALLABLE or torchvision.")]
Figures = Annotated[str, typer.Option("--format", help="Figures as png, svg or both.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the randomisation check.")]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Randomise the weights and see whether the maps care.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
CacheFolder = Annotated[Path | None, typer.Option("--cache", envvar="WOLFHOUND_CACHE", help="Folder for downloads.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


def explain(
    model: Model,
    images: Photographs,
    method: Methods = ["gradcam"],  # noqa: B006
    class_: Classes = ["predicted"],  # noqa: B006
    layer: Layers = None,
    against: Against = None,
    output: Output = Path("explained"),
    weights: Weights = None,
    class_names: Names = None,
    mean: Channels = None,
    std: Channels = None,
    size: Side = None,
    fit: FitName = None,
    argument: Arguments = None,
    format_: Figures = "png",
    seed: Seed = 0,
    check: Check = True,
    device: Device = "auto",
    cache: CacheFolder = None,
    quiet: Quiet = False,
) -> None:
    """Show what in photographs speaks for a class: maps by any method, layer and class, with their sanity check."""
    from flows.cli import default_cache

    folder = (cache or default_cache()).resolve()
    process_settings.configure(folder, prefect=False)
    from flows.console import console_progress
    from flows.explain_model import ModelRequest

    channels = _channel("--mean", mean), _channel("--std", std)
    request = ModelRequest(model, weights, class_names, *channels, size, _arguments(argument), _fit(fit))
    wanted = _Wanted(method, class_, layer or [], against, device, output, _formats(format_), seed, check)
    _explain(request, images, wanted, cache=folder, progress=console_progress(quiet=quiet))


@dataclass(frozen=True)
class _Wanted:
    """What was typed beside the model and the photographs."""

    methods: list[str]
    classes: list[str]
    layers: list[str]
    against: str | None
    device: str
    output: Path
    formats: tuple[Literal["png", "svg"], ...]
    seed: int
    check: bool


def _explain(request: "ModelRequest", files: list[Path], wanted: _Wanted, *, cache: Path, progress: "Progress") -> None:
    from explainers.hooks import find_layer
    from flows import explain_choice as choice
    from flows.explain_model import load_photographs, open_model

    # Everything that was typed is checked before anything is computed.
    methods = choice.chosen_methods(choice.split_list(wanted.methods))
    opened = open_model(request, cache=cache, progress=progress)
    names, layers = opened.classifier.class_names, choice.split_list(wanted.layers)
    classes = choice.chosen_classes(choice.split_list(wanted.classes), names)
    rival = None if wanted.against is None else choice.class_index(wanted.against, names)
    for name in layers:
        find_layer(opened.classifier.module, name)
    device, pixels = _device(wanted.device), load_photographs(files, opened)
    try:
        lines = _computed(
            opened.classifier.to(device), files, pixels, methods, classes, layers, rival, wanted, progress
        )
    except WolfhoundError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        what = "it was interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
        typer.echo(f"wolfhound: the explanation broke off: {what}", err=True)
        raise typer.Exit(BROKE_OFF) from error
    for line in lines:
        typer.echo(line)


def _computed(
    classifier: "Classifier",
    files: list[Path],
    pixels: "Tensor",
    methods: tuple[str, ...],
    classes: "tuple[ClassChoice, ...]",
    layers: list[str],
    rival: int | None,
    wanted: _Wanted,
    progress: "Progress",
) -> list[str]:
    """Compute, write the files, and return what to print."""
    from flows.explain_choice import class_rows
    from flows.explain_files import summary_lines, write_files
    from flows.explaining import explain_photographs, scores

    logits = scores(classifier, pixels)
    explanation = explain_photographs(
        classifier,
        files,
        pixels,
        logits,
        class_rows(classes, logits),
        methods=methods,
        layers=layers,
        against=rival,
        check=wanted.check,
        seed=wanted.seed,
        progress=progress,
    )
    written = write_files(explanation, wanted.output, formats=wanted.formats)
    return [*summary_lines(explanation), *(f"written {path}" for path in written)]


def _channel(option: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError as error:
        raise PlanError(f"expected {option} as three numbers with commas between, got {text!r}") from error
    return red, green, blue


def _fit(text: str | None) -> Literal["crop", "squash"] | None:
    if text == "crop" or text == "squash":
        return "crop" if text == "crop" else "squash"
    if text is None:
        return None
    raise PlanError(f"expected --fit crop or squash, got {text!r}")


def _formats(text: str) -> tuple[Literal["png", "svg"], ...]:
    known: dict[str, tuple[Literal["png", "svg"], ...]] = {"png": ("png",), "svg": ("svg",), "both": ("png", "svg")}
    if text not in known:
        raise PlanError(f"expected --format png, svg or both, got {text!r}")
    return known[text]


def _arguments(texts: list[str] | None) -> dict[str, str | int | float | bool]:
    """Return the values as what they look like: whole numbers, numbers, true and false, else words."""
    found: dict[str, str | int | float | bool] = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not separator or not key.isidentifier():
            raise PlanError(f"expected --argument KEY=VALUE, got {text!r}")
        found[key] = _value(value)
    return found


def _value(text: str) -> str | int | float | bool:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _device(wanted: str) -> str:
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(wanted, False):
        usable = ", ".join(name for name, usable in available.items() if usable)
        raise DataError(f"expected --device auto or one of this machine's ({usable}), got {wanted!r}")
    return wanted
