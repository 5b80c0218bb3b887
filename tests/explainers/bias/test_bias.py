"""The background probe on networks whose truth is known: one reads the background alone, one the object alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from explainers.bias.probe import background_probe, plan_swaps
from explainers.bias.verdict import ProbeSettings, Question, judge
from tests.explainers import synthetic
from tests.explainers.networks import pooled_classifier
from tests.explainers.test_contract import fingerprint
from wolfhound.errors import DataError, ModelError
from wolfhound.statistics import mcnemar_exact

QUESTION = Question(synthetic.PAIR, ("wolf", "husky"), ("snow", "grass"))


def probe_of(margin, folder, *, per_class=12, confounded=1.0, **options):
    return background_probe(
        synthetic.reader(margin),
        synthetic.foreground_set(folder, per_class=per_class, confounded=confounded),
        synthetic.plate_set(folder),
        classes=synthetic.PAIR,
        usual_background=synthetic.USUAL,
        seed=3,
        **options,
    )


@pytest.mark.parametrize("confounded", [1.0, 0.75, 0.5])
def test_a_network_that_reads_the_background_alone_is_caught(tmp_path, confounded):
    probe = probe_of(synthetic.border_brightness, tmp_path, confounded=confounded)
    assert probe.verdict == "uses the confounder"
    assert all(condition.met for condition in probe.conditions)
    assert (probe.pooled.other.share, probe.pooled.placebo.share, probe.pooled.difference) == (1, 0, 1)
    assert probe.follows_background.share == 1
    assert (probe.accuracy["usual"].share, probe.accuracy["unusual"].share, probe.background_gap) == (1, 0, 1)
    assert probe.accuracy["own"].share == confounded
    assert probe.background_only.share == 1
    assert probe.artefact.successes == 0
    # Plate means are about 204.5/255 and 49.5/255: the swap moves the border by 155/255.
    assert probe.effect.mean == pytest.approx(155 / 255, abs=0.02)
    assert probe.placebo_effect.mean == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("margin", "share"), [(synthetic.border_brightness, 1), (synthetic.object_redness, 0)])
def test_intervals_have_a_width_where_every_image_flips_and_where_none_does(tmp_path, margin, share):
    probe = probe_of(margin, tmp_path)
    assert probe.pooled.other.share == share
    for bounds in (probe.pooled.interval, probe.background_gap_interval, *(one.interval for one in probe.excess)):
        assert bounds.method == "newcombe"
        assert bounds.high - bounds.low > 0.1


@pytest.mark.parametrize("confounded", [1.0, 0.5])
def test_a_network_that_reads_the_object_alone_passes(tmp_path, confounded):
    probe = probe_of(synthetic.object_redness, tmp_path, confounded=confounded)
    assert probe.verdict == "no evidence found"
    assert probe.controls_null
    hardest = max(one.detectable for one in probe.excess)
    assert hardest > probe.pooled.detectable  # the rule asks for one class, after Holm's correction
    assert f"an excess of {100 * hardest:.1f} points" in probe.text
    assert probe.effect.mean == 0
    assert not probe.effect.excludes_zero
    assert probe.pooled.other.successes == probe.pooled.placebo.successes == probe.artefact.successes == 0
    assert probe.pooled.p_value == 1
    assert {rate.share for rate in probe.accuracy.values()} == {1.0}
    assert probe.background_gap == 0
    assert 0 < probe.pooled.detectable < 1


def test_a_brittle_network_is_not_called_biased_because_its_placebo_is_not_null(tmp_path):
    """It flips under any other background, of whatever kind."""
    probe = probe_of(synthetic.background_grain, tmp_path, per_class=30)
    assert probe.verdict == "no evidence found"
    assert not probe.controls_null
    assert "not decidable" in probe.text
    assert probe.pooled.placebo.share > 0.25


def test_a_network_that_reacts_to_the_cutting_fails_the_artefact_control(tmp_path):
    """It does read the background, but cutting the outline off turns it round, so the swaps prove nothing."""

    def margin(pixels):
        return synthetic.border_brightness(pixels) * synthetic.outline_is_kept(pixels)

    probe = probe_of(margin, tmp_path)
    met = {condition.name: condition.met for condition in probe.conditions}
    assert probe.artefact.share == 1
    assert met.pop("control: artefact") is False
    assert all(met.values())
    assert probe.verdict == "no evidence found"


def test_the_dose_response_starts_at_the_image_and_ends_at_the_swap(tmp_path):
    probe = probe_of(synthetic.border_brightness, tmp_path)
    ledger, doses = probe.ledger, probe.dose_response
    assert doses["dose"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert doses["flips"].iloc[0] == 0
    assert doses["flips"].iloc[-1] == probe.pooled.other.successes
    np.testing.assert_allclose(ledger["margin_dose_0"], ledger["margin_own"], atol=1e-6)
    np.testing.assert_allclose(ledger["margin_dose_1"], ledger["margin_other"], atol=1e-6)
    # The border's brightness is linear in the blend, so the margin of each image is too.
    np.testing.assert_allclose(
        ledger["margin_dose_0.5"], (ledger["margin_own"] + ledger["margin_other"]) / 2, atol=1e-6
    )
    assert doses["mean_margin_toward_label"].is_monotonic_decreasing


def test_every_number_follows_from_the_ledger_by_counting(tmp_path):
    """A slow replica of the counts on a network that mixes both cues, so that nothing is all or none."""

    def margin(pixels):
        return 0.6 * synthetic.border_brightness(pixels) + 0.25 * synthetic.object_redness(pixels) + 0.08

    probe = probe_of(margin, tmp_path, confounded=0.5)
    rows = probe.ledger.to_dict("records")
    other = [row["prediction_other"] != row["prediction_own"] for row in rows]
    same = [row["prediction_same"] != row["prediction_own"] for row in rows]
    assert probe.pooled.other.successes == sum(other)
    assert probe.pooled.placebo.successes == sum(same)
    for one, label in zip(probe.excess, (0, 1), strict=True):
        both = [(o, s) for o, s, row in zip(other, same, rows, strict=True) if row["label"] == label]
        p_value = mcnemar_exact(sum(o and not s for o, s in both), sum(s and not o for o, s in both))
        assert one.p_value == p_value
        assert one.p_holm >= p_value
    right = {"usual": 0, "unusual": 0}
    effects = []
    for row in rows:
        usual_kind = synthetic.USUAL[row["label"]]
        on_usual, off_usual = ("same", "other") if row["background"] == usual_kind else ("other", "same")
        right["usual"] += row[f"prediction_{on_usual}"] == row["label"]
        right["unusual"] += row[f"prediction_{off_usual}"] == row["label"]
        effects.append(row[f"margin_{on_usual}"] - row[f"margin_{off_usual}"])
    assert probe.accuracy["usual"].successes == right["usual"]
    assert probe.accuracy["unusual"].successes == right["unusual"]
    assert probe.effect.mean == pytest.approx(np.mean(effects))
    assert 0 < sum(other) < len(rows)


def test_the_verdict_can_be_computed_again_from_the_ledgers_alone(tmp_path):
    probe = probe_of(synthetic.border_brightness, tmp_path, confounded=0.75)
    again = judge(
        probe.ledger, probe.background_ledger, classifier="reader", question=QUESTION, settings=probe.settings, seed=3
    )
    for one in dataclasses.fields(probe):
        if one.name not in ("dose_response", "ledger", "background_ledger"):
            assert getattr(again, one.name) == getattr(probe, one.name), one.name


def test_effects_by_class_are_corrected_over_the_classes_and_need_two_groups_of_plates(tmp_path):
    probe = probe_of(synthetic.border_brightness, tmp_path)
    largest = max(effect.p_value for effect in probe.effect_by_class.values())
    assert set(probe.effect_p_holm) == {"wolf", "husky"}
    assert all(p >= min(1, 2 * probe.effect_by_class[name].p_value) - 1e-12 or p == largest
               for name, p in probe.effect_p_holm.items())  # fmt: skip
    wolves = probe.ledger[probe.ledger["label"] == 0]
    huskies = probe.ledger[probe.ledger["label"] == 1].iloc[:2].assign(pair=0)
    ledger = pd.concat([wolves, huskies], ignore_index=True)
    again = judge(
        ledger, probe.background_ledger, classifier="reader", question=QUESTION, settings=probe.settings, seed=3
    )
    assert list(again.effect_by_class) == list(again.effect_p_holm) == ["wolf"]


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_ledger_does_not_depend_on_the_batch_size(tmp_path, batch_size):
    whole, parts = (probe_of(synthetic.object_redness, tmp_path, batch_size=size).ledger for size in (64, batch_size))
    for column in whole:
        if column.startswith("margin"):
            np.testing.assert_allclose(parts[column], whole[column], atol=1e-6)
        else:
            assert parts[column].equals(whole[column])


def test_equal_seeds_give_equal_designs_and_others_do_not(tmp_path):
    foregrounds, plates = synthetic.foreground_set(tmp_path), synthetic.plate_set(tmp_path)
    first, again, other = (plan_swaps(foregrounds, plates, question=QUESTION, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.same, again.same)
    assert not np.array_equal(first.same, other.same)


@pytest.mark.parametrize("confounded", [1.0, 0.5])
def test_every_image_meets_a_plate_of_each_kind_and_pairs_are_shared_evenly(tmp_path, confounded):
    foregrounds = synthetic.foreground_set(tmp_path, per_class=13, confounded=confounded)
    plates = synthetic.plate_set(tmp_path)
    design = plan_swaps(foregrounds, plates, question=QUESTION, seed=0)
    assert sorted(design.foregrounds) == list(range(26))
    for image, same, other in zip(design.foregrounds, design.same, design.other, strict=True):
        assert plates.groups[same] == foregrounds.groups[image]
        assert {plates.groups[same], plates.groups[other]} == {"snow", "grass"}
    uses = np.bincount(design.pair)
    assert uses.max() - uses.min() <= 1
    for pair in np.unique(design.pair):
        met = {*design.same[design.pair == pair], *design.other[design.pair == pair]}
        assert len(met) == 2


def test_no_object_that_is_put_in_lies_on_a_plate_made_from_its_own_picture(tmp_path):
    foregrounds = synthetic.foreground_set(tmp_path, confounded=0.5)
    plates = synthetic.plate_set(tmp_path)
    on = {kind: [h for h, k in zip(foregrounds.hashes, foregrounds.groups, strict=True) if k == kind]
          for kind in ("snow", "grass")}  # fmt: skip
    origins = tuple(on[kind][i % 10] for i, kind in enumerate(plates.groups))
    made = dataclasses.replace(plates, origins=origins)
    for seed in range(8):
        design = plan_swaps(foregrounds, made, question=QUESTION, seed=seed)
        for positions in (design.foregrounds, design.partner):
            assert not any(origins[k] == foregrounds.hashes[i] for i, k in zip(positions, design.same, strict=True))


def test_images_of_other_classes_backgrounds_and_repetitions_are_left_out_and_counted(tmp_path):
    given = synthetic.foreground_set(tmp_path)
    labels, groups, hashes = given.labels.copy(), list(given.groups), list(given.hashes)
    labels[0], groups[1], hashes[2] = 2, "street", hashes[3]
    changed = dataclasses.replace(given, labels=labels, groups=tuple(groups), hashes=tuple(hashes))
    probe = background_probe(
        synthetic.reader(synthetic.object_redness),
        changed,
        synthetic.plate_set(tmp_path),
        classes=synthetic.PAIR,
        usual_background=synthetic.USUAL,
        seed=0,
    )
    assert probe.left_out == 3
    assert len(probe.ledger) == len(given) - 3


def test_deciding_between_the_pair_ignores_the_other_classes(tmp_path):
    """A network that always answers cat never flips among all classes, and does between wolf and husky."""

    class Cat(torch.nn.Module):
        def forward(self, pixels):
            margin = synthetic.border_brightness(pixels)
            return torch.stack([margin, -margin, torch.full_like(margin, 9.0)], dim=1)

    cat = dataclasses.replace(synthetic.reader(synthetic.border_brightness), module=Cat())
    sets = synthetic.foreground_set(tmp_path), synthetic.plate_set(tmp_path)
    asked = {"classes": synthetic.PAIR, "usual_background": synthetic.USUAL, "seed": 0}
    among_all = background_probe(cat, *sets, **asked)
    between = background_probe(cat, *sets, **asked, settings=ProbeSettings(among_classes=True))
    assert among_all.verdict == "no evidence found"
    assert between.verdict == "uses the confounder"


def test_all_faults_of_the_sets_are_named_at_once(tmp_path):
    foregrounds, plates = synthetic.foreground_set(tmp_path), synthetic.plate_set(tmp_path, per_kind=7)
    without = dataclasses.replace(foregrounds, masks=None)
    with pytest.raises(DataError) as caught:
        plan_swaps(without, plates, question=QUESTION, seed=0)
    for fault in ("no object masks", "7 plates of 'snow', at least 8", "7 plates of 'grass', at least 8"):
        assert fault in str(caught.value)


def test_an_image_that_is_a_plate_too_is_refused(tmp_path):
    foregrounds, plates = synthetic.foreground_set(tmp_path), synthetic.plate_set(tmp_path)
    leaked = dataclasses.replace(plates, hashes=(foregrounds.hashes[0], *plates.hashes[1:]))
    with pytest.raises(DataError, match="images and plates share 1 image"):
        plan_swaps(foregrounds, leaked, question=QUESTION, seed=0)


def test_an_empty_mask_is_refused(tmp_path):
    foregrounds = synthetic.foreground_set(tmp_path)
    np.zeros(foregrounds.masks.shape, dtype=np.uint8).tofile(foregrounds.masks.path)
    with pytest.raises(DataError, match="expected an object in every mask"):
        background_probe(
            synthetic.reader(synthetic.object_redness),
            foregrounds,
            synthetic.plate_set(tmp_path),
            classes=synthetic.PAIR,
            usual_background=synthetic.USUAL,
            seed=0,
        )


@pytest.mark.parametrize(
    ("pair", "usual", "reason"),
    [
        ((0, 0), synthetic.USUAL, "two different classes"),
        ((0, 3), synthetic.USUAL, r"in \[0, 3\)"),
        ((0, 1), {0: "snow"}, "usual background of its own"),
        ((0, 1), {0: "snow", 1: "snow"}, "usual background of its own"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(tmp_path, pair, usual, reason):
    with pytest.raises(ValueError, match=reason):
        background_probe(
            synthetic.reader(synthetic.object_redness),
            synthetic.foreground_set(tmp_path),
            synthetic.plate_set(tmp_path),
            classes=pair,
            usual_background=usual,
            seed=0,
        )


@pytest.mark.parametrize("failing", [False, True])
def test_the_probe_leaves_the_network_as_it_was(tmp_path, failing):
    pooled = pooled_classifier(classes=3, size=synthetic.SIZE)
    classifier = dataclasses.replace(pooled, class_names=synthetic.NAMES if not failing else (*synthetic.NAMES, "dog"))
    classifier.module.train()
    before = fingerprint(classifier.module)

    def run():
        background_probe(
            classifier,
            synthetic.foreground_set(tmp_path),
            synthetic.plate_set(tmp_path),
            classes=synthetic.PAIR,
            usual_background=synthetic.USUAL,
            seed=0,
        )

    if failing:
        with pytest.raises(ModelError, match="expected logits of shape"):
            run()
    else:
        run()
    assert fingerprint(classifier.module) == before


def test_progress_reaches_its_total_exactly(tmp_path):
    from contextlib import contextmanager

    seen = {"total": 0, "done": 0}

    @contextmanager
    def progress(_description, total):
        seen["total"] = total

        def advance(steps):
            seen["done"] += steps

        yield advance

    probe_of(synthetic.object_redness, tmp_path, progress=progress)
    assert seen["done"] == seen["total"] == 24 * 15 + 20
