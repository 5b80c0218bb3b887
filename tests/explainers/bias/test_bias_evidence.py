"""Pictures are drawn by rule, and the energy in the mask is what it says."""

import dataclasses

import numpy as np
import pytest
import torch

from explainers.base import Targets, make_maps
from explainers.bias.evidence import energy_in_mask, grad_cam_evidence, sample_evidence
from explainers.bias.probe import background_probe
from explainers.composition import compose
from explainers.drawing.overlay import overlay
from explainers.registry import explainer
from tests.explainers import synthetic
from tests.explainers.networks import pooled_classifier
from tests.explainers.test_contract import fingerprint
from wolfhound.errors import DataError


def maps_of(raw):
    targets = Targets.of(0, count=len(raw))
    return make_maps(raw, size=(8, 8), layer="layer", method="gradcam", targets=targets)


def quarter_masks(count):
    """Each object fills another quarter of an 8 x 8 image in turn."""
    masks = torch.zeros(count, 1, 8, 8)
    for index in range(count):
        row, column = divmod(index % 4, 2)
        masks[index, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
    return masks


def test_maps_on_their_objects_have_all_their_energy_there():
    masks = quarter_masks(12)
    energy = energy_in_mask(maps_of(masks[:, 0]), masks, seed=0)
    assert (energy.share, energy.area, energy.enrichment) == pytest.approx((1, 0.25, 4))
    assert energy.p_value <= 0.005


def test_a_flat_map_is_enriched_nowhere():
    energy = energy_in_mask(maps_of(torch.ones(12, 8, 8)), quarter_masks(12), seed=0)
    assert energy.enrichment == pytest.approx(1)
    assert energy.p_value == 1


def test_negative_values_carry_no_energy_and_empty_maps_are_counted():
    masks = quarter_masks(4)
    raw = masks[:, 0] - 5 * (1 - masks[:, 0])
    raw[3] = -1
    energy = energy_in_mask(maps_of(raw), masks, seed=0)
    assert (energy.maps, energy.empty) == (3, 1)
    assert energy.share == pytest.approx(1)
    nothing = energy_in_mask(maps_of(-torch.ones(2, 8, 8)), masks[:2], seed=0)
    assert (nothing.share, nothing.enrichment, nothing.p_value, nothing.empty) == (None, None, None, 2)


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    classifier = dataclasses.replace(pooled_classifier(classes=3, size=synthetic.SIZE), class_names=synthetic.NAMES)
    sets = synthetic.foreground_set(folder), synthetic.plate_set(folder)
    probe = background_probe(classifier, *sets, classes=synthetic.PAIR, usual_background=synthetic.USUAL, seed=0)
    return classifier, sets, probe


def test_the_draw_is_seeded_balanced_and_blind_to_predictions(probed):
    _, _, probe = probed
    rows = sample_evidence(probe.ledger, per_class=4, most=8, seed=7)
    assert probe.ledger.iloc[rows]["label"].tolist() == [0] * 4 + [1] * 4
    assert len(set(rows.tolist())) == 8
    turned = probe.ledger.assign(prediction_own=2, prediction_other=2, margin_own=0.0)
    assert np.array_equal(sample_evidence(turned, per_class=4, most=8, seed=7), rows)
    assert not np.array_equal(sample_evidence(probe.ledger, per_class=4, most=8, seed=8), rows)


def test_no_more_are_drawn_than_asked_for_however_many_classes_there_are(probed):
    classifier, sets, probe = probed
    many = probe.ledger.assign(label=np.arange(len(probe.ledger)) % 8)
    rows = sample_evidence(many, per_class=2, most=5, seed=7)
    assert len(set(rows.tolist())) == 5
    assert set(rows.tolist()) <= set(sample_evidence(many, per_class=2, most=16, seed=7).tolist())
    evidence = grad_cam_evidence(classifier, *sets, probe, shown=1, measured_per_class=6, measured=7, seed=1)
    assert len(evidence.exhibits) == 1
    assert evidence.energy.maps + evidence.energy.empty == 7
    assert evidence.selection.startswith("1 image, ")


def test_exhibits_show_the_probes_own_images_and_composites_with_their_maps(probed):
    classifier, (foregrounds, plates), probe = probed
    before = fingerprint(classifier.module)
    evidence = grad_cam_evidence(classifier, foregrounds, plates, probe, shown=4, measured_per_class=6, seed=1)
    assert fingerprint(classifier.module) == before
    assert evidence.layer == "features"
    assert len(evidence.exhibits) == 4
    assert [exhibit.label for exhibit in evidence.exhibits] == ["wolf", "wolf", "husky", "husky"]
    for exhibit in evidence.exhibits:
        row = probe.ledger[probe.ledger["image"] == exhibit.image].iloc[0]
        position, plate = foregrounds.hashes.index(exhibit.image), plates.hashes.index(row["plate_other"])
        image, mask = foregrounds.load([position]), foregrounds.load_masks([position])
        swapped = compose(image, mask, plates.load([plate]))
        first = (row["margin_other"] > 0) == (row["label"] == 0)
        targets = Targets.of([0 if first else 1], against=1 if first else 0)
        maps = explainer("gradcam").explain(classifier, swapped, targets, layer="features")
        assert np.array_equal(exhibit.picture_swapped, (swapped[0].permute(1, 2, 0) * 255).round().byte().numpy())
        # Batched and single passes differ by roundings, which may move a colour by a step.
        difference = overlay(swapped[0], maps.normalised[0]).astype(int) - exhibit.overlay_swapped.astype(int)
        assert np.abs(difference).max() <= 3
        assert exhibit.explained_swapped == ("wolf - husky" if first else "husky - wolf")
        assert exhibit.predicted_swapped == synthetic.NAMES[row["prediction_other"]]


def test_sets_that_the_probe_was_not_run_on_are_refused(probed, tmp_path):
    classifier, (_, plates), probe = probed
    with pytest.raises(DataError, match="of the probe are not in it"):
        grad_cam_evidence(classifier, synthetic.foreground_set(tmp_path, seed=9), plates, probe, seed=0)
