"""Draw the README's picture of a report: the verdict page and the page of the first cross-architecture table.

python scripts/report_picture.py REPORT.pdf PICTURE.png      # needs pdftoppm (Debian: poppler-utils)
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from pypdf import PdfReader

RESOLUTION = 80
GAP, MARGIN, DESK = 24, 24, (226, 231, 235)


def table_page(report: Path) -> int:
    """Return the number of the page on which the chapter of the cross-architecture table begins, from 1.

    Raises:
        SystemExit: the report's bookmarks name no such chapter.
    """
    reader = PdfReader(report)
    for item in reader.outline:
        if not isinstance(item, list) and str(item.title).startswith("5 "):
            page = reader.get_destination_page_number(item)
            if page is not None:
                return page + 1
    sys.exit(f"expected a chapter 5 among the bookmarks of {report}, found none")


def page_image(report: Path, number: int, folder: Path) -> Image.Image:
    """Return one page as a picture."""
    target = folder / f"page-{number}"
    options = ["-r", str(RESOLUTION), "-f", str(number), "-l", str(number), "-singlefile", "-png"]
    subprocess.run(["pdftoppm", *options, str(report), str(target)], check=True)
    with Image.open(target.with_suffix(".png")) as image:
        return image.convert("RGB")


def main(report: Path, picture: Path) -> None:
    """Write the two pages side by side as one small PNG."""
    with tempfile.TemporaryDirectory() as folder:
        pages = [page_image(report, number, Path(folder)) for number in (1, table_page(report))]
    width = sum(page.width for page in pages) + GAP + 2 * MARGIN
    sheet = Image.new("RGB", (width, max(page.height for page in pages) + 2 * MARGIN), DESK)
    left = MARGIN
    for page in pages:
        sheet.paste(page, (left, MARGIN))
        left += page.width + GAP
    sheet.quantize(128).save(picture, "PNG", optimize=True)
    print(f"{picture}: {picture.stat().st_size // 1000} kB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
