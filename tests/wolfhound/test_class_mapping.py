"""Outputs of a classifier are matched with the classes of an image set by name, or refused with what does not fit."""

from dataclasses import replace

import pytest
import torch

from wolfhound.class_mapping import in_set_order, match_classes
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError


def test_equal_names_need_no_reordering() -> None:
    found = match_classes(["a", "b"], ["a", "b"])
    assert not found.reorders
    assert found.text == "2 classes, names agree in the same order"


def test_names_agree_whatever_their_case_spacing_and_synonyms() -> None:
    outputs = ["Golden_Retriever", "tench, Tinca tinca", "T-shirt"]
    assert not match_classes(outputs, ["golden retriever", "Tinca tinca", "tshirt"]).reorders


def test_repeated_names_agree_place_by_place() -> None:
    names = ["crane", "maillot", "crane"]
    assert not match_classes(names, names).reorders


def test_another_order_is_followed_and_said() -> None:
    found = match_classes(["wolf", "dog", "cat"], ["cat", "dog", "wolf"])
    assert found.outputs == (2, 1, 0)
    assert found.text == "3 classes, outputs reordered by name: output 2 is 'cat', output 0 is 'wolf'"


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        (["cat", "fox"], "'dog': no output is called so"),
        (["cat", "fox", "dog"], "knows 3 classes, the image set has 2"),
        (["dog", "dog"], r"'dog': outputs \[0, 1\] are all called so"),
    ],
)
def test_names_that_do_not_match_one_to_one_are_refused(outputs: list[str], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        match_classes(outputs, ["cat", "dog"])


def test_one_output_cannot_stand_for_two_classes() -> None:
    with pytest.raises(ModelError, match=r"output 1 \('cat, kitten'\) stands for several classes"):
        match_classes(["dog", "cat, kitten"], ["cat", "kitten"])


def test_scores_come_in_the_sets_order_and_the_digest_tells_orders_apart(linear_classifier: Classifier) -> None:
    pixels = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    moved, text = in_set_order(linear_classifier, ["d", "a", "b", "c"])
    assert torch.equal(moved.logits(pixels), linear_classifier.logits(pixels)[:, [3, 0, 1, 2]])
    assert moved.class_names == ("d", "a", "b", "c")
    assert text in moved.provenance
    other, _ = in_set_order(linear_classifier, ["d", "a", "c", "b"])
    assert len({linear_classifier.weights_digest, moved.weights_digest, other.weights_digest}) == 3


def test_as_listed_takes_the_sets_names_unchecked_and_says_so(linear_classifier: Classifier) -> None:
    with pytest.raises(ModelError, match="classes: as_listed"):
        in_set_order(linear_classifier, ["w", "x", "y", "z"])
    named, text = in_set_order(linear_classifier, ["w", "x", "y", "z"], by_name=False)
    assert named.module is linear_classifier.module
    assert "unchecked" in text
    with pytest.raises(ModelError, match="knows 4 classes"):
        in_set_order(replace(linear_classifier), ["w"], by_name=False)
