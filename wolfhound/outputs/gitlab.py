"""GitLab: variables for later jobs as a dotenv report. Judgements go into GitLab's test report as JUnit XML.

Its code quality report fits less: it speaks of places in source files, and has no passed and no skipped case.
"""

from collections import Counter

from wolfhound.outputs.text import one_line
from wolfhound.result import Result

VARIABLES, BYTES = 20, 5 * 1024
"""GitLab refuses a dotenv report that holds more."""


def dotenv(result: Result) -> bytes:
    """Return one `NAME=value` a line; no quotes, no comments and no empty lines, which GitLab doesn't read.

    Values hold only letters, digits and a few signs: a name of an audit is no way into a later job's shell.
    """
    counted = Counter(row.verdict for row in result.judgements)
    values = {
        "VERDICT": result.verdict.replace(" ", "_"),
        "EXIT_CODE": str(result.exit_code),
        "SEAL": result.seal,
        "EVIDENCE_SHA256": result.evidence_sha256,
        "AUDIT": "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in one_line(result.audit))[:64],
        "MET": str(counted["met"]),
        "NOT_MET": str(counted["not met"]),
        "INCONCLUSIVE": str(counted["inconclusive"]),
        "NOT_TESTED": str(counted["not tested"]),
    }
    if result.since_last_audit is not None:
        values["WORSE"] = str(len(result.since_last_audit.of("worse")))
        values["BETTER"] = str(len(result.since_last_audit.of("better")))
    return "".join(f"WOLFHOUND_{name}={value}\n" for name, value in values.items()).encode()
