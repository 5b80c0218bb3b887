"""Two versions of a network, compared tensor by tensor."""

import math

import pytest
import torch
from torch import nn

from explainers.inside.changes import changed_filter_tiles, network_change


def state(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)).state_dict()


def copied(weights):
    return {name: value.clone() for name, value in weights.items()}


def test_equal_networks_have_not_changed():
    change = network_change(state(), copied(state()))
    assert change.identical
    assert (change.layers["relative"] == 0).all()
    assert (change.layers["filters"].map(len) == 0).all()
    assert change.layers.set_index("name")["cosine"]["0.weight"] == pytest.approx(1)


def test_a_scaled_layer_changes_in_norm_and_not_in_direction():
    before, after = state(), copied(state())
    after["2.weight"] = before["2.weight"] * 1.25
    row = network_change(before, after).layers.set_index("name").loc["2.weight"]
    assert row["relative"] == pytest.approx(0.25)
    assert row["cosine"] == pytest.approx(1)
    assert row["largest"] == pytest.approx(0.25 * float(before["2.weight"].abs().max()))
    assert row["numbers"] == 6 * 4 * 9


def test_cosine_and_relative_change_follow_their_formulas():
    before, after = state(0), state(1)
    row = network_change(before, after).layers.set_index("name").loc["0.weight"]
    old, new = before["0.weight"].flatten().tolist(), after["0.weight"].flatten().tolist()
    dot = math.fsum(a * b for a, b in zip(old, new, strict=True))
    norms = [math.sqrt(math.fsum(a * a for a in values)) for values in (old, new)]
    change = math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(old, new, strict=True)))
    assert row["cosine"] == pytest.approx(dot / (norms[0] * norms[1]))
    assert row["relative"] == pytest.approx(change / norms[0])


def test_the_filters_that_changed_most_are_named_in_order():
    before, after = state(), copied(state())
    for index, factor in ((1, 0.1), (4, 0.3), (2, 0.2)):
        after["2.weight"][index] *= 1 + factor
    row = network_change(before, after, most=2).layers.set_index("name").loc["2.weight"]
    assert row["filters"] == (4, 2)
    assert row["filter_changes"] == pytest.approx((0.3, 0.2))


def test_what_comes_from_nothing_is_not_measured_and_listed_first():
    before, after = state(), copied(state())
    before["2.weight"][5] = 0
    after["2.weight"][0] *= 9
    row = network_change(before, after, most=2).layers.set_index("name").loc["2.weight"]
    assert row["filters"] == (5, 0)
    assert math.isnan(row["filter_changes"][0])
    empty = network_change({"w": torch.zeros(2, 2)}, {"w": torch.ones(2, 2)}).layers.loc[0]
    assert math.isnan(empty["relative"])
    assert math.isnan(empty["cosine"])


def test_names_are_matched_exactly_and_differences_listed():
    before, after = state(), copied(state())
    after["module.0.weight"] = after.pop("0.weight")
    after["2.weight"] = after["2.weight"][:3]
    after["1.num_batches_tracked"] = torch.tensor(7)
    after["1.bias"] = after["1.bias"].double()
    change = network_change(before, after)
    assert change.only_before == ("0.weight",)
    assert change.only_after == ("module.0.weight",)
    assert change.reshaped == (("2.weight", (6, 4, 3, 3), (3, 4, 3, 3)),)
    assert change.counters == ("1.num_batches_tracked",)
    assert change.recast == (("1.bias", "torch.float32", "torch.float64"),)
    assert not change.comparable
    assert not change.identical
    assert "2.weight" not in set(change.layers["name"])


def test_weights_that_are_not_finite_are_refused():
    broken = copied(state())
    broken["0.bias"][1] = math.nan
    with pytest.raises(ValueError, match=r"in '0\.bias' after"):
        network_change(state(), broken)


def test_changed_filters_are_shown_before_after_and_as_difference():
    before, after = state()["2.weight"], state()["2.weight"].clone()
    after[4, 2] += 0.5
    tiles = changed_filter_tiles(before, after, filters=(4,))
    assert tiles.columns == 3
    assert tiles.labels[2] == "filter 4 over channel 2, difference"
    torch.testing.assert_close(tiles.pictures[2], torch.ones(1, 3, 3))
    scale = max(float(before[4, 2].abs().max()), float(after[4, 2].abs().max()))
    torch.testing.assert_close(tiles.pictures[0], 0.5 + before[4, 2][None] / (2 * scale))
    torch.testing.assert_close(tiles.pictures[1], 0.5 + after[4, 2][None] / (2 * scale))
    with pytest.raises(ValueError, match="expected filters in"):
        changed_filter_tiles(before, after, filters=(6,))
    with pytest.raises(ValueError, match="of one shape"):
        changed_filter_tiles(before, after[:2], filters=(0,))
