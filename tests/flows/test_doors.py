"""An audit of one network as a file and behind a server: what needs no gradients comes out the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks.plugged_probe import plugged_probe, probed
from flows.audit import conduct, prepare
from flows.audit_job import AuditJob
from flows.subject_classifiers import classes_of
from tests.packages import install
from tests.wolfhound.endpoint_server import Server, serving
from tests.wolfhound.pictures import write_picture
from wolfhound.errors import DataError, ModelError, PlanError
from wolfhound.evidence import Evidence, Finding
from wolfhound.verification import rate_checks

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NAMES = ("blue", "green", "red")
PLAN = """\
wolfhound: 1
name: doors
purpose: A network as a file and behind a server.
seed: 1
device: cpu
batch_size: auto
images: {{source: folder, path: set, size: 16, fit: {{method: squash}}}}
splits: {{craft: 24, select: 12, report: 48}}
classifiers:
  - {{name: file, source: torchscript, file: net.pt, class_names: [red, Green, blue],
     preprocessing: {{mean: [0, 0, 0], std: [1, 1, 1]}}}}
  - {{name: server, source: endpoint, url: "{url}", model: net, retries: 0, class_names: [red, Green, blue],
     preprocessing: {{mean: [0, 0, 0], std: [1, 1, 1]}}}}
universal:
  - {{attack: sgd_uap, threat: {{epsilon: 16/255}}, sources: [{source}], options: {{passes: 6}}}}
robust:
  - {{attack: square, threat: {{epsilon: 16/255}}, images: 6, options: {{most_queries: 20}}, checked: 0, shown: 1}}
natural:
  - {{corruptions: [fog], severities: [3], images: 12}}
"""


class Colours(nn.Module):
    """The mean of each channel, red first: a sound classifier of the coloured pictures below."""

    def forward(self, images: Tensor) -> Tensor:
        return 9 * images.mean((2, 3))


class NetworkServer(Server):
    def scores(self, pixels: Any) -> Any:
        return Colours()(torch.tensor(np.asarray(pixels), dtype=torch.float32)).numpy()


@pytest.fixture
def server() -> Iterator[Server]:
    shape = {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 16, 16]}
    with serving(NetworkServer(metadata={"inputs": [shape], "outputs": [{"name": "scores"}]})) as running:
        yield running


def job(server: Server, folder: Path, *, source: str = "file", more: str = "") -> AuditJob:
    generator = np.random.default_rng(1)
    for place, name in enumerate(NAMES):
        for i in range(40):
            pixels = generator.integers(0, 200, (16, 16, 3))
            pixels[..., 2 - place] += 15
            write_picture(folder / "set" / name / f"{i}.png", pixels.astype(np.uint8))
    torch.jit.save(torch.jit.script(Colours()), str(folder / "net.pt"))  # type: ignore[no-untyped-call]
    plan = (PLAN.format(url=server.url, source=source) + more).encode()
    return AuditJob(plan, folder, folder / "run", folder / "cache", "wolfhound run plan.yaml")


PROBED = """\
probes:
  - {plugin: dim, options: {by: 0.9}, classifiers: [file]}
  - {plugin: dim, options: {by: 0.0}, classifiers: [file]}
criteria:
  - {id: dim, text: Keeps its prediction in the dark., rate: natural.changed_by_probe, at_most: 100 %}
"""
DIM = """
def dim(pixels, *, generator, by):
    return pixels * (1 - by) + by * pixels.flip(1)

def grow(pixels, *, generator):
    return pixels.repeat(1, 1, 2, 2)
"""


def finding(evidence: Evidence, kind: str, subject: str) -> Finding:
    return next(each for each in evidence.findings if (each.kind, each.subject) == (kind, subject))


def test_a_file_and_a_server_of_one_network_get_the_same_findings(server: Server, tmp_path: Path) -> None:
    audit = job(server, tmp_path)
    prepare(audit)
    evidence = conduct(audit)
    for kind in ("clean", "natural"):
        assert finding(evidence, kind, "file").rates == finding(evidence, kind, "server").rates, kind
    assert finding(evidence, "clean", "server").rates["accuracy"].percent > 60
    assert finding(evidence, "robust", "server").knowledge == "black-box score"
    (table,) = (table for table in evidence.tables if table.columns == ("file", "server"))
    assert table.rows[0] == "file"
    assert table.cells[0][0] == table.cells[0][1]
    assert table.cells[0][0] is not None
    assert table.cells[0][0].successes > 0
    assert classes_of(audit, "server") == (
        "3 classes, outputs reordered by name: output 2 is 'blue', output 0 is 'red'"
    )
    (subject,) = (subject for subject in evidence.subjects if subject.name == "server")
    assert not subject.weights_seen
    assert "weights unseen" in subject.provenance
    assert "outputs reordered by name" in subject.provenance


def test_crafting_on_a_server_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"universal\[0\]: sgd_uap needs gradients, and server gives none"):
        prepare(job(Server(url="http://127.0.0.1:9"), tmp_path, source="server"))


def test_a_server_that_is_away_is_a_fault_of_the_input(tmp_path: Path) -> None:
    audit = job(Server(url="http://127.0.0.1:9"), tmp_path)
    with pytest.raises(ModelError, match=r"(?s)1 classifier\(s\) cannot be opened:.*cannot be reached"):
        prepare(audit)


@pytest.fixture
def _probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "dimming", {"wolfhound.probes": {"dim": "dim", "grow": "grow"}}, DIM)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_probes")
def test_a_probe_of_a_plug_in_is_judged_counted_and_held_to_criteria(server: Server, tmp_path: Path) -> None:
    audit = job(server, tmp_path, more=PROBED)
    prepare(audit)
    evidence = conduct(audit)
    first, second = (each for each in evidence.findings if each.id.startswith("natural/probe-dim"))
    assert (first.id, second.id) == ("natural/probe-dim/file", "natural/probe-dim-2/file")
    assert first.rates["changed_by_probe"].successes > 0
    assert second.rates["changed_by_probe"].successes == 0  # nothing was changed
    assert second.rates["accuracy_under_probe"] == second.rates["clean_accuracy"]
    assert "of dimming 1.0" in first.conditions["probe"]
    assert all(check.ok for check in rate_checks(evidence, audit.store.get))
    assert [row.verdict for row in evidence.judgements] == ["met", "met"]


@pytest.mark.usefixtures("_probes")
@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("{plugin: nobody}", "expected an installed plug-in called nobody"),
        ("{plugin: dim}", "does not take these options: missing a required"),
    ],
)
def test_faults_of_probes_are_found_in_the_plan(section: str, reason: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=rf"probes\[0\]: .*{reason}"):
        prepare(job(server, tmp_path, more=f"probes: [{section}]\n"))


@pytest.mark.usefixtures("_probes")
def test_a_probe_that_returns_something_else_is_refused() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(
        DataError, match=r"probe grow to return finite pixels of shape \[1, 3, 4, 4\], got \[1, 3, 8, 8\]"
    ):
        probed(images, plugged_probe("grow", {}), {}, seeds=[1, 2], name="grow")
