"""A German report is German in every fixed text, writes numbers as German does, and says the same as an English one."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, nodes
from pypdf import PdfReader

from reports import adequacy, crosswalk, data_files, language, register, sections, verdict_page, wording
from reports.page import fill
from reports.pdf_verification import pdf_checks
from reports.pictures import data_uri
from reports.presentation import Presentation, dump_presentation
from reports.render import html_bytes, pdf_bytes, read
from tests.reports import sample
from wolfhound import comparison
from wolfhound.comparison import CHANGES
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Quantity
from wolfhound.statistics import Interval, Rate
from wolfhound.store import EvidenceStore
from wolfhound.verdicts import SEVERITIES, residual_risk

TEMPLATES = Path(language.__file__).parent / "templates"


def spoken_in_templates() -> set[str]:
    """Every literal text that a template hands to `t`."""
    found: set[str] = set()
    for path in TEMPLATES.rglob("*.html"):
        calls = Environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call)
        spoken = [c for c in calls if isinstance(c.node, nodes.Name) and c.node.name == "t" and c.args]
        found |= {call.args[0].value for call in spoken if isinstance(call.args[0], nodes.Const)}
    return found


def spoken_in_code() -> set[str]:
    """Every text that code chooses from and a template hands to `t`."""
    found = {title for _, title, _ in sections._OUTLINE} | set(verdict_page._HEADLINES.values())
    found |= set(wording.VERDICT_WORDS.values()) | set(wording.VERDICT_WORDS) | {wording.NOT_MEASURED, "and", "none"}
    found |= {wording.heading(name) for name in SEVERITIES} | set(CHANGES) | {"Machine", "Versions"}
    found |= {"The plan sets no criterion, so nothing was judged. Missing is not passed.", "{successes} of {total}"}
    found |= {method for anchor in sections.anchors() if (method := crosswalk.method_of(anchor))}
    found |= {"sufficient", "partial", "absent", "above the control", "below the control"}
    found |= {"no rate was measured"}
    found |= {register._standing(Rate(5, 10, "d"), Rate(5, 10, "d"))}
    found |= {
        adequacy.Convergence(None, "", passes, 0, 1, gained, best).standing  # type: ignore[arg-type]
        for passes, gained, best in ((1, 0.0, 1), (2, 0.5, 2), (2, 0.0, 1))
    }
    verdicts = ("met", "not met", "inconclusive")
    found |= {residual_risk(verdict, severity) for verdict in verdicts for severity in SEVERITIES}  # type: ignore[arg-type]  # fmt: skip
    return found


def spoken_in_data() -> set[str]:
    """Every text of the data files that is printed."""
    shipped, reference = data_files.crosswalk(), data_files.reference_2017()
    clauses = [clause for framework in shipped.frameworks for clause in framework.clauses]
    found = {text for clause in clauses for text in (clause.asks, clause.evidence)}
    found |= {shipped.note, *shipped.to_be_verified, reference.title, reference.conditions, reference.not_comparable}
    found |= {text for term in data_files.glossary() for text in (term.term, term.meaning)}
    found |= {text for measure in data_files._measures().values() for text in (measure.label, measure.definition)}
    return (found | set(data_files.standing_limitations())) - {""}


def test_the_catalogue_has_every_fixed_text_and_no_other() -> None:
    wanted = spoken_in_templates() | spoken_in_code() | spoken_in_data()
    held = set(language.catalogue("de")["texts"])
    assert sorted(wanted - held) == []
    assert sorted(held - wanted) == []


def test_no_text_stands_in_the_catalogue_twice() -> None:
    source = (TEMPLATES.parent / "data" / "de.yaml").read_text(encoding="utf-8")
    for name, part in yaml.safe_load(source).items():
        block = source.partition(f"\n{name}:\n")[2]
        lines = [line for line in re.split(r"\n(?! )", block)[0].splitlines() if line.startswith('  "')]
        assert len(lines) == len(part), name


def test_no_word_of_a_template_is_printed_past_the_catalogue() -> None:
    for path in TEMPLATES.rglob("*.html"):
        tokens = Environment().lex(path.read_text(encoding="utf-8"))
        data = "".join(text for _, kind, text in tokens if kind == "data")
        printed = re.sub(r"<style.*?</style>|<[^>]*>|&\w+;", " ", data, flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-z]{3,}", printed)) - {"Wolfhound", "SHA"}
        assert words == set(), path.name


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> EvidenceStore:
    """A small run folder whose report is German."""
    store = sample.small_run(tmp_path_factory.mktemp("german") / "run")
    store.write("presentation.json", dump_presentation(Presentation(language="de")))
    return store


def page_text(html: str) -> str:
    """What a reader sees of a page, without what is marked as English."""
    body = html[html.index("<body") :]
    unmarked = re.sub(r"<(\w+)[^>]* lang=\"en\"[^>]*>.*?</\1>", " ", body, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", unmarked))


def test_no_fixed_english_sentence_leaks_into_a_german_report(german: EvidenceStore) -> None:
    html = html_bytes(read(german)).decode()
    assert '<html lang="de">' in html
    shown = page_text(html)
    known = [re.sub(r"<[^>]*>", "", text) for text in language.catalogue("de")["texts"]]
    sentences = [text for text in known if len(text) > 30 and "{" not in text]
    assert len(sentences) > 100
    assert [text for text in sentences if text in shown] == []
    assert "Was fehlt, ist nicht bestanden." in shown


def test_the_overview_names_its_rates_in_german(tmp_path: Path) -> None:
    store = sample.small_run(tmp_path)
    evidence = store.evidence()
    second = replace(evidence.finding("universal/SGD-UAP/vgg_f"), id="universal/SGD-UAP/second")
    store.write_evidence(replace(evidence, findings=(*evidence.findings, second)), sample.RUN)
    store.write("presentation.json", dump_presentation(Presentation(language="de")))
    page = html_bytes(read(store)).decode()
    overviews = [part for part in page.split("<table")[1:] if "<caption>Übersicht</caption>" in part]
    heads = {head for part in overviews for head in re.findall(r'<th scope="col">([^<]*)</th>', part)}
    assert "Täuschungsrate" in heads
    assert not heads & {measure.label for measure in data_files._measures().values()}


def test_german_numbers_have_a_comma_and_the_pdf_says_its_language(german: EvidenceStore, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf_bytes(read(german)))
    reader = PdfReader(path)
    assert reader.trailer["/Root"]["/Lang"] == "de"
    text = "".join(page.extract_text() for page in reader.pages)
    accuracy = german.evidence().finding("clean/vgg_f").rates["accuracy"]
    assert accuracy.text == "91.0 % [89.1, 92.6], n = 1000"
    assert "91,0 % [89,1; 92,6], n = 1000" in text
    assert accuracy.text not in text
    assert "02.03.2026, 09:21 UTC" in text
    assert [check for check in pdf_checks(path) if check.ok is False] == []
    first, second = ("".join(page.extract_text().split()) for page in reader.pages[:2])
    assert "nichtwahrist" in first or "werihngemachthat" in first
    assert "Inhalt" in second


def test_german_writes_numbers_days_and_lists_as_german_does() -> None:
    german = language.language("de")
    assert german.numbers("12.5 [1.5, −2.25] 10/255") == "12,5 [1,5; −2,25] 10/255"
    assert german.decimals(1234.5, 1) == "1234,5"
    assert german.date("2026-01-31T12:00:00+01:00") == "31.01.2026, 11:00 UTC"
    assert german.day("2026-01-31") == "31.01.2026"
    assert german.listed(["a", "b", "c"]) == "a, b und c"
    assert german.rate(Rate(0, 0, "d")) == german.rate(None) == "nicht gemessen"
    assert german.upper_bound(Rate(0, 1000, "d")) == "keine in 1000; 95-%-Obergrenze 0,37 % (Clopper–Pearson)"
    assert german.quantity(Quantity(6, "steps", "m", Interval(1.5, 7.5))) == "6 Schritte [1,5; 7,5] (95 %, wilson)"
    assert german.threshold(sample.CRITERIA[1]) == "höchstens 58 %"
    gap = Quantity(0.25, "share of images", "m", Interval(0.1, 0.4, 0.95, "newcombe"))
    assert german.quantity(gap) == "25,0 Prozentpunkte [10,0; 40,0] (95 %, newcombe)"
    assert german.gap(gap) == "25,0 Prozentpunkte [10,0; 40,0]"
    assert german.threshold(sample.CRITERIA[1], of_gap=True) == "höchstens 58 Prozentpunkte"
    assert german.measure("from caffenet").label == "Berechnet auf caffenet"


def test_a_recorded_sentence_is_german_where_wolfhound_always_writes_it_so_and_else_as_recorded() -> None:
    german = language.language("de")
    assert (
        german.said("no part of the interval is at most 12.5 %")
        == "kein Teil des Intervalls liegt bei höchstens 12,5 %"
    )
    judged = "25.0 points [11.0, 40.0] (newcombe): no part of the interval is at most 10 points"
    assert (
        german.said(judged) == "25,0 Prozentpunkte [11,0; 40,0] (newcombe): "
        "kein Teil des Intervalls liegt bei höchstens 10 Prozentpunkte"
    )
    assert german.said("Somebody wrote this.") == "Somebody wrote this."
    assert language.language("en").said("at most 12.5 %") == "at most 12.5 %"


def spoken_in_comparisons() -> set[str]:
    """Every sentence that a comparison of two audits can hold, each made by the code that makes them."""
    counted = comparison.Ledger({"a": "wolf", "b": "husky"}, {"a": True, "b": True}, "changed")
    others = [
        replace(counted, rule="right"),
        replace(counted, labels={"a": "wolf"}),
        replace(counted, labels=dict.fromkeys("ab", "wolf")),
        replace(counted, outcomes={}),
    ]
    found = {comparison._obstacle_in_ledgers(counted, other) for other in others}
    row = comparison.RateChange("clean/x", "x", "accuracy", "not comparable", "", None, None)
    found |= set(comparison._tested(row, {"a": True, "b": True}, {"a": True}).said)
    found |= {comparison.SubjectChange("x", old, new).text for old in ("", "1") for new in ("1", "2")}
    found |= {f"the {side} finding is in doubt: masking" for side in ("earlier", "later")}
    found |= {f"{what}: 1 before, 2 now" for what in ("the plans' seed", "other threat", "other denominator")}
    return found


def test_what_a_comparison_says_is_german() -> None:
    german = language.language("de")
    assert len(found := spoken_in_comparisons()) == 13
    assert [text for text in found if german.said(text) == text] == []
    assert german.said("other threat: transfer before, white-box now") == (
        "andere Bedrohung: übertragen vorher, White-Box jetzt"
    )


def test_a_german_report_says_once_that_evidence_is_in_its_own_language(german: EvidenceStore) -> None:
    html = html_bytes(read(german)).decode()
    assert html.count("eine übersetzte Behauptung wäre eine andere Behauptung") == 1
    english = fill(replace(read(german), presentation=Presentation()), data_uri, screen=True)
    assert '<p class="note recorded">' not in english


def test_an_unknown_fixed_text_fails_instead_of_staying_english() -> None:
    with pytest.raises(EvidenceError, match="expected a text in the language 'de'"):
        language.language("de")("Nobody translated this.")


def test_a_value_in_a_fixed_text_is_escaped_and_may_not_be_missing() -> None:
    english = language.language("en")
    assert english("{count} further", count="<b>") == "&lt;b&gt; further"
    with pytest.raises(EvidenceError, match="got none"):
        english("{count} further", count=None)
    with pytest.raises(EvidenceError, match="finite"):
        english("{count} further", count=float("nan"))


def test_the_german_report_of_next_to_nothing_is_whole(tmp_path: Path) -> None:
    store = sample.bare_run(tmp_path)
    store.write("presentation.json", dump_presentation(Presentation(language="de")))
    assert "Diese Prüfung enthielt keinen Test dieser Art." in html_bytes(read(store)).decode()
