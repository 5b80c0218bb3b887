"""Facts about what an audit shows on a server: it is what the evidence says, readable and small enough to be sent."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from flows.pictures import store_picture
from flows.shown import LEAST_SIDE, MOST_PICTURE_BYTES, artifact_key, gallery_text, judgement_rows, verdict_text
from tests.flows.gated_runs import sealed_run
from wolfhound.evidence import Gallery
from wolfhound.store import EvidenceStore


def test_what_is_shown_on_the_server_is_what_the_evidence_says(tmp_path: Path) -> None:
    evidence = EvidenceStore(sealed_run(tmp_path / "run", "1" * 60 + "0" * 40)).evidence()
    (row,) = judgement_rows(evidence)
    assert (row["verdict"], row["observed"]) == ("not met", evidence.judgements[0].observed.text)
    text = verdict_text(evidence, tmp_path / "run", "abc")
    assert text.startswith("# audit: not met")
    assert f"`wolfhound verify {tmp_path / 'run'}`" in text
    assert artifact_key("Small audit", "sgd_uap-linf") == "small-audit-sgd-uap-linf"


def test_a_small_picture_is_shown_with_larger_pixels_and_no_more_than_may_be_sent(tmp_path: Path) -> None:
    store, pixels = EvidenceStore(tmp_path), np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    picture = store_picture(store, pixels, caption="a [caption]", alt="alt")
    text = gallery_text(Gallery("title", ((picture,),), "the first"), store)
    first, image, caption = text.split("\n\n")
    assert (first, caption) == ("the first", "a \\[caption\\]")
    (data,) = re.fullmatch(r"!\[alt\]\(data:image/png;base64,(.*)\)", image).groups()  # type: ignore[union-attr]
    with Image.open(io.BytesIO(base64.b64decode(data))) as shown:
        assert shown.size == (5 * LEAST_SIDE // 4, LEAST_SIDE)
        assert np.array_equal(np.asarray(shown)[:: LEAST_SIDE // 4, :: LEAST_SIDE // 4], pixels)
    large = replace(picture, artefact=replace(picture.artefact, bytes=MOST_PICTURE_BYTES + 1))
    assert gallery_text(Gallery("title", ((large,),), "the first"), store) == "the first"
