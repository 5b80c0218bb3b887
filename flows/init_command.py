"""`wolfhound init`: asks, or takes flags; looks at the network and the images; writes a commented plan that runs."""

import datetime
import os
from pathlib import Path
from typing import Annotated

import typer

from flows import process_settings
from wolfhound.errors import PlanError
from wolfhound.plan_reading import parse_plan

_PURPOSE = "Say here what the classifier decides, for whom, and what an error costs."
Channel = Annotated[str | None, typer.Option(help='Three numbers on the [0, 1] scale: "0.5,0.5,0.5".')]


def init(
    plan: Annotated[Path, typer.Argument(help="The plan to write.")] = Path("audit.yaml"),
    images: Annotated[Path | None, typer.Option(help="A folder with one folder of images a class.")] = None,
    model: Annotated[str | None, typer.Option(help="A name of torchvision's, or FILE.py:FUNCTION.")] = None,
    weights: Annotated[str | None, typer.Option(help="A weights file, or torchvision's name of weights.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What the classifier decides, in your words.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of the images; found by itself otherwise.")] = None,
    mean: Channel = None,
    std: Channel = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take flags and what is found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing plan.")] = False,
) -> None:
    """Write a commented plan for your classifier and images, which runs as it is."""
    if plan.exists() and not force:
        raise PlanError(f"expected no file at {plan} yet (write elsewhere, or overwrite it with --force)")
    given = _channel(mean, "--mean"), _channel(std, "--std")
    where = images or Path(_asked("Where are the images (a folder with one folder a class)?", "--images", yes=yes))
    what = model or _asked("What is the classifier (a name of torchvision's, or FILE.py:FUNCTION)?", "--model", yes=yes)
    if weights is None and not yes:
        weights = typer.prompt("Its weights file (empty where the function loads them itself)", default="") or None
    told = purpose or (_PURPOSE if yes else typer.prompt("What does it decide, for whom?", default=_PURPOSE))
    from flows.cli import default_cache
    from flows.draft import Wanted, look
    from flows.draft_text import plan_text

    cache = Path(os.environ.get("WOLFHOUND_CACHE") or default_cache()).resolve()
    process_settings.configure(cache, prefect=False)
    wanted = Wanted(where, what, weights, size, *given)
    draft = look(wanted, cache=cache)
    text = plan_text(wanted, draft, path=plan, purpose=told, today=datetime.datetime.now(datetime.UTC).date())
    parse_plan(text.encode(), name=str(plan), folder=plan.resolve().parent)
    _write(plan, text)
    typer.echo(f"{plan}: {draft.count} images of {draft.classes} classes, made {draft.size}x{draft.size}")
    typer.echo(f"preprocessing: {draft.seen}")
    typer.echo(f"next: look at the lines marked '<- check', then: wolfhound doctor {plan}; wolfhound run {plan}")


def _asked(question: str, flag: str, *, yes: bool) -> str:
    if yes:
        raise PlanError(f"expected {flag} beside --yes, as nothing is asked then")
    answer: str = typer.prompt(question)
    return answer


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
