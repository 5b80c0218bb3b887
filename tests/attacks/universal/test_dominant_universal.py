"""Dominant-label UAP: which class it chooses, what it asks of which image, and what comes of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attacks.base import Proposal
from attacks.threat import Threat
from attacks.universal.df import DfUniversal
from attacks.universal.dominant import DESTINATION, DominantUniversal, dominant, led
from attacks.universal.ensemble import Member, labelled
from attacks.universal.losses import lead_of_target
from tests.attacks.universal.universal_literal import predicted
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet, Splits

THREAT = Threat("linf", 20 / 255)
MakeImages = Callable[[list[int]], ImageSet]


def proposals(
    attack: DfUniversal | DominantUniversal,
    classifier: Classifier,
    images: ImageSet,
    *,
    resume: Proposal | None = None,
    drawn: Tensor | None = None,
) -> tuple[list[Proposal], list[Tensor]]:
    """Return all proposals, and where the generator stood after each."""
    generator, found, states = torch.Generator().manual_seed(5), [], []
    if drawn is not None:
        generator.set_state(drawn)
    options = {"generator": generator, "chunk": 32, "advance": lambda _: None, "resume": resume}
    with frozen(classifier.module):
        for proposal in attack.proposals((classifier,), images, THREAT, **options):  # type: ignore[arg-type]
            found.append(proposal)
            states.append(generator.get_state())
    return found, states


def test_it_begins_as_df_uap_with_the_same_confidence(trained: Classifier, textures: Splits) -> None:
    attack = DominantUniversal(passes=4, explored=0.5, augment="shifts")
    assert attack.first_passes == 2
    ours, _ = proposals(attack, trained, textures.craft)
    paper, _ = proposals(DfUniversal(passes=4, confidence=3.0, augment="shifts"), trained, textures.craft)
    assert len(ours) == len(paper) == 4 * 6
    same = [torch.equal(one.delta, other.delta) for one, other in zip(ours, paper, strict=True)]
    assert same == [True] * 12 + [False] * 12
    assert [DESTINATION in proposal.state for proposal in ours] == [False] * 12 + [True] * 12


def test_it_goes_on_from_any_proposal_to_the_same_bits(trained: Classifier, textures: Splits) -> None:
    attack = DominantUniversal(passes=2, images_per_update=32)
    whole, states = proposals(attack, trained, textures.craft)
    for at in range(len(whole) - 1):
        rest, _ = proposals(attack, trained, textures.craft, resume=whole[at], drawn=states[at])
        assert len(rest) == len(whole) - at - 1
        assert torch.equal(rest[-1].delta, whole[-1].delta)
        assert rest[-1].state[DESTINATION] == whole[-1].state[DESTINATION]


def test_most_held_out_images_of_other_classes_end_in_the_chosen_one(trained: Classifier, textures: Splits) -> None:
    last = proposals(DominantUniversal(passes=12), trained, textures.craft)[0][-1]
    destination = int(last.state[DESTINATION])
    with torch.no_grad():
        before = trained.logits(textures.report.load().double()).argmax(dim=1)
        after = trained.logits((textures.report.load().double() + last.delta).clamp(0, 1)).argmax(dim=1)
    others = before != destination
    assert others.any()
    assert (after[others] == destination).double().mean() > 0.8


def test_nothing_is_asked_of_images_of_the_chosen_class(linear_classifier: Classifier) -> None:
    pixels = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    labels = torch.arange(12) % 4
    lead = led(linear_classifier, pixels, labels, destination=2, most=0.5)
    (gradient,) = torch.autograd.grad(lead.sum(), pixels)
    moved = gradient.flatten(1).any(dim=1)
    assert not moved[labels == 2].any()
    expected = lead_of_target(linear_classifier, pixels, torch.full((12,), 2), most=0.5)
    assert torch.equal(lead[labels != 2], expected[labels != 2])
    assert moved[(labels != 2) & (expected < 0.5)].all()


def towards(classifier: Classifier, label: int, like: ImageSet) -> Tensor:
    """Return a perturbation far enough towards a class that nearly every image ends in it."""
    at = torch.full((1, 3, *like.size), 0.5, dtype=torch.float64).requires_grad_()
    logits = classifier.logits(at)[0]
    (gradient,) = torch.autograd.grad(2 * logits[label] - logits.sum(), at)
    return 0.9 * gradient[0].sign()


def known(classifier: Classifier, images: ImageSet) -> tuple[Member, ...]:
    """Return the network with its clean predictions."""
    return labelled((classifier,), images, THREAT, chunk=4)


@pytest.mark.parametrize("label", [0, 1, 3])
def test_the_class_is_the_one_in_which_most_images_of_others_end(
    label: int, linear_classifier: Classifier, make_images: MakeImages
) -> None:
    images = make_images([0, 1, 2, 3] * 6)
    delta = towards(linear_classifier, label, images)
    before = predicted(linear_classifier, images)
    with torch.no_grad():
        after = linear_classifier.logits((images.load().double() + delta).clamp(0, 1)).argmax(dim=1)
    counts = torch.bincount(after[after != torch.as_tensor(before)], minlength=4)
    assert counts.argmax() == label, "the perturbation does what the test needs"
    assert dominant(known(linear_classifier, images), images, delta, chunk=5) == label


def test_where_no_image_changes_it_is_the_class_seen_least(
    linear_classifier: Classifier, make_images: MakeImages
) -> None:
    images = make_images([0, 1, 2, 3] * 6)
    counts = torch.bincount(torch.as_tensor(predicted(linear_classifier, images)), minlength=4)
    zeros = torch.zeros(3, *images.size, dtype=torch.float64)
    assert dominant(known(linear_classifier, images), images, zeros, chunk=7) == int(counts.argmin())


def test_a_target_and_a_single_pass_are_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="dominant_uap: expected an untargeted threat"):
        next(
            DominantUniversal().proposals(
                (trained,), textures.craft, replace(THREAT, target=1), generator=torch.Generator(), chunk=8,
                advance=lambda _: None,
            )
        )  # fmt: skip
    with pytest.raises(PlanError, match="at least 2 passes"):
        DominantUniversal(passes=1)
    with pytest.raises(PlanError, match="explored below 1"):
        DominantUniversal(explored=1.0)
