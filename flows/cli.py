"""The command line. Torch and Prefect are imported only by the commands that need them.

Exit codes: 0 all criteria met; 1 a criterion not met; 2 bad usage, plan or input, and nothing was run; 3 inconclusive
or not tested; 4 the run broke off and can be resumed.
"""

import json
import os
import shlex
import sys
import traceback
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from flows import explain_command, gate_commands, init_command, process_settings, serve_command, signing_commands
from flows.execution import HERE, Execution
from flows.prefect_server import Server, begin_server
from flows.signing_commands import Certificate, Chain, Key, LongTerm, Timestamp, Trust
from flows.storage import check_writable, storage_fault
from reports.signing.choice import SigningChoice
from wolfhound import __version__
from wolfhound.errors import PlanError, WolfhoundError
from wolfhound.plan import AuditPlan
from wolfhound.plan_reading import PlanFile, parse_plan, read_plan

if TYPE_CHECKING:
    from flows.audit import AuditResult
    from flows.audit_job import AuditJob

BAD_INPUT, BROKE_OFF = 2, 4
_CODES = (
    "Exit codes: 0 all criteria met; 1 a criterion not met (verify: something differs); 2 bad usage, plan or input, "
    "and nothing was run; 3 inconclusive or not tested; 4 the run broke off and can be resumed with the same command."
)

