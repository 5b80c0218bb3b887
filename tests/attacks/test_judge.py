"""The judge: exactly the delivered images are asked about, each is read once, and ledgers hold predictions."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.delivery import resample
from attacks.judge import FLOAT, float_column, fooling_rates, judge, predict, transfer_predictions, under
from attacks.threat import Threat
from tests.attacks.crashing import assert_same, mixed_state, snapshot
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import EvidenceError, ModelError
from wolfhound.images import ImageSet, PixelFile, Splits

LEVELS = 40
THREAT = Threat("linf", LEVELS / 255)


class Recording(nn.Module):
    """Keeps what a network was shown."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.shown: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.shown.append(inputs.clone())
        outputs: Tensor = self.inner(inputs)
        return outputs


def two_perturbations() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = {name: 0.3 * torch.randn(3, 4, 4, generator=generator) for name in ("first", "second")}
    return {name: resample(delta, (16, 16)) for name, delta in coarse.items()}


def by_hand(classifier: Classifier, images: ImageSet, delta: Tensor) -> np.ndarray[Any, Any]:
    """Round, add, clip and predict, image by image, in integers."""
    levels = np.clip(np.rint(delta.numpy() * 255), -LEVELS, LEVELS).astype(int)
    rows = images.pixels.read(images.rows).astype(int)
    shown = np.clip(rows + levels, 0, 255) / 255
    with torch.no_grad():
        return np.array([int(classifier.logits(torch.from_numpy(image)[None]).argmax()) for image in shown])


def test_the_ledger_agrees_with_integer_arithmetic_by_hand(trained: Classifier, textures: Splits) -> None:
    images, perturbations = textures.report.subset(range(50)), two_perturbations()
    ledger = transfer_predictions(trained, images, under(THREAT, perturbations), batch_size=16)
    assert list(ledger.columns) == ["image", "label", "clean", "first", "second"]
    assert tuple(ledger["image"]) == images.hashes
    assert (ledger["label"] == images.labels).all()
    assert (ledger["clean"] == by_hand(trained, images, torch.zeros(3, 16, 16))).all()
    for name, delta in perturbations.items():
        expected = by_hand(trained, images, delta)
        assert (expected != ledger["clean"]).any()
        assert (ledger[name] == expected).all()


def test_what_is_shown_lies_in_zero_to_one_on_the_eight_bit_grid(trained: Classifier, textures: Splits) -> None:
    recording = Recording(trained.module)
    plain = replace(trained.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    transfer_predictions(
        replace(trained, module=recording, preprocessing=plain),
        textures.report,
        under(Threat("linf", 0.5), {"v": torch.full((3, 16, 16), 0.5)}),
    )
    shown = torch.cat(recording.shown)
    assert float(shown.min()) >= 0
    assert float(shown.max()) == 1
    torch.testing.assert_close(shown * 255, (shown * 255).round(), rtol=0, atol=1e-9)


def test_rates_are_counted_from_the_ledger_alone(trained: Classifier, textures: Splits) -> None:
    ledger = transfer_predictions(trained, textures.report, under(THREAT, two_perturbations()))
    rates = fooling_rates(ledger)
    assert list(rates) == ["first", "second"]
    assert rates["first"].successes == int((ledger["first"] != ledger["clean"]).sum())
    assert rates["first"].successes > 0
    assert rates["first"].total == 200


@pytest.mark.parametrize("size", [1, 7, 200, 500])
def test_the_batch_size_changes_no_prediction(size: int, trained: Classifier, textures: Splits) -> None:
    whole = transfer_predictions(trained, textures.report, under(THREAT, two_perturbations()), batch_size=64)
    assert transfer_predictions(trained, textures.report, under(THREAT, two_perturbations()), batch_size=size).equals(
        whole
    )
    assert (predict(trained, textures.report, batch_size=size) == whole["clean"]).all()


def test_each_image_is_read_once_for_all_columns(
    trained: Classifier, textures: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[int] = Counter()
    original = PixelFile.read

    def counting(self: PixelFile, rows: Any) -> Any:
        read.update(rows.tolist())
        return original(self, rows)

    monkeypatch.setattr(PixelFile, "read", counting)
    transfer_predictions(trained, textures.report, under(THREAT, two_perturbations()), batch_size=32)
    assert read == Counter(textures.report.rows.tolist())


def test_progress_advances_by_every_image_and_column(trained: Classifier, textures: Splits) -> None:
    totals, advanced = [], []

    @contextmanager
    def record(description: str, total: int) -> Any:
        assert "textures" in description
        totals.append(total)
        yield advanced.append

    transfer_predictions(trained, textures.report, under(THREAT, two_perturbations()), batch_size=32, progress=record)
    predict(trained, textures.report, batch_size=32, progress=record)
    assert totals == [600, 200]
    assert sum(advanced) == 800


def test_a_perturbation_of_another_size_is_resampled(trained: Classifier, textures: Splits) -> None:
    small = 0.6 * torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2)).sign()
    large = functional.interpolate(small[None], size=(16, 16), mode="bilinear", align_corners=False)[0]
    wide = Threat("linf", 1.0)
    ledger = transfer_predictions(trained, textures.report, under(wide, {"small": small, "large": large}))
    assert (ledger["small"] == ledger["large"]).all()
    assert (ledger["small"] != ledger["clean"]).any()


def test_perturbations_are_bounded_before_they_are_judged(trained: Classifier, textures: Splits) -> None:
    sign = two_perturbations()["first"].sign()
    ledger = transfer_predictions(
        trained, textures.report, under(THREAT, {"too large": sign, "full": sign * THREAT.epsilon})
    )
    assert (ledger["too large"] == ledger["full"]).all()


