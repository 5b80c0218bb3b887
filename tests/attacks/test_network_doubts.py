"""Every doubt about a network is raised by a real network that has the fault, and by nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attacks.doubts import classifier_doubts
from tests.attacks.conftest import as_classifier
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.evidence import Doubt
from wolfhound.images import Splits
from wolfhound.torchvision_import import torchvision

ROOT = Path(__file__).resolve().parents[2]


class Applying(nn.Module):
    """A part without parameters that applies a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


def rounded_straight_through(inputs: Tensor) -> Tensor:
    """A quantising defence that hands its gradient through as if it did nothing."""
    return inputs + ((inputs * 8).round() / 8 - inputs).detach()


def tripled_gradient(inputs: Tensor) -> Tensor:
    return 3 * inputs - 2 * inputs.detach()


def only_the_middle(inputs: Tensor) -> Tensor:
    """Sees a ninth of the image."""
    return nn.functional.interpolate(inputs[..., 6:10, 6:10], size=(16, 16), mode="nearest")


def doubts_of(classifier: Classifier, images: Splits, *, labelled: bool = True) -> list[Doubt]:
    labels = torch.from_numpy(images.select.labels) if labelled else None
    return list(classifier_doubts(classifier, images.select.load(), labels))


def codes(found: list[Doubt]) -> list[str]:
    return [doubt.code for doubt in found]


def wrapped(
    trained: Classifier,
    *,
    before: Callable[[Tensor], Tensor] | None = None,
    after: Callable[[Tensor], Tensor] | None = None,
) -> Classifier:
    outer, inner = ([Applying(part)] if part else [] for part in (before, after))
    return as_classifier(nn.Sequential(*outer, trained.module, *inner).double().eval())


def test_a_sound_network_raises_none(trained: Classifier, textures: Splits) -> None:
    assert codes(doubts_of(trained, textures)) == []


def test_log_probabilities_are_no_fault_in_themselves(trained: Classifier, textures: Splits) -> None:
    assert codes(doubts_of(wrapped(trained, after=lambda z: z.log_softmax(1)), textures)) == []


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (lambda z: 10 * z.softmax(1), "probabilities"),
        (lambda z: (20 * z).softmax(1).clamp_min(1e-4).log(), "log-of-softmax"),
        (lambda z: ((20 * z).softmax(1) + 1e-4).log(), "log-of-softmax"),
        (lambda z: 1000 * z, "saturated-softmax"),
        (lambda z: (2 * z).tanh(), "vanishing-gradients"),
        (lambda z: (1000 * z).tanh(), "masked-gradients"),
    ],
)
def test_a_fault_of_the_outputs_raises_its_own_doubt(
    after: Callable[[Tensor], Tensor], code: str, trained: Classifier, textures: Splits
) -> None:
    assert codes(doubts_of(wrapped(trained, after=after), textures)) == [code]


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (rounded_straight_through, "gradient-mismatch"),
        (tripled_gradient, "gradient-mismatch"),
        (only_the_middle, "masked-gradients"),
    ],
)
def test_a_gradient_that_is_not_the_functions_raises_its_own_doubt(
    before: Callable[[Tensor], Tensor], code: str, trained: Classifier, textures: Splits
) -> None:
    assert codes(doubts_of(wrapped(trained, before=before), textures, labelled=False)) == [code]


def test_a_normalisation_done_twice_shows_in_statistics(trained: Classifier, textures: Splits) -> None:
    twice = wrapped(trained, before=lambda x: (x - 0.5) / 0.25)
    found = doubts_of(twice, textures, labelled=False)
    assert codes(found) == ["saturated-softmax", "input-statistics"], "the larger contrast also inflates the logits"
    assert re.search(r"vary 1[2-9]\S* times", found[-1].explanation)


def test_a_normalisation_done_twice_shows_in_accuracy(trained: Classifier, textures: Splits) -> None:
    inside = wrapped(trained, before=lambda x: (x - 0.5) / 0.25)
    twice = replace(inside, preprocessing=Preprocessing((1.5, 1.5, 1.5), (0.25, 0.25, 0.25), (16, 16)))
    assert codes(doubts_of(twice, textures))[-2:] == ["input-statistics", "double-normalisation"]


def test_a_missing_normalisation_shows_in_statistics_and_in_accuracy(trained: Classifier, textures: Splits) -> None:
    bare = replace(trained, preprocessing=Preprocessing(input_size=(16, 16)))
    assert codes(doubts_of(bare, textures, labelled=False)) == ["input-statistics"]
    assert codes(doubts_of(bare, textures)) == ["input-statistics", "missing-normalisation"]


def test_exchanged_colours_show_in_accuracy(trained: Classifier, textures: Splits) -> None:
    swapped = wrapped(trained, before=lambda x: x.flip(1))
    assert codes(doubts_of(swapped, textures)) == ["colour-order"]


def test_pixels_expected_from_0_to_255_show_in_statistics_and_in_accuracy(
    trained: Classifier, textures: Splits
) -> None:
    wide = wrapped(trained, before=lambda x: (x / 255 - 0.5) / 0.25)
    plain = replace(wide, preprocessing=Preprocessing(input_size=(16, 16)))
    assert "input-statistics" in codes(doubts_of(plain, textures, labelled=False))
    assert codes(doubts_of(plain, textures))[-1] == "pixel-range"


def test_a_network_that_guesses_is_not_doubted_for_its_preprocessing(trained: Classifier, textures: Splits) -> None:
    generator = torch.Generator().manual_seed(0)
    sample, labels = textures.select.load(), torch.randint(0, 4, (len(textures.select),), generator=generator)
    assert codes(list(classifier_doubts(trained, sample, labels))) == []


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"])
def test_random_weights_raise_no_doubt(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torchvision().models.get_model(name, weights=None, num_classes=10).eval()
    generator = torch.Generator().manual_seed(1)
    sample = nn.functional.interpolate(torch.rand(8, 3, 8, 8, generator=generator), size=(64, 64), mode="bilinear")
    classifier = Classifier(name, module, tuple("abcdefghij"), Preprocessing(input_size=(64, 64)), "0" * 64)
    labels = torch.randint(0, 10, (8,), generator=generator)
    assert codes(list(classifier_doubts(classifier, sample, labels))) == []


def test_no_hook_is_left_behind_even_after_a_crash(trained: Classifier, textures: Splits) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("crashed")

    handle = trained.module.register_forward_hook(crash)
    with pytest.raises(RuntimeError, match="crashed"):
        doubts_of(trained, textures)
    handle.remove()
    assert not any(part._forward_pre_hooks for part in trained.module.modules())


def test_every_doubt_is_explained_in_the_guide() -> None:
    sources = [
        *(ROOT / "attacks").glob("*doubts.py"),
        *(ROOT / "flows" / f"bias_{name}.py" for name in ("controls", "estimated")),
    ]
    text = "\n".join(source.read_text() for source in sources)
    raised = set(re.findall(r'(?:[dD]oubt|_Alternative)\(\s*"([a-z0-9-]+)"', text))
    raised |= set(re.findall(r'"([a-z]+-normalisation)"', text))
    raised |= set(re.findall(r'^(?:CONTROL_FAILED|UNSTABLE) = "([a-z-]+)"', text, flags=re.MULTILINE))
    headings = set(re.findall(r"^### ([a-z0-9-]+)$", (ROOT / "docs" / "doubts.md").read_text(), flags=re.MULTILINE))
    assert len(raised) >= 20
    assert raised == headings
