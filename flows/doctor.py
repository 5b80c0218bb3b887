"""What is installed, what is missing and how to get it; and what in a plan would ruin its audit."""

import ctypes.util
import importlib
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

REQUIRED = ("torch", "prefect", "pandas", "jinja2", "weasyprint", "scipy", "pydantic", "PIL", "matplotlib", "pypdf")


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at: "ok", "note" (works without) or "missing", and what to do about it."""

    name: str
    state: str
    detail: str


def diagnose(cache: Path) -> list[Diagnosis]:
    """Return everything an audit needs, with how to get what is missing. Nothing is changed."""
    rows = [_python(), *(_package(name) for name in REQUIRED)]
    return [
        *rows,
        _guarded("torchvision", _torchvision),
        _guarded("device", _device),
        _pdf(),
        _cache(cache),
        _prefect(),
    ]


def _guarded(name: str, look: Callable[[], Diagnosis]) -> Diagnosis:
    """A broken package must show up as a row, not as a traceback that hides the other rows."""
    try:
        return look()
    except Exception as error:
        return Diagnosis(name, "missing", f"{type(error).__name__}: {error}")


def _python() -> Diagnosis:
    return Diagnosis("python", "ok", platform.python_version())


def _package(name: str) -> Diagnosis:
    def look() -> Diagnosis:
        if name == "prefect":  # importing it would make it write its home folder
            return Diagnosis(name, "ok", metadata.version(name))
        module = importlib.import_module(name)
        return Diagnosis(name, "ok", str(getattr(module, "__version__", "installed")))

    if name == "weasyprint":
        return _guarded(name, _weasyprint)
    found = _guarded(name, look)
    if found.state == "missing":
        return Diagnosis(name, "missing", f"{found.detail}; install it with: pip install {name}")
    return found


def _weasyprint() -> Diagnosis:
    try:
        import weasyprint
    except OSError as error:
        hint = "on Debian or Ubuntu: apt-get install libpangoft2-1.0-0 libharfbuzz-subset0"
        return Diagnosis("weasyprint", "missing", f"{str(error).splitlines()[0]}; {hint}")
    return Diagnosis("weasyprint", "ok", str(weasyprint.__version__))


def _torchvision() -> Diagnosis:
    from wolfhound.torchvision_import import torchvision

    module = torchvision()
    detail = f"{module.__version__}, {len(module.models.list_models(module.models))} classifiers"
    return Diagnosis("torchvision", "ok", detail)


def _device() -> Diagnosis:
    import torch

    if torch.cuda.is_available():
        return Diagnosis("device", "ok", f"CUDA: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Diagnosis("device", "ok", "MPS")
    return Diagnosis("device", "note", f"CPU with {os.cpu_count()} cores; large networks are slow without a GPU")


def _pdf() -> Diagnosis:
    missing = [name for name in ("pangoft2-1.0", "harfbuzz-subset") if ctypes.util.find_library(name) is None]
    if missing:
        hint = "on Debian or Ubuntu: apt-get install libpangoft2-1.0-0 libharfbuzz-subset0"
        return Diagnosis("PDF libraries", "missing", f"{', '.join(missing)} not found; {hint}")
    return Diagnosis("PDF libraries", "ok", "Pango and HarfBuzz found")


def _cache(cache: Path) -> Diagnosis:
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    if not os.access(place, os.W_OK):
        return Diagnosis("cache", "missing", f"{cache} cannot be written; choose another with --cache")
    return Diagnosis("cache", "ok" if free > 5 else "note", f"{cache}, {free:.0f} GB free")


def _prefect() -> Diagnosis:
    url = os.environ.get("PREFECT_API_URL")
    return Diagnosis(
        "prefect server", "ok", f"PREFECT_API_URL={url}" if url else "embedded, started when an audit runs"
    )


def inspect_plan(
    path: Path, *, output: Path | None, cache: Path | None, default_cache: Path, say: Callable[[str], None]
) -> bool:
    """Say what the checks see in a plan and what it will cost; return whether nothing stops its run.

    Opens images and networks, which is kept in the cache; writes no run folder.

    Raises:
        PlanError, DataError, ModelError: the plan cannot be read, or what it names cannot be opened.
    """
    from flows import preflight
    from flows.audit import open_all
    from flows.audit_job import job_of
    from flows.budgeting import budget_lines
    from flows.console import console_progress
    from flows.whole_cost import whole_cost
    from wolfhound.plan_reading import read_plan

    plan = read_plan(path)
    wanted = (cache or plan.plan.cache or default_cache).resolve()
    job = job_of(plan, f"wolfhound run {path.name}", output=output, cache=wanted)
    open_all(job, progress=console_progress())
    accepted = job.plan.preflight.accept
    for notice in preflight.notices(job):
        say(f"{'accepted' if notice.code in accepted else notice.severity:9}{notice.text}")
    for line in (*budget_lines(job), whole_cost(job).text):
        say(f"{'cost':9}{line}")
    stopping = [n for n in preflight.notices(job) if n.severity == "error" and n.code not in accepted]
    say(f"{path}: " + (f"{len(stopping)} fault(s) stop the run" if stopping else "nothing stops the run"))
    return not stopping
