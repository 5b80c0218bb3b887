"""From two stored runs to their comparison: which images each rate counted, by the rates' own declarations."""

from wolfhound.comparison import Comparison, Ledger, Side, compare_audits
from wolfhound.counting import outcomes, read_ledger
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Finding
from wolfhound.finished import FinishedRun

LABEL = "label"


def compare_runs(before: FinishedRun, after: FinishedRun) -> Comparison:
    """Return the later run against the earlier one.

    Raises:
        EvidenceError: a ledger is missing or malformed, or gives other counts than the finding states.
        VerificationError: a ledger's bytes are not those that were stored.
    """
    return compare_audits(side_of(before), side_of(after))


def side_of(run: FinishedRun) -> Side:
    """Return one run with the images behind each of its rates, or why a rate has none."""
    ledgers = {
        (finding.id, rate): _ledger(run, finding, rate) for finding in run.evidence.findings for rate in finding.rates
    }
    return Side(run.identity, run.evidence, ledgers)


def _ledger(run: FinishedRun, finding: Finding, rate: str) -> Ledger | str:
    counted = finding.counted.get(rate)
    if counted is None:
        return "the evidence doesn't state how this rate is counted from a ledger"
    if counted.ledger not in finding.ledgers:
        raise EvidenceError(f"expected the ledger {counted.ledger!r} in finding {finding.id}, found none")
    columns = read_ledger(run.store.get(finding.ledgers[counted.ledger]))
    rows = outcomes(counted, columns)
    observed = (sum(success for _, success in rows), len(rows))
    stored = (finding.rates[rate].successes, finding.rates[rate].total)
    if observed != stored:
        raise EvidenceError(f"expected {stored} of {finding.id}, {rate} in its ledger, counted {observed}")
    units = columns[counted.unit][counted.skip :]
    if len(set(units)) != len(units):
        return f"several rows for one {counted.unit}: they aren't independent, so no paired test fits"
    labels = columns[LABEL][counted.skip :] if LABEL in columns else ("",) * len(units)
    return Ledger(dict(zip(units, labels, strict=True)), dict(rows), counted.text)
