import numpy as np
import pytest
from scipy.stats import contingency

from wolfhound.association import cramers_v, cross_table

TABLE = np.array([[12, 5, 7], [3, 14, 9]])


def test_v_and_p_agree_with_scipy() -> None:
    found = cramers_v(TABLE)
    assert found.v == pytest.approx(contingency.association(TABLE, method="cramer"))
    assert found.p_value == pytest.approx(contingency.chi2_contingency(TABLE, correction=False).pvalue)
    assert found.least_expected == pytest.approx(contingency.expected_freq(TABLE).min())


def test_the_correction_is_bergsmas() -> None:
    n, (r, k) = TABLE.sum(), TABLE.shape
    phi2 = contingency.chi2_contingency(TABLE, correction=False).statistic / n
    literal = max(0, phi2 - (r - 1) * (k - 1) / (n - 1))
    literal /= min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    assert cramers_v(TABLE).corrected == pytest.approx(literal**0.5)


def test_independent_properties_show_an_association_only_without_the_correction() -> None:
    rng = np.random.default_rng(0)
    tables = [np.histogram2d(rng.integers(0, 4, 60), rng.integers(0, 4, 60), bins=4)[0].astype(int) for _ in range(200)]
    plain, corrected = (np.mean([getattr(cramers_v(t), name) for t in tables]) for name in ("v", "corrected"))
    assert plain > 0.18
    assert corrected < 0.08


def test_a_property_with_one_value_is_associated_with_nothing() -> None:
    found = cramers_v(np.array([[4, 5], [0, 0]]))
    assert (found.v, found.corrected, found.p_value, found.rows) == (0, 0, 1, 1)


def test_the_cross_table_counts_every_pair_once() -> None:
    assert cross_table(["wolf", "wolf", "husky"], ["snow", "grass", "grass"]).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match="same images"):
        cross_table(["a"], [])


@pytest.mark.parametrize("wrong", [np.array([1, 2]), np.array([[-1, 3]]), np.array([[1, 0]])])
def test_what_is_no_table_of_counts_is_refused(wrong: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> None:
    with pytest.raises(ValueError, match="expected a table of counts"):
        cramers_v(wrong)
