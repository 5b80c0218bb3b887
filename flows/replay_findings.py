"""From ledgers to findings on replayed perturbations: attacks that need no access to the network at all."""

from collections.abc import Mapping, Sequence

import pandas as pd

from attacks.doubts import transfer_stronger
from attacks.judge import float_column
from flows.audit_job import AuditJob
from flows.ledgers import column
from flows.replay_stage import ReplayEntry
from flows.steps import StepValue, unpack
from flows.table_stage import NOISE, noise_column
from flows.universal_findings import UniversalResults, ledger_name
from flows.universal_stage import UniversalEntry
from wolfhound.counting import Counted, differs
from wolfhound.evidence import Doubt, Finding, RateTable
from wolfhound.metrics import fooling_rate

AS_DELIVERED = "as 8-bit images; beside it the worst file's perturbation in floating point, before it is rounded"


def replay_table(job: AuditJob, entry: ReplayEntry, results: UniversalResults) -> RateTable:
    """Return the fooling rates of one entry: rows are files, columns the networks that they were fired at."""
    ledgers = {target: results.table(job, target) for target in entry.targets}
    rows = {source: entry.column(source) for source in entry.sources} | {NOISE: noise_column(entry.threat)}
    cells = tuple(
        tuple(fooling_rate(column(ledgers[t], "clean"), column(ledgers[t], name)) for t in entry.targets)
        for name in rows.values()
    )
    return RateTable(
        name=f"replay_{entry.name}",
        title=f"Fooling rates of replayed perturbations at {entry.threat.norm} {entry.threat.epsilon_text}",
        row_label="perturbation",
        column_label="evaluated on",
        rows=tuple(rows),
        columns=entry.targets,
        cells=cells,
        control_rows=(NOISE,),
        note="Share of held-out images whose prediction changes under a perturbation that was read from a file.",
    )


def replay_finding(
    job: AuditJob,
    entry: ReplayEntry,
    target: str,
    results: UniversalResults,
    read: Mapping[str, StepValue],
    *,
    direct: str | None,
) -> Finding:
    """Return the finding on one network: what the strongest of the files does to it.

    `direct` is the ledger column of a perturbation of that size that was computed on this very network, if any.
    """
    ledger = results.table(job, target)
    clean = column(ledger, "clean")
    rates = {f"file {source}": fooling_rate(clean, column(ledger, entry.column(source))) for source in entry.sources}
    worst = max(entry.sources, key=lambda source: rates[f"file {source}"].share)
    judged = float_column(ledger, entry.column(worst)), noise_column(entry.threat)
    top, (in_float, noise) = rates[f"file {worst}"], (fooling_rate(clean, column(ledger, name)) for name in judged)
    return Finding(
        id=f"transfer/{entry.name}/{target}",
        kind="transfer",
        subject=target,
        title=f"Replayed perturbations on {target}",
        claim=(
            f"Of the perturbations read from files ({len(entry.sources)}), {worst} changed the prediction of {target} "
            f"most often: on {top.successes} of {top.total} held-out images. It takes no access to the network."
        ),
        knowledge="transfer",
        conditions={
            "attack": "replay of published or earlier perturbations",
            "threat": entry.threat.text,
            "worst source": f"{worst} (the largest of {len(rates)}; its interval is not corrected for the choice)",
            "judged": AS_DELIVERED,
            **_files(entry, read),
        },
        rates={"worst_transfer": top, "worst_transfer_float": in_float, "noise_control": noise, **rates},
        controls=("noise_control",),
        counted=_counted(entry, ledger, ledger_name(target), worst),
        ledgers={ledger_name(target): unpack(results.ledgers[target]["ledger"])},
        artefacts={source: unpack(read[entry.column(source)]["deltas"]) for source in entry.sources},
        reproduce=job.command,
        doubts=(*results.doubts[target], *_ahead_of(direct, entry.column(worst), ledger, name=worst)),
    )


def _counted(entry: ReplayEntry, ledger: pd.DataFrame, name: str, worst: str) -> dict[str, Counted]:
    rules = {f"file {source}": Counted(name, ((differs("clean", entry.column(source)),),)) for source in entry.sources}
    return {
        "worst_transfer": rules[f"file {worst}"],
        "worst_transfer_float": Counted(name, ((differs("clean", float_column(ledger, entry.column(worst))),),)),
        "noise_control": Counted(name, ((differs("clean", noise_column(entry.threat)),),)),
        **rules,
    }


def _ahead_of(direct: str | None, replayed: str, ledger: pd.DataFrame, *, name: str) -> tuple[Doubt, ...]:
    """Return a doubt where a file does more than what was computed on the network itself."""
    if direct is None:
        return ()
    clean, own, other = (column(ledger, which) for which in ("clean", direct, replayed))
    found = transfer_stronger(clean, own, other, name=f"the replayed perturbation {name}")
    return () if found is None else (found,)


def _files(entry: ReplayEntry, read: Mapping[str, StepValue]) -> dict[str, str]:
    """Return what has to be said of each file: its digest, how it was read and how it was brought to size."""
    said = {}
    for source in entry.sources:
        told = read[entry.column(source)]["conditions"]
        said[source] = "; ".join(f"{name}: {text}" for name, text in told.items())
    return said


def direct_column(entries: Sequence[UniversalEntry], entry: ReplayEntry, target: str) -> str | None:
    """Return the ledger column of an untargeted perturbation of the same size that was computed on `target` itself."""
    for own in entries:
        same = (own.threat.norm, own.threat.epsilon) == (entry.threat.norm, entry.threat.epsilon)
        if same and own.threat.target is None and target in own.sources:
            return own.column(target)
    return None
