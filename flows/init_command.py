"""`wolfhound init`: asks, or takes flags; looks at the network and the images; writes a commented plan that runs."""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from flows import process_settings
from wolfhound.errors import PlanError
from wolfhound.plan_reading import parse_plan

if TYPE_CHECKING:
    from flows.draft import Draft

KINDS = ("folder", "csv", "parquet", "webdataset", "coco", "voc", "torchvision", "huggingface")
_IMAGES = (
    "A folder with one folder of images a class; a CSV or Parquet table; tar shards (a file, folder or pattern); COCO "
    "annotations; a VOC folder; cifar10, cifar100 or imagenet; a folder of the library datasets, or hf:NAME."
)
_MODEL = (
    "A name of torchvision's; timm:NAME; hf:FOLDER or hf:NAME; FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION; a "
    "TorchScript, .pt2 or .onnx file; or http://HOST/v2/models/NAME."
)
_PURPOSE = "Say here what the classifier decides, for whom, and what an error costs."
Channel = Annotated[str | None, typer.Option(help='Three numbers on the [0, 1] scale: "0.5,0.5,0.5".')]


def init(
    plan: Annotated[Path, typer.Argument(help="The plan to write.")] = Path("audit.yaml"),
    images: Annotated[str | None, typer.Option(help=_IMAGES)] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    weights: Annotated[str | None, typer.Option(help="A weights file, or torchvision's name of weights.")] = None,
    argument: Annotated[list[str] | None, typer.Option(help="What to call it with, KEY=VALUE; repeatable.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What the classifier decides, in your words.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of the images; found by itself otherwise.")] = None,
    mean: Channel = None,
    std: Channel = None,
    images_as: Annotated[str | None, typer.Option(help=f"Which kind of set it is: {', '.join(KINDS)}.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the pictures, or of torchvision's data set.")] = None,
    split: Annotated[str | None, typer.Option(help="Part of a set that has several, such as test.")] = None,
    picture: Annotated[str | None, typer.Option(help="Column of the pictures, or of their paths.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels; in shards cls, txt or json:KEY.")] = None,
    class_names: Annotated[str | None, typer.Option(help="A file with a class name a line, or imagenet.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take flags and what is found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing plan.")] = False,
) -> None:
    """Write a commented plan for your classifier and images, which runs as it is."""
    if plan.exists() and not force:
        raise PlanError(f"expected no file at {plan} yet (write elsewhere, or overwrite it with --force)")
    ask = _refusing if yes else _asking
    where = images or ask("Where are the images (a folder with one folder a class, a table, shards …)?", (), "--images")
    what = model or ask("What is the classifier (a name, a file, FILE.py:FUNCTION, an address)?", (), "--model")
    if weights is None and not yes and _may_have_weights(what):
        weights = typer.prompt("Its weights file (empty where it has them itself)", default="") or None
    told = purpose or (_PURPOSE if yes else typer.prompt("What does it decide, for whom?", default=_PURPOSE))
    about = {"kind": images_as, "root": root, "split": split, "picture": picture, "label": label}
    taken = {"weights": weights, "arguments": _arguments(argument or ()), "class_names": class_names, "size": size}
    normalised = {"mean": _channel(mean, "--mean"), "std": _channel(std, "--std")}
    _draft(plan, where, what, told, {"ask": ask, "asked": not yes, **about, **taken, **normalised})


def _draft(plan: Path, images: str, model: str, purpose: str, told: Mapping[str, Any]) -> None:
    """Look at images and model, of which more was told, and write the plan."""
    from flows.cli import default_cache
    from flows.console import console_progress
    from flows.draft import look
    from flows.draft_text import plan_text
    from flows.draft_wanted import Wanted

    cache = Path(os.environ.get("WOLFHOUND_CACHE") or default_cache()).resolve()
    process_settings.configure(cache, prefect=False)
    wanted = Wanted(images, model, **told)
    draft = look(wanted, cache=cache, progress=console_progress())
    text = plan_text(wanted, draft, path=plan, purpose=purpose, today=datetime.datetime.now(datetime.UTC).date())
    parse_plan(text.encode(), name=str(plan), folder=plan.resolve().parent)
    _write(plan, text)
    _say(plan, draft)


def _say(plan: Path, draft: "Draft") -> None:
    height, width = draft.size
    typer.echo(f"{plan}: {draft.count} images of {draft.classes} classes, made {height}x{width}")
    typer.echo(f"images: {draft.images['source']}; classifier: {draft.classifier['source']}")
    typer.echo(f"preprocessing: {draft.seen}")
    for note in draft.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"next: look at the lines marked '<- check', then: wolfhound doctor {plan}; wolfhound run {plan}")


def _may_have_weights(model: str) -> bool:
    return ".py:" in model or not (Path(model).exists() or model.startswith(("http://", "https://", "hf:")))


def _refusing(question: str, choices: Sequence[str], flag: str) -> str:
    found = f" {question} {' or '.join(choices)}:" if choices else ""
    raise PlanError(f"expected {flag} beside --yes, as nothing is asked then{found and ':' + found.removesuffix(':')}")


def _asking(question: str, choices: Sequence[str], flag: str) -> str:
    """Return the answer: anything, or one of the choices, by its name or its number."""
    if not choices:
        answer: str = typer.prompt(question)
        return answer
    numbered = {str(number): choice for number, choice in enumerate(choices, 1)}
    typer.echo(f"{question} ({flag} says it beforehand)")
    for number, choice in numbered.items():
        typer.echo(f"  {number}: {choice}")
    while True:
        answer = typer.prompt("Number")
        if (chosen := numbered.get(answer, answer)) in choices:
            return chosen
        typer.echo(f"expected a number up to {len(choices)}, got {answer!r}", err=True)


def _arguments(given: Sequence[str]) -> dict[str, int | float | str | bool | None]:
    """Return what a function is called with: each value as YAML reads it, so that 3 is a number and true a truth."""
    found: dict[str, int | float | str | bool | None] = {}
    for text in given:
        key, sign, value = text.partition("=")
        read = _scalar(value)
        if not sign or not key.isidentifier() or isinstance(read, list | dict):
            raise PlanError(f"expected --argument KEY=VALUE with a number, a truth or a text, got {text!r}")
        found[key] = read
    return found


def _scalar(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _channel(text: str | None, flag: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        raise PlanError(f'expected three numbers for {flag}, such as "0.5,0.5,0.5", got {text!r}') from error
    return first, second, third


def _write(plan: Path, text: str) -> None:
    try:
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"expected to write {plan}, but: {error.strerror}") from error
