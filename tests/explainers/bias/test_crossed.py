"""Crossed designs: the cells are the composites, the variance goes to whom it is due."""

import numpy as np
import pandas as pd
import pytest
import torch

from explainers.bias.crossed import crossed_design, variance_shares
from explainers.bias.probe import background_probe
from explainers.composition import compose
from tests.explainers import synthetic


def crossed(margin, folder, *, batch_size=64, size=8, confounded=0.5):
    classifier = synthetic.reader(margin)
    foregrounds = synthetic.foreground_set(folder, confounded=confounded)
    plates = synthetic.plate_set(folder)
    probe = background_probe(
        classifier, foregrounds, plates, classes=synthetic.PAIR, usual_background=synthetic.USUAL, seed=3
    )
    design = crossed_design(
        classifier, foregrounds, plates, probe.ledger, question=probe.question, size=size, seed=4, batch_size=batch_size
    )
    return classifier, foregrounds, plates, probe, design


def mixed(pixels):
    return synthetic.border_brightness(pixels) + 0.4 * synthetic.object_redness(pixels)


@pytest.mark.parametrize("batch_size", [1, 5, 24, 1000])
def test_every_cell_is_the_answer_to_its_composite_whatever_the_batch(tmp_path, batch_size):
    classifier, foregrounds, plates, _, design = crossed(mixed, tmp_path, batch_size=batch_size)
    assert len(design.cells) == 64
    assert len({(row.image, row.plate) for row in design.cells.itertuples()}) == 64
    for row in design.cells.itertuples():
        image, plate = foregrounds.hashes.index(row.image), plates.hashes.index(row.plate)
        composite = compose(foregrounds.load([image]), foregrounds.load_masks([image]), plates.load([plate]))
        logits = classifier.logits(composite)[0, :2].tolist()
        assert row.margin == pytest.approx((1 - 2 * row.label) * (logits[0] - logits[1]), abs=1e-6)
        assert row.background == plates.groups[plate]


def test_a_reader_of_the_background_owes_its_variance_to_it_and_is_always_fooled(tmp_path):
    *_, design = crossed(synthetic.border_brightness, tmp_path)
    assert design.background_share == pytest.approx(1, abs=1e-6)
    assert design.background_interval.low > 0.99
    assert (design.fooled.share, design.fooled_by_own_kind.share) == (1, 0)
    assert design.plates_of_own_kind == design.plates_of_other_kinds == (4, 4)


def test_a_reader_of_the_object_owes_nothing_to_the_background(tmp_path):
    *_, design = crossed(synthetic.object_redness, tmp_path)
    assert design.background_share is None  # the squares of a class are all alike: nothing varies
    assert design.fooled.successes == 0


def test_components_are_recovered_from_a_table_that_is_made_of_them():
    rng = np.random.default_rng(0)
    rows, columns = 300, 200
    table = rng.normal(0, 2, (rows, 1)) + rng.normal(0, 1, (1, columns)) + rng.normal(0, 0.5, (rows, columns))
    cells = pd.DataFrame({"image": np.repeat(np.arange(rows), columns), "label": 0, "margin": table.ravel()})
    background, of_object, interaction = variance_shares(cells)
    assert background == pytest.approx(1 / 5.25, abs=0.03)
    assert of_object == pytest.approx(4 / 5.25, abs=0.05)
    assert interaction == pytest.approx(0.25 / 5.25, abs=0.01)
    assert background + of_object + interaction == pytest.approx(1)


def test_a_margin_that_never_varies_has_no_shares():
    cells = pd.DataFrame({"image": [0, 0, 1, 1], "label": 0, "margin": 3.0})
    assert variance_shares(cells) is None


def test_the_changes_are_counted_from_the_cells(tmp_path):
    *_, probe, design = crossed(mixed, tmp_path)
    own = dict(zip(probe.ledger["image"], probe.ledger["prediction_own"], strict=True))
    kind = dict(zip(probe.ledger["image"], probe.ledger["background"], strict=True))
    for entry in design.objects.to_dict("records"):
        cells = design.cells[design.cells["image"] == entry["image"]]
        changed = [row.prediction != own[row.image] and row.background != kind[row.image] for row in cells.itertuples()]
        assert entry["changed_other_kind"] == sum(changed)
    assert design.fooled.successes > 0


def test_lerp_keeps_object_and_plate_to_the_bit():
    first, second = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(torch.lerp(first, second, torch.zeros(2, 1, 4, 4)), first)
    assert torch.equal(torch.lerp(first, second, torch.ones(2, 1, 4, 4)), second)
