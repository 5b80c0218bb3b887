"""HTML to one PDF that is PDF/A-3a and PDF/UA-1 at once, with attachments, and the same bytes for the same input."""

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from reports.attachments import Attachments
from reports.pictures import MemoryLinks
from reports.typefaces import printable
from reports.xmp import Digests, declare
from wolfhound.errors import EvidenceError


def write_pdf(html: str, links: MemoryLinks, attachments: Attachments, *, digests: Digests, created: datetime) -> bytes:
    """Return the PDF of a page whose pictures and fonts are all in `links`. Nothing else can be fetched.

    Raises:
        EvidenceError: the page asks for something that is not in memory, or a part of it cannot be drawn.
    """
    from weasyprint import HTML

    fetcher = _fetcher({**links.held, **_attached(attachments)})
    with _no_complaint():
        document = HTML(string=printable(html), base_url="report:", url_fetcher=fetcher).render(
            pdf_variant="pdf/a-3a", pdf_tags=True
        )
        declare(document.metadata, digests)
        document.metadata.attachments = [
            _attachment(file.name, file.description, fetcher, created) for file in attachments.files
        ]
        stream = io.BytesIO()
        document.write_pdf(stream, pdf_variant="pdf/a-3a", pdf_tags=True)
    return stream.getvalue()


def _attached(attachments: Attachments) -> dict[str, tuple[bytes, str]]:
    return {_attachment_url(file.name): (file.data, file.media_type) for file in attachments.files}


def _attachment_url(name: str) -> str:
    return f"report:attachment/{name}"


def _attachment(name: str, description: str, fetcher: Any, created: datetime) -> Any:
    from weasyprint import Attachment

    return Attachment(
        url=_attachment_url(name),
        url_fetcher=fetcher,
        name=name,
        description=printable(description),
        created=created,
        modified=created,
        relationship="Data",
    )


def _fetcher(held: Mapping[str, tuple[bytes, str]]) -> Any:
    """Return a URL fetcher that knows what is in memory and data URIs, and refuses files and the network."""
    from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

    class MemoryFetcher(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: dict[str, str] | None = None) -> Any:
            if url.startswith("data:"):
                return super().fetch(url, headers)
            if url not in held:
                raise FatalURLFetchingError(f"the report asks for {url[:200]!r}, which is not part of its evidence")
            data, media_type = held[url]
            return URLFetcherResponse(url, data, {"Content-Type": media_type})

    return MemoryFetcher(allowed_protocols=("data",), allow_redirects=False)


@contextmanager
def _no_complaint() -> Iterator[None]:
    """Fail if WeasyPrint could not draw something: it logs that and leaves the place blank.

    Raises:
        EvidenceError: names what it logged.
    """
    from weasyprint.urls import FatalURLFetchingError

    logger = logging.getLogger("weasyprint")
    complaints = _Complaints()
    logger.addHandler(complaints)
    try:
        yield
    except FatalURLFetchingError as error:
        raise EvidenceError(str(error)) from error
    finally:
        logger.removeHandler(complaints)
    if complaints.messages:
        raise EvidenceError(f"the PDF renderer could not draw a part of the report: {'; '.join(complaints.messages)}")


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage()[:300])
