"""Accuracy by group: the counts, the tests, and what is suppressed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, fisher_exact
from scipy.stats.contingency import association

from explainers.bias.groups import cramers_v, group_report

NAMES = ("cat", "dog")


def ledger_of(rows):
    return pd.DataFrame(rows, columns=["image", "label", "prediction", "camera"])


def cameras(accuracy_old, *, count=60, seed=0):
    """Two cameras; on the new one all are right, on the old one a share."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(2 * count):
        label, camera = index % 2, "new" if index < count else "old"
        right = camera == "new" or rng.random() < accuracy_old
        rows.append((str(index), label, label if right else 1 - label, camera))
    return ledger_of(rows)


def test_a_group_that_does_worse_is_named_with_its_gap():
    ledger = cameras(0.6)
    report = group_report(ledger, "camera", class_names=NAMES, seed=0)
    old = ledger[ledger["camera"] == "old"]
    assert report.rates["old"].successes == int((old["label"] == old["prediction"]).sum())
    assert (report.worst, report.best) == ("old", "new")
    assert report.gap == 1 - report.rates["old"].share
    assert report.gap_interval.low > 0
    assert report.p_value < 0.01


def test_the_gaps_interval_has_a_width_where_one_group_is_all_right_and_the_other_all_wrong():
    report = group_report(cameras(0.0, count=12), "camera", class_names=NAMES, seed=0)
    assert report.gap == 1
    assert report.gap_interval.method == "newcombe"
    # Two Wilson intervals of 12 of 12 and 0 of 12, joined (Newcombe 1998, method 10).
    assert report.gap_interval.low == pytest.approx(1 - 2**0.5 * 1.96**2 / (12 + 1.96**2), abs=1e-3)


def test_no_gap_is_called_detectable_that_two_small_groups_could_not_show():
    report = group_report(cameras(1.0, count=2), "camera", class_names=NAMES, seed=0, least=2)
    assert report.detectable is None


def test_a_gap_that_is_called_detectable_is_found_about_as_often_as_it_says():
    report = group_report(cameras(0.9, count=80), "camera", class_names=NAMES, seed=0)
    low, found = report.rates["new"].share - report.detectable, 0
    rng = np.random.default_rng(3)
    for _ in range(400):
        old, new = rng.binomial(80, low), rng.binomial(80, report.rates["new"].share)
        found += fisher_exact([[old, 80 - old], [new, 80 - new]]).pvalue < 0.05
    assert 0.65 < found / 400 < 0.95


def test_groups_that_do_equally_well_are_not_told_apart():
    p_values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        right = rng.random(80) < 0.8
        rows = [(str(i), i % 2, i % 2 if right[i] else 1 - i % 2, ("a", "b", "c")[i % 3]) for i in range(80)]
        p_values.append(group_report(ledger_of(rows), "camera", class_names=NAMES, seed=1, permutations=199).p_value)
    assert sum(p <= 0.05 for p in p_values) <= 5
    assert max(p_values) > 0.5


def test_a_hard_class_is_not_mistaken_for_a_hard_group():
    """Every dog is misread; the camera only follows the class."""
    rows = [(str(i), i % 2, 0, "old" if (i % 2 == 1) != (i % 10 == 3) else "new") for i in range(200)]
    report = group_report(ledger_of(rows), "camera", class_names=NAMES, seed=0)
    assert report.gap > 0.5
    assert report.p_value > 0.9
    assert report.label_association > 0.5


def test_small_groups_are_suppressed_and_named_and_enter_nothing():
    ledger = cameras(0.6)
    extra = ledger_of([(f"x{i}", 0, 1, "rare") for i in range(9)])
    report = group_report(pd.concat([ledger, extra]), "camera", class_names=NAMES, seed=0)
    without = group_report(ledger, "camera", class_names=NAMES, seed=0)
    assert report.suppressed == {"rare": 9}
    assert "rare" not in report.rates
    assert (report.gap, report.p_value) == (without.gap, without.p_value)


def test_one_group_has_no_gap():
    report = group_report(cameras(0.5).assign(camera="one"), "camera", class_names=NAMES, seed=0)
    assert (report.gap, report.p_value, report.worst, report.label_association) == (None, None, None, None)


def test_equalised_odds_are_counted_one_class_against_the_rest():
    ledger = cameras(0.6)
    (cat, dog) = group_report(ledger, "camera", class_names=NAMES, seed=0).odds
    of_old_cats = ledger[(ledger["camera"] == "old") & (ledger["label"] == 0)]
    of_old_dogs = ledger[(ledger["camera"] == "old") & (ledger["label"] == 1)]
    assert cat.class_name == "cat"
    assert cat.true_positive_gap == pytest.approx(1 - (of_old_cats["prediction"] == 0).mean())
    assert cat.false_positive_gap == pytest.approx((of_old_dogs["prediction"] == 0).mean())
    # Of two classes one's true positives are the other's true negatives.
    assert dog.true_positive_gap == pytest.approx(cat.false_positive_gap)


def test_the_uncorrected_part_of_cramers_v_is_scipys():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 5000)
    second = np.where(rng.random(5000) < 0.4, first, rng.integers(0, 3, 5000))
    reference = association(pd.crosstab(first, second).to_numpy(), method="cramer")
    assert cramers_v(first.astype(str), second.astype(str)) == pytest.approx(reference, abs=2e-3)


def test_the_correction_of_cramers_v_is_bergsmas():
    table = np.array([[12, 5, 7], [3, 14, 9]])
    first, second = (np.repeat(axis, table.ravel()).astype(str) for axis in np.indices(table.shape).reshape(2, -1))
    n, (r, k) = table.sum(), table.shape
    phi2 = chi2_contingency(table, correction=False).statistic / n
    literal = max(0, phi2 - (r - 1) * (k - 1) / (n - 1))
    literal /= min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    assert cramers_v(first, second) == pytest.approx(literal**0.5)


def test_cramers_v_of_independent_variables_is_about_zero_and_of_equal_ones_one():
    rng = np.random.default_rng(1)
    first = rng.integers(0, 4, 400).astype(str)
    assert np.mean([cramers_v(first, rng.integers(0, 4, 400).astype(str)) for _ in range(50)]) < 0.06
    assert cramers_v(first, first) == pytest.approx(1)
    assert cramers_v(first, np.full(400, "x")) is None
