"""The language of a report's fixed texts. Templates hold them in English; a catalogue has each in another language.

What the evidence says (claims, conditions, captions) stays as it was recorded: a translation of it would be another
claim. Terms and sentences that Wolfhound itself always writes the same way are in the catalogue, too.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from markupsafe import Markup

from reports import wording
from reports.data_files import Measure, Term, measure_pattern
from reports.presentation import LanguageCode
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Criterion, Quantity
from wolfhound.statistics import Rate

_FIELD = re.compile(r"\{(\w+)\}")
_LONGEST = 400
"""Signs up to which a recorded text is held against sentences with fields: matching takes long on very long ones."""


@dataclass(frozen=True)
class Language:
    """A language: its code, how it writes numbers and days, and its catalogue by English text (empty for English).

    `texts` are fixed texts of templates and data files, `recorded` terms and sentences that evidence holds.
    """

    code: LanguageCode
    texts: Mapping[str, str]
    recorded: Mapping[str, str]
    decimal_comma: bool
    day_format: str

    def __call__(self, english: str, /, **values: Any) -> Markup:
        """Return a fixed text with its `{fields}` filled in and escaped. The text itself is ours and may hold markup.

        Raises:
            EvidenceError: the catalogue lacks the text, or a value is missing.
        """
        printed = {name: self.value(value) for name, value in values.items()}
        return Markup(self.text(english)).format(**printed)

    def text(self, english: str) -> str:
        """Return a fixed text as it stands in the catalogue.

        Raises:
            EvidenceError: the catalogue lacks it.
        """
        if self.code == "en":
            return english
        if english not in self.texts:
            raise EvidenceError(f"expected a text in the language {self.code!r} for {english[:120]!r}, found none")
        return self.texts[english]

    def value(self, value: Any) -> Any:
        """Return a value as it is printed; a number that stands by itself in the language's way of writing it.

        Raises:
            EvidenceError: it is missing.
        """
        printed = wording.refuse_missing(value)
        return self.numbers(printed) if isinstance(value, float) else printed

    def numbers(self, text: str) -> str:
        """Return a text of ours that holds numbers with the language's decimal sign."""
        if not self.decimal_comma:
            return text
        apart = re.sub(r"(?<=\d), (?=[−\d])", "; ", text)  # else [1,2, 3,4] could be read as four numbers
        return re.sub(r"(?<=\d)\.(?=\d)", ",", apart)

    def said(self, text: str) -> str:
        """Return what the evidence says, in this language where it is a term or a sentence of Wolfhound's own."""
        return text if self.code == "en" else self._known(text) or text

    def _known(self, text: str) -> str | None:
        for catalogue in (self.recorded, self.texts):
            if text in catalogue:
                return catalogue[text]
        if len(text) > _LONGEST:
            return None
        for pattern, template in _sentences(self.code):
            if match := pattern.fullmatch(text):
                values = {name: self.numbers(self.said(part)) for name, part in match.groupdict().items()}
                return template.format(**values)
        return None

    @property
    def evidence(self) -> Markup:
        """An attribute for elements that hold recorded text; nothing in an English report."""
        return Markup("") if self.code == "en" else Markup(' lang="en"')

    def rate(self, value: Rate | None) -> str:
        """Return percent, Wilson 95 % interval and n, or that nothing was measured."""
        measured = value is not None and value.measured
        return self.numbers(wording.rate(value)) if measured else str(self(wording.NOT_MEASURED))

    def counts(self, value: Rate) -> str:
        """Return "successes of total"."""
        return str(self("{successes} of {total}", successes=value.successes, total=value.total))

    def upper_bound(self, value: Rate) -> str:
        """Return the exact upper bound of a rate of which nothing was counted, else nothing."""
        english = wording.upper_bound(value)
        return self.numbers(self.said(english)) if english else ""

    def number(self, value: float) -> str:
        """Return a number as `wording.number` does."""
        return self.numbers(wording.number(value))

    def decimals(self, value: float, places: int) -> str:
        """Return a number with a fixed count of decimal places."""
        return self.numbers(wording.decimals(value, places))

    def quantity(self, value: Quantity) -> str:
        """Return a quantity with unit and interval."""
        return self._with_unit(wording.quantity(value), wording.unit(value))

    def _with_unit(self, printed: str, unit: str) -> str:
        return self.numbers(printed.replace(f" {unit}", f" {self.said(unit)}", 1) if unit else printed)

    def gap(self, value: Quantity) -> str:
        """Return a difference of shares as `wording.gap` does."""
        return self._with_unit(wording.gap(value), wording.unit(value))

    def threshold(self, criterion: Criterion, *, of_gap: bool = False) -> str:
        """Return a criterion's threshold in words as `wording.threshold` does."""
        return self.numbers(self.said(wording.threshold(criterion, of_gap=of_gap)))

    def stated(self, value: str) -> str:
        """Return a text of the plan, or that it is not stated."""
        return value if value.strip() else str(self("not stated"))

    def date(self, text: str) -> str:
        """Return an ISO time as it is printed, in UTC."""
        return f"{wording.moment(text):{self.day_format}%H:%M} UTC"

    def day(self, text: str) -> str:
        """Return an ISO day as it is printed; a text that is no day is returned as it is said."""
        try:
            moment = wording.moment(f"{text}T00:00:00Z")
        except EvidenceError:
            return self.said(text)
        return f"{moment:{self.day_format}}".rstrip(", ")

    def listed(self, items: Sequence[str]) -> str:
        """Return items as a list in a sentence."""
        if not items:
            return str(self("none"))
        *first, last = [self.said(item) for item in items]
        return f"{', '.join(first)} {self('and')} {last}" if first else last

    def measure(self, name: str) -> Measure:
        """Return how a rate of that name is printed."""
        pattern, named, known = measure_pattern(name)
        if not known:
            return Measure(self.said(pattern.label), "")
        label = self.text(pattern.label).replace("{}", named)
        return Measure(label, self.text(pattern.definition) if pattern.definition else "")

    def terms(self, terms: Sequence[Term]) -> list[Term]:
        """Return glossary entries in the language's alphabetical order."""
        return sorted((Term(self.text(t.term), self.text(t.meaning)) for t in terms), key=lambda t: t.term.casefold())