def test_each_perturbation_is_held_to_its_own_threat(trained: Classifier, textures: Splits) -> None:
    coarse = two_perturbations()["first"]
    threats = {"wide": THREAT, "narrow": Threat("linf", 4 / 255), "round": Threat("l2", 3.0)}
    together = transfer_predictions(trained, textures.report, {name: (coarse, t) for name, t in threats.items()})
    for name, threat in threats.items():
        alone = transfer_predictions(trained, textures.report, {name: (coarse, threat)})
        assert (together[["image", "label", "clean", name]] == alone).all(axis=None)
    rates = fooling_rates(together)
    assert rates["wide"].successes > rates["round"].successes > rates["narrow"].successes


def test_the_network_and_the_perturbations_stay_as_they_were(trained: Classifier, textures: Splits) -> None:
    mixed_state(trained)
    perturbations = two_perturbations()
    before = snapshot(trained), {name: delta.clone() for name, delta in perturbations.items()}
    transfer_predictions(trained, textures.report, under(THREAT, perturbations))
    assert_same(before[0], snapshot(trained))
    assert_same(before[1], perturbations)


def test_names_of_the_ledgers_own_columns_are_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(EvidenceError, match=r"got \['clean'\]"):
        transfer_predictions(trained, textures.report, under(THREAT, {"clean": torch.zeros(3, 16, 16)}))


def test_logits_that_are_not_finite_are_refused(trained: Classifier, textures: Splits) -> None:
    with torch.no_grad():
        next(trained.module.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="textures: expected finite logits"):
        predict(trained, textures.report)


def unrounded_by_hand(classifier: Classifier, images: ImageSet, delta: Tensor) -> list[int]:
    """Add, clip and predict in floating point, image by image."""
    shown = [(image.double() + delta).clamp(0, 1) for image in images.load()]
    with torch.no_grad():
        return [int(classifier.logits(image[None]).argmax()) for image in shown]


def test_a_perturbation_is_judged_without_rounding_beside_the_eight_bit_image(
    trained: Classifier, textures: Splits
) -> None:
    images, delta = textures.report, 0.9 / 255 * two_perturbations()["first"].sign()
    faint = Threat("linf", 0.9 / 255)
    ledger = transfer_predictions(trained, images, {"v": (delta, faint)}, in_float=["v"], batch_size=16)
    assert list(ledger.columns) == ["image", "label", "clean", "v", "v" + FLOAT]
    assert (ledger["v"] == ledger["clean"]).all()  # less than a level cannot be delivered
    assert ledger["v" + FLOAT].tolist() == unrounded_by_hand(trained, images, delta.double())
    assert (ledger["v" + FLOAT] != ledger["clean"]).any()
    assert float_column(ledger, "v") == "v" + FLOAT
    assert list(fooling_rates(ledger)) == ["v"]


def test_what_rounding_leaves_as_it_is_goes_through_the_network_once(trained: Classifier, textures: Splits) -> None:
    recording = Recording(trained.module)
    whole = {"v": (two_perturbations()["first"].sign() * THREAT.epsilon, THREAT)}
    ledger = transfer_predictions(replace(trained, module=recording), textures.report, whole, in_float=["v"])
    assert list(ledger.columns) == ["image", "label", "clean", "v"]
    assert sum(len(batch) for batch in recording.shown) == 2 * len(textures.report)
    assert float_column(ledger, "v") == "v"


def test_the_unrounded_perturbation_is_held_to_its_threat_too(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.report.subset(range(60)), Threat("l2", 2.0)
    wild = 7.3 * two_perturbations()["second"]
    held = wild * min(1.0, 2.0 / float(wild.double().norm()))
    ledger = transfer_predictions(trained, images, {"v": (wild, threat)}, in_float=["v"])
    assert ledger["v" + FLOAT].tolist() == unrounded_by_hand(trained, images, held.double())


def test_a_batch_is_judged_at_both_precisions_by_the_same_rule(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.report, Threat("linf", 5.9 / 255)
    pixels = images.load().double()
    signs = two_perturbations()["first"].sign().double()
    proposed = pixels + signs  # far too large: it is bounded here
    delivered = ((pixels + 5 * signs / 255).clamp(0, 1) * 255).round()
    with frozen(trained.module), torch.no_grad():
        found = judge(trained, pixels, proposed, images.labels, threat, targeted=False)
        in_bits = trained.logits(delivered / 255).argmax(dim=1).numpy()
        in_float = trained.logits((pixels + threat.epsilon * signs).clamp(0, 1)).argmax(dim=1).numpy()
        towards = judge(trained, pixels, proposed, images.labels, threat, targeted=True)
    assert torch.equal(found.delivered, delivered.to(torch.uint8))
    assert (found.adversarial == in_bits).all()
    assert (found.adversarial_float == in_float).all()
    assert (found.success == (in_bits != images.labels)).all()
    assert (found.success_float == (in_float != images.labels)).all()
    assert (towards.success == ~found.success).all()
    assert (found.success_float != found.success).any()


def test_only_versions_that_rounding_changes_are_asked_about_twice(trained: Classifier, textures: Splits) -> None:
    recording = Recording(trained.module)
    pixels = textures.report.subset(range(10)).load().double()
    proposed = pixels.clone()
    proposed[3, 0, 0, 0] += 0.4 / 255
    proposed[4] = (proposed[4] * 255 + 2).clamp(0, 255) / 255
    with frozen(recording):
        judge(replace(trained, module=recording), pixels, proposed, np.zeros(10, np.int64), None, targeted=False)
    assert [len(shown) for shown in recording.shown] == [10, 1]


def test_names_that_end_like_a_floating_point_column_are_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(EvidenceError, match="floating point"):
        transfer_predictions(trained, textures.report, under(THREAT, {"v" + FLOAT: torch.zeros(3, 16, 16)}))
