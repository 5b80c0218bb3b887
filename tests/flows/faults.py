"""A process that runs a small audit again and again, each in a child that can be killed at a chosen moment.

    python -m tests.flows.faults FOLDER < requests

A request is a line of JSON: `plan` (a file), `root`, `cache`, and where they are wanted `kill_at` (the child kills
itself with SIGKILL before that change of a file, counted from 1), `largest_file` (bytes beyond which a write fails,
as on a full disk), `fills_later` (the disk has room while it is looked at before the run) and `report` (false:
everything but the report is done, which takes most of the time). The answer is a line of JSON: `signal`, `changes`
(of files, how many there were), `error`, and `reused`. The modules are imported once, and a child has nothing else of
its parent: it starts as a new process would.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows import audit
from flows.audit import prepare
from flows.audit_job import AuditJob
from flows.preflight import capacity
from wolfhound.plan_reading import read_plan

PLAN = """\
wolfhound: 1
name: faults
purpose: A small audit to be killed.
seed: 1
device: cpu
batch_size: 16
images: {source: folder, path: photos, size: 24, fit: {method: squash}}
splits: {craft: 12, select: 8, report: 20}
classifiers:
  - {name: first, source: factory, file: model.py, callable: build, arguments: {seed: 1},
     preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}
  - {name: second, source: factory, file: model.py, callable: build, arguments: {seed: 2},
     preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}
universal:
  - {attack: sgd_uap, threat: {norm: linf, epsilon: 16/255}, options: {passes: 3}}
  - {attack: sgd_uap, threat: {norm: l2, epsilon: 2.0}, sources: [first], options: {passes: 2}}
robust:
  - {attack: pgd, threat: {norm: linf, epsilon: 8/255}, images: 8, checked: 4, options: {most_steps: 5}}
natural:
  - {classifiers: [second], corruptions: [gaussian_noise], severities: [1], images: 6}
criteria:
  - {id: universal, text: Keeps its prediction., rate: universal.fooling_rate, at_most: 50 %}
"""
MODEL = """\
import torch
from torch import nn

def build(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
                         nn.Linear(128, 2))
"""


def write_subjects(folder: Path) -> Path:
    """Write a plan, two small networks and forty photographs of noise; return the plan's file."""
    (folder / "model.py").write_text(MODEL)
    for number, name in enumerate(("0_wolf", "1_husky")):
        (folder / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = np.random.default_rng([index, number]).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{index:02}.png")
    (folder / "plan.yaml").write_text(PLAN)
    return folder / "plan.yaml"


class Changes:
    """Counts what is about to change in the watched folders, and ends the process before the one that is chosen."""

    def __init__(self, folders: tuple[str, ...], kill_at: int | None) -> None:
        self.count, self._folders, self._kill_at = 0, folders, kill_at

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_change(event, arguments):
            return
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_change(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            changing = bool(flags & (os.O_WRONLY | os.O_RDWR))
        else:
            changing = event in ("os.rename", "os.remove", "os.mkdir")
        return changing and str(arguments[0]).startswith(self._folders)


def job_of(request: Mapping[str, Any]) -> AuditJob:
    """Return the audit that a request asks for."""
    read = read_plan(Path(request["plan"]))
    folder = Path(request["plan"]).parent
    return AuditJob(read.source, folder, Path(request["root"]), Path(request["cache"]), "wolfhound run plan.yaml")


def run_in_child(request: Mapping[str, Any], report: Path) -> None:
    """Run the audit and write down what came of it; never returns where the request says kill."""
    changes = Changes((request["root"], request["cache"]), request.get("kill_at"))
    answer: dict[str, Any] = {"error": None}
    sys.addaudithook(changes)
    if request.get("largest_file"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails with an error, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    if request.get("fills_later"):
        capacity._disk = lambda *_: iter(())  # type: ignore[assignment]
    try:
        job = job_of(request)
        prepare(job)
        if not request.get("report", True):
            audit.render = lambda *_, **__: None  # type: ignore[assignment, misc]
        audit.run_audit(job)
        answer["reused"] = job.store.run_record().reused
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    report.write_text(json.dumps({**answer, "changes": changes.count}))


def answer_to(request: Mapping[str, Any], report: Path) -> dict[str, Any]:
    """Return what came of one request."""
    report.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        run_in_child(request, report)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return {"signal": killed, **(json.loads(report.read_text()) if report.is_file() else {})}


def main() -> None:
    """Answer requests until the input ends."""
    report = Path(sys.argv[1]) / "answer.json"
    for line in sys.stdin:
        print(json.dumps(answer_to(json.loads(line), report)), flush=True)


if __name__ == "__main__":
    main()
