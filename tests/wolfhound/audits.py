"""Two sides of a comparison, made by hand: no audit made them, but any could have."""

from collections.abc import Mapping, Sequence

from wolfhound.comparison import Ledger, RunIdentity, Side
from wolfhound.evidence import Doubt, Evidence, Finding, Subject
from wolfhound.statistics import Rate

CLASSES = ("wolf", "husky")
RULE = "clean != perturbed, of every row"


def outcomes(text: str) -> dict[str, bool]:
    """One image a sign: "1" a success, "0" none, "." outside the rate's total."""
    return {f"image-{place}": sign == "1" for place, sign in enumerate(text) if sign != "."}


def ledger(text: str, *, labels: Mapping[str, str] | None = None, rule: str = RULE) -> Ledger:
    every = {f"image-{place}": "0" for place in range(len(text))}
    return Ledger({**every, **(labels or {})}, outcomes(text), rule)


def finding(
    rates: Mapping[str, str],
    *,
    identifier: str = "universal/sgd/net",
    conditions: Mapping[str, str] | None = None,
    knowledge: str = "white-box",
    doubts: tuple[Doubt, ...] = (),
) -> Finding:
    counted = {name: outcomes(text) for name, text in rates.items()}
    return Finding(
        id=identifier,
        kind=identifier.split("/")[0],  # type: ignore[arg-type]
        subject="net",
        title="A finding",
        claim="Something was measured.",
        knowledge=knowledge,
        conditions=conditions or {"threat": "linf 8/255", "seed": "1"},
        rates={name: Rate(sum(found.values()), len(found), "held-out images") for name, found in counted.items()},
        reproduce="wolfhound run plan.yaml",
        doubts=doubts,
    )


def side(
    findings: Sequence[Finding],
    ledgers: Mapping[tuple[str, str], Ledger | str],
    *,
    weights: str = "a" * 64,
    classes: tuple[str, ...] = CLASSES,
    seed: int = 1,
) -> Side:
    evidence = Evidence(
        name="audit",
        purpose="a test",
        plan_sha256="b" * 64,
        seed=seed,
        subjects=(Subject("net", "resnet18", "a file", weights, 1, (8, 8), 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),),
        images=(),
        class_names=classes,
        findings=tuple(findings),
        criteria=(),
        judgements=(),
        tables=(),
        not_tested=(),
        limitations=(),
    )
    return Side(RunIdentity("audit", "2026-03-02T09:21:33+00:00", "c" * 64, "d" * 64, "b" * 64), evidence, ledgers)


def measured(text: str, *, rate: str = "fooling_rate", weights: str = "a" * 64, seed: int = 1, **facts: object) -> Side:
    """A side with one finding and one rate."""
    found = finding({rate: text}, **facts)  # type: ignore[arg-type]
    return side([found], {(found.id, rate): ledger(text)}, weights=weights, seed=seed)