app = typer.Typer(
    name="wolfhound",
    help="Audit image classifiers: universal perturbations, transfer tables, targeted fooling, bias probes, reports.",
    epilog=_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
plan_app = typer.Typer(help="Check a plan, or print its JSON schema.", no_args_is_help=True)
app.add_typer(plan_app, name="plan")

Output = Annotated[Path | None, typer.Option("--output", "-o", help="Run folder. By default runs/NAME.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", envvar="WOLFHOUND_CACHE", help="Folder for decoded images and trained demonstration nets."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
Plain = Annotated[bool, typer.Option("--without-prefect", help="Call the steps directly, without a Prefect flow.")]
Runner = Annotated[
    str,
    typer.Option(
        envvar="WOLFHOUND_RUNNER", help="Where units run: here, processes:N, dask:ADDRESS, ray or ray:ADDRESS."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads-per-unit", envvar="WOLFHOUND_THREADS_PER_UNIT", help="Torch threads of a unit.")
]
Timeout = Annotated[
    float | None,
    typer.Option("--unit-timeout", envvar="WOLFHOUND_UNIT_TIMEOUT", help="Minutes that one unit may take."),
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="WOLFHOUND_STORE",
        help="URL under which the run folder is kept as well, for workers without a common disk: s3://bucket/audits.",
    ),
]
Crafting = Annotated[
    int,
    typer.Option(
        "--crafting-processes",
        envvar="WOLFHOUND_CRAFTING_PROCESSES",
        help="How many processes, or GPUs, share the crafting of one universal perturbation.",
    ),
]


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except WolfhoundError as error:
        _fail(str(error))
        sys.exit(BAD_INPUT)
    except OSError as error:
        fault = storage_fault(error)
        if fault is None:
            _break_off(error)
        _fail(str(fault))
        sys.exit(BAD_INPUT)
    except Exception as error:
        _break_off(error)


def _break_off(error: Exception) -> NoReturn:
    """End on a fault of the program: 1, Python's own code for it, would read as a criterion that is not met."""
    _fail(f"{type(error).__name__}: {error}".rstrip(": "))
    _show_where(error)
    sys.exit(BROKE_OFF)


def _show_where(error: BaseException) -> None:
    """Show the traceback to whoever asked for it, or say how to."""
    if os.environ.get("WOLFHOUND_TRACEBACK"):
        traceback.print_exception(error)
    else:
        typer.echo("Set WOLFHOUND_TRACEBACK=1 to see where.", err=True)


def _fail(message: str) -> None:
    typer.echo(f"wolfhound: {message}", err=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wolfhound {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command(epilog=_CODES)
def run(
    context: typer.Context,
    plan: Annotated[Path, typer.Argument(help="The audit plan, a YAML file.", show_default=False)],
    output: Output = None,
    cache: Cache = None,
    quiet: Quiet = False,
    without_prefect: Plain = False,
    key: Key = None,
    certificate: Certificate = None,
    chain: Chain = None,
    timestamp: Timestamp = "",
    long_term: LongTerm = False,
    trust: Trust = None,
    runner: Runner = HERE,
    threads_per_unit: Threads = None,
    unit_timeout: Timeout = None,
    store: Store = "",
    crafting_processes: Crafting = 1,
) -> None:
    """Run an audit plan to its report, going on where an earlier run of it broke off."""
    command = f"wolfhound run {plan.name}"
    signing = signing_commands.chosen(key, certificate, chain, timestamp, trust, long_term=long_term)
    execution = Execution(runner, threads_per_unit, unit_timeout, store, crafting_processes)
    if without_prefect and execution.needs_prefect:
        raise PlanError("expected --runner, --threads-per-unit and --unit-timeout only with Prefect")
    read = read_plan(plan)
    code = _audit(
        read,
        command,
        output,
        cache,
        again=_as_typed(context),
        quiet=quiet,
        plain=without_prefect,
        signing=signing,
        execution=execution,
    )
    raise typer.Exit(code)


@app.command(epilog=_CODES)
def demo(
    context: typer.Context,
    output: Output = None,
    cache: Cache = None,
    quiet: Quiet = False,
    without_prefect: Plain = False,
) -> None:
    """Run the demonstration audit: generated images, six small networks, every stage once."""
    source = resources.files("plans").joinpath("demonstration.yaml").read_bytes()
    plan = PlanFile(parse_plan(source, name="demonstration.yaml", folder=Path.cwd()), source)
    again = _as_typed(context)
    raise typer.Exit(_audit(plan, "wolfhound demo", output, cache, again=again, quiet=quiet, plain=without_prefect))


def default_cache() -> Path:
    """Return the cache folder of this user: $XDG_CACHE_HOME/wolfhound, or ~/.cache/wolfhound."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wolfhound"


def _audit(
    plan: PlanFile,
    command: str,
    output: Path | None,
    cache: Path | None,
    *,
    again: str,
    quiet: bool,
    plain: bool,
    signing: SigningChoice | None = None,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> int:
    """Run an audit and return its exit code: bad input is told apart from a run that broke off.

    `command` stands in the evidence, which says nothing of where files lay on one machine; `again` is what was typed.
    """
    execution.check_server()
    wanted_cache = (cache or plan.plan.cache or default_cache()).resolve()
    process_settings.configure(wanted_cache, prefect=not plain)
    process_settings.interrupt_on_termination()
    server = None if plain else begin_server()  # beside what this process imports and looks at first
    from flows.audit import prepare
    from flows.audit_job import job_of
    from flows.console import console_progress
    from flows.summary import summary_lines

    job = job_of(plan, command, output=output, cache=wanted_cache, signing=signing, execution=execution)
    check_writable(job.root)
    prepare(job, progress=console_progress(quiet=quiet))
    _announce(job, quiet=quiet)
    try:
        result = _run(job, server, quiet=quiet, execution=execution)
    except (Exception, KeyboardInterrupt) as error:
        return _broke_off(error, again)
    for line in summary_lines(result, job.root):
        typer.echo(line)
    return result.exit_code


def _announce(job: "AuditJob", *, quiet: bool) -> None:
    """Say what the preflight saw, what is used again, and what a run that begins will cost; if `quiet`, only the first.

    What is left of a run that goes on is not told apart in the cost, so none is stated.
    """
    from flows import preflight
    from flows.budgeting import budget_lines
    from flows.console import say
    from flows.reuse import reuse_lines
    from flows.whole_cost import whole_cost

    for notice in preflight.notices(job):
        if notice.severity != "note":
            say(f"{notice.severity}: {notice.text}")
    if not quiet:
        say(f"auditing {len(job.plan.classifiers)} classifier(s) into {job.root}")
        for line in reuse_lines(job) if job.store.has_steps() else chain(budget_lines(job), [whole_cost(job).text]):
            say(line)


def _run(job: "AuditJob", server: Server | None, *, quiet: bool, execution: Execution) -> "AuditResult":
    """Run it as a Prefect flow that reports to `server`, or plainly without one."""
    if server is None:
        from flows.audit import run_audit
        from flows.console import console_progress

        return run_audit(job, progress=console_progress(quiet=quiet))
    from flows.tasks import run_audit_flow

    return run_audit_flow(job, quiet=quiet, execution=execution, server=server)


def _as_typed(context: typer.Context) -> str:
    """Return the command with every argument and option that was typed, ready for a shell; it goes on with its run."""
    words = context.command_path.split()
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        option = parameter.opts[0] if parameter.param_type_name == "option" else None
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [*([option] if option else []), *([] if isinstance(one, bool) else [str(one)])]
    return shlex.join(words)


def _broke_off(error: BaseException, command: str) -> int:
    if isinstance(error, PlanError):
        _fail(str(error))
        return BAD_INPUT
    fault = storage_fault(error)
    what = str(error) if isinstance(error, WolfhoundError) else f"{type(error).__name__}: {error}".rstrip(": ")
    what = "it was interrupted" if isinstance(error, KeyboardInterrupt) else fault or what
    _fail(f"the audit broke off: {what}")
    typer.echo(f"Finished steps are kept. Resume it with: {command}", err=True)
    if os.environ.get("WOLFHOUND_TRACEBACK") or not (fault or isinstance(error, WolfhoundError | KeyboardInterrupt)):
        _show_where(error)
    return BROKE_OFF


@app.command()
def report(run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Render the report again from the stored evidence alone. No network is loaded."""
    process_settings.configure(default_cache(), prefect=False)
    from flows.run_folder import locked
    from reports.render import render
    from wolfhound.store import EvidenceStore

    store = EvidenceStore(run_folder.resolve())
    store.evidence()
    with locked(store.root):
        rendered = render(store)
        seal = store.seal()
    typer.echo(f"report  {rendered.pdf}\n        {rendered.html}\nseal    {seal}")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="RUN-OR-PDF", help="A run folder, or a report.pdf.")],
    trust: Trust = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check every stored byte, a report's attachments, its numbers and its signature. Exit code 1 on a fault."""
    from flows.verifying import verify_path
    from wolfhound import verification

    checks = verify_path(path, trust=trust or ())
    if as_json:
        typer.echo(verification.as_json(checks))
    else:
        for check in checks:
            mark = {True: "ok", False: "FAULT", None: "-"}[check.ok]
            typer.echo(f"{mark:5}  {check.name}: {check.detail}")
    raise typer.Exit(1 if any(check.ok is False for check in checks) else 0)


@app.command()
def doctor(
    plan: Annotated[Path | None, typer.Argument(help="An audit plan to inspect.", show_default=False)] = None,
    output: Output = None,
    cache: Cache = None,
) -> None:
    """Show environment and device; with a PLAN, look in seconds for what would ruin its audit. Nothing is run."""
    from flows.doctor import diagnose, inspect_plan

    wanted_cache = (cache or default_cache()).resolve()
    rows = diagnose(wanted_cache)
    for row in rows:
        typer.echo(f"{row.state:8}{row.name:16}{row.detail}")
    sound = not any(row.state == "missing" for row in rows)
    if plan is not None and sound:
        process_settings.configure(wanted_cache, prefect=False)
        sound = inspect_plan(plan, output=output, cache=cache, default_cache=wanted_cache, say=typer.echo)
    raise typer.Exit(0 if sound else BAD_INPUT)


@plan_app.command("check")
def plan_check(plan: Annotated[Path, typer.Argument(help="The audit plan, a YAML file.")]) -> None:
    """Check a plan without running anything: keys, values, names, attacks and their options."""
    from flows.audit_job import AuditJob
    from flows.planning import check_against_registries
    from flows.presenting import presentation_of

    read = read_plan(plan)
    job = AuditJob(read.source, plan.resolve().parent, Path(), Path(), "")
    check_against_registries(job)
    presentation_of(job.plan.report)
    counted = ", ".join(
        kind if kind in ("groups", "hypotheses") else f"{count} {kind}" for kind, count in read.plan.sections.items()
    )
    typer.echo(
        f"{plan}: a valid plan with {len(read.plan.classifiers)} classifier(s), {len(read.plan.criteria)} criteria and "
        f"these sections: {counted or 'none'}"
    )


@plan_app.command("schema")
def plan_schema() -> None:
    """Print the JSON schema of plans, for editors."""
    typer.echo(json.dumps(AuditPlan.model_json_schema(), indent=2))


app.command()(init_command.init)
app.command("explain", epilog=explain_command.EPILOG)(explain_command.explain)
app.command()(signing_commands.sign)
app.command()(serve_command.serve)
for command in (
    gate_commands.export,
    gate_commands.compare,
    gate_commands.approve,
    gate_commands.history,
    gate_commands.mlflow,
):
    app.command()(command)
app.add_typer(signing_commands.keys_app, name="keys")

if __name__ == "__main__":
    main()
