"""A chapter of the organisation's own as HTML: CommonMark and tables, nothing that loads, links or runs.

Raw HTML is printed as it is written, links and pictures as their text with the address behind it: the report stays a
file that needs nothing and calls nobody.
"""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

from reports.presentation import OwnText

HIGHEST_HEADING = 3
"""A chapter's title is an h2, so its own headings begin below; no level is skipped, as PDF/UA asks."""


def own_html(section: OwnText) -> Markup:
    """Return the chapter's body. Everything in it that is no markup of Markdown's is escaped."""
    if section.markup == "plain":
        paragraphs = [part.strip() for part in section.text.split("\n\n") if part.strip()]
        return Markup("\n").join(Markup('<p class="plain">{}</p>').format(part) for part in paragraphs)
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_inline", "html_block"])
    tokens = _headings_in_steps(parser.parse(section.text))
    for token in tokens:
        token.children = None if token.children is None else _links_as_text(token.children)
    # markdown-it escapes every text; html is off, so no token holds HTML of the file.
    return Markup(RendererHTML().render(tokens, parser.options, {}))


def _headings_in_steps(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with headings from h3 on, each at most one level below the one before, h6 the lowest."""
    level, out = HIGHEST_HEADING - 1, []
    for token in tokens:
        if token.type == "heading_open":
            level = min(max(HIGHEST_HEADING, min(int(token.tag[1]) + HIGHEST_HEADING - 1, level + 1)), 6)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{level}"
            token.attrs = {"class": "unnumbered"} if token.type == "heading_open" else {}
        out.append(token)
    return out


def _links_as_text(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens of a line with "text (address)" in place of a link."""
    out, addresses = [], list[str]()
    for token in tokens:
        if token.type == "link_open":
            addresses.append(str(token.attrGet("href") or ""))
        elif token.type != "link_close":
            out.append(token)
        elif (address := addresses.pop()) != (out[-1].content if out else ""):
            out.append(Token("text", "", 0, content=f" ({address})"))
    return out
