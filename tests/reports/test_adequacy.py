"""Facts about the section on the attacks themselves: every curve and every check is there, and none is flattered."""

from dataclasses import replace
from pathlib import Path

import pytest

from reports.adequacy import BY_PASS, convergences, unchecked
from reports.render import html_bytes, read
from tests.reports import sample
from wolfhound.evidence import AttackCheck, Evidence, Finding


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Evidence with one finding of each kind."""
    return sample.small_run(tmp_path_factory.mktemp("adequacy")).evidence()


def curve(evidence: Evidence, *shares: float) -> Finding:
    points = tuple((float(number), share) for number, share in enumerate(shares, start=1))
    return replace(evidence.findings[0], series={f"rate{BY_PASS}": points, "rate by epsilon": ((1.0, 0.5),)})


def test_only_curves_by_pass_are_listed_and_empty_ones_left_out(evidence: Evidence) -> None:
    assert [one.quantity for one in convergences([curve(evidence, 0.1, 0.2), curve(evidence)])] == ["rate"]


@pytest.mark.parametrize(
    ("shares", "gained", "best", "standing"),
    [
        ((0.1, 0.4, 0.6), 0.2, 3, "still rising"),
        ((0.1, 0.6, 0.6), 0.0, 2, "no longer rising"),
        ((0.1, 0.6, 0.2, 0.3), 0.1, 2, "no longer rising"),
        ((0.6,), 0.0, 1, "a single pass"),
    ],
)
def test_a_curve_still_rises_only_where_its_last_pass_is_its_best(
    evidence: Evidence, shares: tuple[float, ...], gained: float, best: int, standing: str
) -> None:
    (one,) = convergences([curve(evidence, *shares)])
    assert (one.passes, one.first, one.last, one.best) == (len(shares), shares[0], shares[-1], best)
    assert one.gained == pytest.approx(gained)
    assert one.standing.startswith(standing)


def test_per_image_attacks_without_a_check_are_named(evidence: Evidence) -> None:
    robust = replace(evidence.findings[0], id="robust/a/net", kind="robust")
    checked = replace(robust, id="robust/b/net", checks=(AttackCheck("epsilon 0", "0 of 4 differ"),))
    assert unchecked(replace(evidence, findings=(*evidence.findings, robust, checked))) == (robust,)


def test_every_check_and_every_doubt_it_raised_is_printed(tmp_path: Path) -> None:
    store = sample.small_run(tmp_path / "run")
    evidence = store.evidence()
    checks = (
        AttackCheck("epsilon 0", "0 of 4 predictions differ"),
        AttackCheck("linf 0.5", "4 <right>", "above-chance"),
    )
    findings = (replace(evidence.findings[0], checks=checks), *evidence.findings[1:])
    store.write_evidence(replace(evidence, findings=findings), store.run_record())
    page = html_bytes(read(store)).decode()
    section = page[page.index('<section id="adequacy"') : page.index('<section id="limitations"')]
    assert "<td>epsilon 0</td><td>0 of 4 predictions differ</td><td>none</td>" in section
    assert "<td>linf 0.5</td><td>4 &lt;right&gt;</td><td>above-chance</td>" in section
    assert "No attack was checked by itself" not in section
