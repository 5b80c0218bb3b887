"""The page of all runs speaks the language of the newest run's report, and escapes what stands in run folders."""

from pathlib import Path

from flows.history import newest_language
from reports.history_page import history_page
from reports.history_plot import history_plot
from reports.language import language
from reports.presentation import Presentation, dump_presentation
from tests.reports import sample
from wolfhound.history import HistoryRow, WorstRate
from wolfhound.statistics import Rate

WORST = WorstRate("universal", "fooling_rate", "灰狼", Rate(5, 10, "images"))
ROWS = (
    HistoryRow("first", "a <b>", "2026-03-02T09:21:33+00:00", "not met", "5ea1", (WORST,)),
    HistoryRow("second", fault="expected <this>"),
)


def test_the_german_page_is_german() -> None:
    page = history_page(ROWS, language("de"))
    for words in ('<html lang="de">', "Verlauf der Prüfungen", "nicht erfüllt", "02.03.2026, 09:21 UTC"):
        assert words in page
    assert "50,0 % [23,7; 76,3], n = 10 (灰狼)" in page
    assert 'Unbrauchbar: <span lang="en">expected &lt;this&gt;</span>' in page
    assert "es wurde keine Rate gemessen" in history_plot((), language("de")).decode()


def test_the_english_page_says_the_same() -> None:
    page = history_page(ROWS, language("en"))
    for words in ("History of audits", "not met", "50.0 % [23.7, 76.3], n = 10 (灰狼)", "a &lt;b&gt;"):
        assert words in page
    assert "Wolfhound sc-" in page


def test_the_newest_usable_run_says_the_language(tmp_path: Path) -> None:
    assert newest_language(tmp_path, []).code == "en"
    for name, code in (("old", "en"), ("new", "de")):
        sample.bare_run(tmp_path / name).write("presentation.json", dump_presentation(Presentation(language=code)))  # type: ignore[arg-type]
    rows = [HistoryRow("old"), HistoryRow("new"), HistoryRow("broken", fault="no")]
    assert newest_language(tmp_path, rows).code == "de"
    assert newest_language(tmp_path, rows[:1]).code == "en"
