"""The universal patch: opaque, within its square, everything else untouched, and its update against the closed form."""

import pytest
import torch
from torch.nn import functional

from attacks.controls import sign_noise
from attacks.delivery import add_levels, quantised_levels
from attacks.threat import Threat
from attacks.universal.ensemble import Member
from attacks.universal.patch import PatchUniversal, Sticker
from tests.attacks.universal.test_df_universal import share_of
from tests.attacks.universal.universal_literal import last_proposal, predicted
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet, Splits


def test_it_hides_its_square_and_leaves_every_other_pixel(trained: Classifier, textures: Splits) -> None:
    threat = Threat("patch", 0.1, place="top right")
    delta = last_proposal(PatchUniversal(passes=2), trained, textures.craft, threat, chunk=32).delta
    images = torch.from_numpy(textures.report.pixels.read(textures.report.rows))
    shown = add_levels(images, quantised_levels(delta, threat))
    assert threat.box((16, 16)) == (0, 11, 5)
    square = shown[:, :, :5, 11:]
    assert torch.equal(square, square[:1].expand_as(square)), "something of the images shows through"
    assert set(square.unique().tolist()) == {0, 255}
    rest = torch.ones(16, 16, dtype=torch.bool)
    rest[:5, 11:] = False
    assert torch.equal(shown[..., rest], images[..., rest])


def test_its_noise_control_is_an_opaque_square_of_random_colours() -> None:
    control = sign_noise(Threat("patch", 0.25), (8, 8), generator=torch.Generator().manual_seed(0))
    assert set(control[:, 2:6, 2:6].unique().tolist()) == {-1.0, 1.0}
    assert int(control.ne(0).sum()) == 48


@pytest.mark.parametrize("target", [None, 2])
def test_one_update_on_a_linear_model_is_the_closed_form(
    target: int | None, linear_classifier: Classifier, make_images
) -> None:  # type: ignore[no-untyped-def]
    images: ImageSet = make_images([0, 1, 2, 3] * 2)
    threat = Threat("patch", 0.25, target=target, place="bottom left")
    attack = PatchUniversal(passes=1, images_per_update=8, step=0.3, confidence=1e9)
    found = last_proposal(attack, linear_classifier, images, threat, chunk=3)
    colours = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    shown = images.load().double()
    shown[:, :, 4:, :4] = colours.round()
    logits = linear_classifier.logits(shown).detach()
    wanted = torch.tensor(predicted(linear_classifier, images) if target is None else [target] * 8)
    own = functional.one_hot(wanted, 4)
    rival = functional.one_hot((logits - 1e9 * own).argmax(dim=1), 4)
    weight = linear_classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    rise = ((rival - own if target is None else own - rival).double() @ weight).sum(dim=0).view(3, 8, 8)[:, 4:, :4]
    expected = (colours + 0.3 * rise.sign()).clamp(0, 1)
    torch.testing.assert_close(found.state["colours"], expected)
    assert torch.equal(found.delta[:, 4:, :4], 2 * expected.round() - 1)


def test_the_gradient_in_the_colours_is_that_of_each_place(trained: Classifier, textures: Splits) -> None:
    sticker = Sticker(torch.rand(3, 5, 5, dtype=torch.float64), torch.tensor([[0, 11], [3, 4], [11, 0]]))
    pixels = textures.craft.load(slice(0, 3)).double()
    colours = sticker.colours.clone().requires_grad_()
    for image, (top, left) in zip(pixels, sticker.corners.tolist(), strict=True):
        canvas = image.clone()
        canvas[:, top : top + 5, left : left + 5] = 0
        canvas = canvas + functional.pad(colours, (left, 11 - left, top, 11 - top))
        trained.logits(canvas[None])[0, 1].backward()
    assert colours.grad is not None

    found = sticker.gradient(
        lambda classifier, shown, _: classifier.logits(shown)[:, 1],
        [Member(trained, torch.zeros(96))],
        textures.craft,
        torch.tensor([0, 1, 2]),
        chunk=2,
    )
    torch.testing.assert_close(found, colours.grad, rtol=1e-9, atol=1e-12)


def test_random_positions_reach_every_place_within_the_image_and_given_ones_stay() -> None:
    def corners(positions: str) -> torch.Tensor:
        attack = PatchUniversal(positions=positions)  # type: ignore[arg-type]
        return attack.corners(600, (10, 7), (2, 1, 4), generator=torch.Generator().manual_seed(0))

    assert {tuple(corner) for corner in corners("random").tolist()} == {(i, j) for i in range(7) for j in range(4)}
    assert torch.equal(corners("given"), torch.tensor([2, 1]).expand(600, 2))


def test_with_a_target_most_images_reach_it(trained: Classifier, textures: Splits) -> None:
    threat = Threat("patch", 0.3, target=2)
    delta = last_proposal(PatchUniversal(passes=8), trained, textures.craft, threat, chunk=32).delta
    assert share_of(trained, textures, delta, 2) > 0.8


def test_another_threat_than_a_patch_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="patch_uap: expected a threat of norm patch, got linf"):
        last_proposal(PatchUniversal(), trained, textures.craft, Threat("linf", 0.1))
