"""Whether the numbers on a report's pages are those of its evidence: recounted from ledgers, and found in the text."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from reports.language import Language, language
from reports.presentation import LanguageCode
from reports.typefaces import printable
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Evidence, load_evidence
from wolfhound.statistics import Rate
from wolfhound.store import sha256
from wolfhound.verification import Check, rate_checks


def attached_rate_checks(
    data: bytes, attachments: Iterable[bytes], pages: Iterable[str] | None, *, code: LanguageCode = "en"
) -> list[Check]:
    """Return the checks of the attached evidence: rates against the attached ledgers, numbers against the pages.

    `data` is the attached evidence, `pages` the text of each page, None where they were not read, since the file has
    faults already, `code` the pages' language. Evidence that can't be read gives no check here.
    """
    try:
        evidence = load_evidence(data)
    except EvidenceError:
        return []
    by_digest = {sha256(attached): attached for attached in attachments}
    printed = _printed(evidence, pages, language(code))
    return [*rate_checks(evidence, lambda artefact: by_digest.get(artefact.sha256)), printed]


def printed_rates(evidence: Evidence, spoken: Language) -> Mapping[str, int]:
    """Return how often each line "percent, interval, n, successes of total" has to stand in a report at the least.

    Without blanks, since a PDF's text has them in other places than its source.
    """
    rates = [rate for finding in evidence.findings for rate in finding.rates.values() if rate.measured]
    return Counter(_line(rate, spoken) for rate in rates)


def printed_quantities(evidence: Evidence, spoken: Language) -> Mapping[str, int]:
    """Return the same of quantities with an interval; a bare number would be found somewhere on any page."""
    held = [quantity for finding in evidence.findings for quantity in finding.quantities.values()]
    return Counter(_without_blanks(printable(spoken.quantity(one))) for one in held if one.interval is not None)


def _line(rate: Rate, spoken: Language) -> str:
    # The counts end the line, so that n = 100 is not found in n = 1000.
    return _without_blanks(f"{spoken.rate(rate)}{spoken.upper_bound(rate)}{spoken.counts(rate)}")


def _printed(evidence: Evidence, pages: Iterable[str] | None, spoken: Language) -> Check:
    if pages is None:
        return Check("printed numbers", None, "not looked for on the pages: the file has faults already")
    text = _without_blanks("".join(pages))
    rates, quantities = printed_rates(evidence, spoken), printed_quantities(evidence, spoken)
    missing = [
        f"{line} ({text.count(line)} of {count} times)"
        for line, count in [*rates.items(), *quantities.items()]
        if text.count(line) < count
    ]
    if missing:
        return Check("printed numbers", False, f"{len(missing)} not on the pages as stored, first {missing[0]}")
    counts = f"{sum(rates.values())} rates and {sum(quantities.values())} quantities with an interval"
    return Check("printed numbers", True, f"{counts} of the evidence stand on the pages as they are stored")


def _without_blanks(text: str) -> str:
    return re.sub(r"\s+", "", text)
