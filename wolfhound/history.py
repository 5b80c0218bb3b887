"""One run in one row: verdict, seal, and the worst rate of each kind of test. Knows no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from wolfhound.comparison import better_when
from wolfhound.evidence import Evidence
from wolfhound.finished import FinishedRun
from wolfhound.statistics import Rate
from wolfhound.verdicts import overall


@dataclass(frozen=True)
class WorstRate:
    """The worst of all rates of one name, and the classifier that it was measured on."""

    kind: str
    name: str
    subject: str
    rate: Rate

    @property
    def key(self) -> str:
        """What the rate is called in plans."""
        return f"{self.kind}.{self.name}"

    @property
    def text(self) -> str:
        """The rate in words."""
        return f"{self.key}: {self.rate.text} ({self.subject})"


@dataclass(frozen=True)
class HistoryRow:
    """One run folder. Where `fault` says why it can't be used, nothing else of it is believed."""

    folder: str
    audit: str = ""
    finished: str = ""
    verdict: str = ""
    seal: str = ""
    worst: tuple[WorstRate, ...] = ()
    fault: str = ""


def row_of(folder: str, run: FinishedRun) -> HistoryRow:
    """Return the row of a verified run."""
    verdict = overall(run.evidence.judgements)
    worst = tuple(worst_rates(run.evidence))
    return HistoryRow(folder, run.evidence.name, run.run.finished, verdict, run.seal, worst)


def worst_rates(evidence: Evidence) -> Iterator[WorstRate]:
    """Yield the worst rate of each name that a criterion judges; of every first rate of a kind where there is none.

    Worst is the largest share where less is better, the smallest where more is.
    """
    wanted = dict.fromkeys(criterion.rate for criterion in evidence.criteria)
    for key in wanted or dict.fromkeys(f"{f.kind}.{next(iter(f.rates))}" for f in evidence.findings if f.rates):
        kind, _, name = key.partition(".")
        found = [
            (better_when(finding, name), WorstRate(kind, name, finding.subject, finding.rates[name]))
            for finding in evidence.findings
            if finding.kind == kind and name in finding.rates and finding.rates[name].measured
        ]
        ranked = [worst for way, worst in found if way is not None]
        if ranked:
            sign = 1 if found[0][0] == "low" else -1
            yield max(ranked, key=lambda worst: sign * worst.rate.share)
