"""Named attributes of images come from table columns, follow subsets, and belong to the identity of a set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ImageSetFactory
from tests.extras import needed
from tests.wolfhound.pictures import noise, write_picture
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.sources import CsvColumns, Fit, read_csv

ROWS = [("a.png", "cat", "lens A", "north"), ("b.png", "dog", "lens B", "south"), ("c.png", "cat", "lens A", "south")]
HEADING = ("file", "kind", "lens", "site")


def table(folder: Path, rows: list[tuple[str, str, str, str]] = ROWS) -> Path:
    for place, row in enumerate(rows):
        write_picture(folder / row[0], noise(6, 6, seed=place))
    path = folder / "set.csv"
    path.write_text("\n".join(",".join(row) for row in (HEADING, *rows)) + "\n")
    return path


def read(path: Path, *attributes: str, **options: Any) -> ImageSet:
    columns = CsvColumns(path="file", label="kind", attributes=attributes)
    return read_csv(path, cache=path.parent / "cache", size=(6, 6), fit=Fit(), columns=columns, **options)


def test_columns_become_attributes(tmp_path: Path) -> None:
    found = read(table(tmp_path), "lens", "site")
    assert found.attributes == {"lens": ("lens A", "lens B", "lens A"), "site": ("north", "south", "south")}
    assert found.attribute("site") == ("north", "south", "south")


def test_attributes_follow_a_subset(tmp_path: Path) -> None:
    found = read(table(tmp_path), "lens", "site").subset([2, 0])
    assert found.attributes == {"lens": ("lens A", "lens A"), "site": ("south", "north")}


def test_an_absent_attribute_is_named_with_those_there_are(make_images: ImageSetFactory, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="called 'colour', got lens, site"):
        read(table(tmp_path), "lens", "site").attribute("colour")
    grouped = make_images([0, 1], groups=["snow", "grass"])
    assert grouped.attribute("group") == ("snow", "grass")
    with pytest.raises(DataError, match="called 'lens', got group"):
        grouped.attribute("lens")


def test_attributes_belong_to_the_identity_of_a_set(tmp_path: Path) -> None:
    path = table(tmp_path)
    without, lens, site = read(path), read(path, "lens"), read(path, "site")
    assert len({without.fingerprint, lens.fingerprint, site.fingerprint}) == 3
    assert without.hashes == lens.hashes == site.hashes


def test_empty_cells_and_missing_columns_are_faults(tmp_path: Path) -> None:
    path = table(tmp_path, [*ROWS[:2], ("c.png", "cat", "", "south")])
    with pytest.raises(DataError, match="line 4: has no lens"):
        read(path, "lens")
    with pytest.raises(DataError, match=r"expected the columns \['file', 'kind', 'colour'\]"):
        read(path, "colour")


@pytest.mark.extras
def test_a_parquet_table_reads_as_the_csv_of_the_same_rows(tmp_path: Path) -> None:
    arrow, parquet = needed("pyarrow", "pyarrow.parquet"), needed("pyarrow.parquet")
    path = table(tmp_path)
    columns = {name: [row[place] for row in ROWS] for place, name in enumerate(HEADING)}
    parquet.write_table(arrow.table({**columns, "number": [1.5, 2.5, 3.5]}), tmp_path / "set.parquet")
    one, other = read(path, "lens"), read(tmp_path / "set.parquet", "lens")
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.labels, other.labels)
    (tmp_path / "set.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="expected a Parquet file"):
        read(tmp_path / "set.parquet")
