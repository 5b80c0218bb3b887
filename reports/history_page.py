"""All runs of a folder as one HTML page that needs nothing beside it: the plots, and the table with every seal."""

from collections.abc import Sequence
from importlib.resources import files

from markupsafe import Markup

from reports.history_plot import history_plot
from reports.language import Language
from reports.pictures import SVG, WOFF2, data_uri, font
from reports.scripts import dress
from reports.templating import strict_environment
from reports.typefaces import FONTS, visible
from wolfhound.history import HistoryRow


def history_page(rows: Sequence[HistoryRow], spoken: Language) -> str:
    """Return the page in a language. Everything that stands in a run folder is escaped."""
    sheet = "".join(
        (files("reports") / "css" / name).read_text(encoding="utf-8") for name in ("report.css", "screen.css")
    )
    page = (
        strict_environment(spoken)
        .get_template("history.html")
        .render(
            rows=rows,
            plot=data_uri(history_plot(rows, spoken), SVG),
            style=Markup(sheet),
            typefaces={name: data_uri(font(FONTS[name]), WOFF2) for name in ("sans", "sans-bold", "mono")},
        )
    )
    return dress(visible(page), data_uri, screen=True)