@cache
def language(code: LanguageCode) -> Language:
    """Return a language.

    Raises:
        EvidenceError: its catalogue changes a field of a text.
    """
    if code == "en":
        return Language("en", {}, {}, decimal_comma=False, day_format="%Y-%m-%d ")
    loaded = catalogue(code)
    return Language(code, loaded["texts"], loaded["recorded"], decimal_comma=True, day_format="%d.%m.%Y, ")


@cache
def catalogue(code: LanguageCode) -> Mapping[str, Mapping[str, str]]:
    """Return a catalogue: fixed texts, and what evidence holds, by their English.

    Raises:
        EvidenceError: a text has other fields than its original.
    """
    data = (files("reports") / "data" / f"{code}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, str]] = yaml.safe_load(data)
    for english, text in [row for part in loaded.values() for row in part.items()]:
        if sorted(_FIELD.findall(english)) != sorted(_FIELD.findall(text)):
            raise EvidenceError(f"expected the fields of {english!r} in its text in {code!r}, got {text!r}")
    return loaded


@cache
def _sentences(code: LanguageCode) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the recorded sentences with fields as patterns; those with the most words of their own come first."""
    texts = [(english, text) for english, text in catalogue(code)["recorded"].items() if _FIELD.search(english)]
    texts.sort(key=lambda row: -len(_FIELD.sub("", row[0])))
    return tuple((_pattern(english), text) for english, text in texts)


def _pattern(english: str) -> re.Pattern[str]:
    parts = _FIELD.split(english)
    return re.compile("".join(f"(?P<{p}>.+?)" if i % 2 else re.escape(p) for i, p in enumerate(parts)), re.DOTALL)
