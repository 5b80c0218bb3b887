"""Which class each image is pushed to, from which start, and the counts by source and target class."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from attacks.per_image.gradient_steps import ProjectedGradient
from attacks.per_image.targets import PairTable, attack_every_class, chosen_targets, count_pairs, start_images
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, PlanError
from wolfhound.images import Splits
from wolfhound.tables import rate_frame


def chosen(rule: Any, classifier: Classifier, textures: Splits, **options: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    return chosen_targets(rule, classifier, textures.report, generator=generator, **options)


@pytest.mark.parametrize("rule", [2, "texture 2"])
def test_a_class_is_chosen_by_name_or_index(rule: Any, trained: Classifier, textures: Splits) -> None:
    assert (chosen(rule, trained, textures) == 2).all()


@pytest.mark.parametrize("batch_size", [7, 500])
def test_second_best_and_least_likely_are_the_ranks_of_the_clean_logits(
    batch_size: int, trained: Classifier, textures: Splits
) -> None:
    with frozen(trained.module), torch.no_grad():
        logits = trained.logits(textures.report.load().double()).numpy()
    ordered = np.sort(logits, axis=1)
    rows = np.arange(len(logits))
    second = chosen("second best", trained, textures, batch_size=batch_size)
    least = chosen("least likely", trained, textures, batch_size=batch_size)
    assert (logits[rows, second] == ordered[:, -2]).all()
    assert (logits[rows, least] == ordered[:, 0]).all()
    assert second.dtype == least.dtype == np.int64


def test_random_targets_are_never_the_label_and_come_from_the_generator(trained: Classifier, textures: Splits) -> None:
    first, again = (chosen("random", trained, textures) for _ in range(2))
    assert (first != textures.report.labels).all()
    assert (first == again).all()
    assert len(set(first.tolist())) == 4


def test_a_target_that_does_not_exist_or_could_be_two_things_is_refused(trained: Classifier, textures: Splits) -> None:
    for rule in ("texture 9", "most likely", 4, -1, True):
        with pytest.raises(PlanError, match="expected a target"):
            chosen(rule, trained, textures)
    twofold = replace(trained, class_names=("random", "b", "c", "d"))
    with pytest.raises(PlanError, match="a rule and a class"):
        chosen("random", twofold, textures)
    assert (chosen(0, twofold, textures) == 0).all()


@pytest.mark.parametrize("start", ["noise", "blank"])
def test_starts_are_labelled_with_what_the_network_sees_and_can_be_pushed_to_every_class(
    start: Any, trained: Classifier, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = start_images(start, trained, 6, (16, 16), folder=tmp_path, generator=generator)
    with frozen(trained.module), torch.no_grad():
        seen = trained.logits(images.load().double()).argmax(dim=1).numpy()
    assert (images.labels == seen).all()
    assert len(set(images.hashes)) == 6
    ledger = attack_every_class(
        ProjectedGradient(targeted=True, most_steps=40), trained, images, Threat("linf", 0.2), generator=generator
    )
    pairs = count_pairs(ledger, trained.class_names, source="clean")
    assert (pairs.totals.sum(axis=1) == 3 * np.bincount(seen, minlength=4)).all()
    assert pairs.overall.percent > 80


def made_ledger() -> pd.DataFrame:
    """Labels 0 0 0 1 1 2, targets 1 1 2 0 2 0; one image already was its target, one of each pair reached it."""
    return pd.DataFrame(
        {
            "label": [0, 0, 0, 1, 1, 2],
            "target": [1, 1, 2, 0, 2, 0],
            "clean": [0, 0, 2, 1, 0, 2],
            "adversarial": [1, 0, 2, 0, 2, 1],
        }
    )


def test_pairs_are_counted_without_the_images_that_already_were_their_target() -> None:
    pairs = count_pairs(made_ledger(), ("a", "b", "c"))
    assert pairs.totals.tolist() == [[0, 2, 0], [1, 0, 1], [1, 0, 0]]
    assert pairs.successes.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert (pairs.overall.successes, pairs.overall.total) == (3, 5)
    by_sight = count_pairs(made_ledger(), ("a", "b", "c"), source="clean")
    assert by_sight.totals.tolist() == [[0, 2, 1], [1, 0, 0], [1, 0, 0]]


def test_the_table_of_pairs_leaves_cells_empty_that_nothing_was_counted_in() -> None:
    pairs = count_pairs(made_ledger(), ("a", "b", "c"))
    table = pairs.table("pairs", "By source and target")
    assert table.cell("a", "a") is None
    assert table.cell("a", "c") is None
    assert table.cell("b", "a") == pairs.rate("b", "a")
    frame = rate_frame(table)
    assert frame["total"].sum() == 5
    assert frame["successes"].sum() == 3
    assert isinstance(pairs, PairTable)


def test_every_image_is_pushed_to_every_class_but_its_own(trained: Classifier, textures: Splits) -> None:
    images, attack = textures.report.subset(range(12)), ProjectedGradient(targeted=True)
    generator = torch.Generator().manual_seed(0)
    ledger = attack_every_class(attack, trained, images, Threat("linf", 0.1), generator=generator)
    assert len(ledger) == 36
    assert (ledger["label"] != ledger["target"]).all()
    assert ledger.groupby("image")["target"].nunique().eq(3).all()
    one = attack_every_class(attack, trained, images, Threat("linf", 0.1), generator=generator, classes=[1])
    assert set(one["target"]) == {1}
    assert set(one["label"]) == {0, 2, 3}


def test_what_cannot_be_pushed_is_refused(trained: Classifier, textures: Splits) -> None:
    generator, threat = torch.Generator().manual_seed(0), Threat("linf", 0.1)
    with pytest.raises(PlanError, match="reaches a class"):
        attack_every_class(ProjectedGradient(), trained, textures.report, threat, generator=generator)
    reach = ProjectedGradient(targeted=True)
    with pytest.raises(PlanError, match="index"):
        attack_every_class(reach, trained, textures.report, threat, generator=generator, classes=[4])
    ones = textures.report.subset(np.flatnonzero(textures.report.labels == 1))
    with pytest.raises(DataError, match="another class than the targets"):
        attack_every_class(reach, trained, ones, threat, generator=generator, classes=[1])
