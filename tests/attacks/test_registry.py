"""Attacks by name: unknown names and options are refused with what there is."""

import pytest

from attacks.per_image.gradient_steps import ProjectedGradient
from attacks.registry import IMAGE, UNIVERSAL, defaults, make, make_image, make_universal
from attacks.universal.sgd import SgdUniversal
from wolfhound.errors import PlanError


def test_options_replace_defaults() -> None:
    assert make("sgd_uap", {"passes": 3, "step": 1}) == SgdUniversal(passes=3, step=1)
    assert make_universal("deepfool_uap", {}) == UNIVERSAL["deepfool_uap"]()
    assert make_image("targeted_ascent", {"objective": "margin"}).name == "targeted_ascent"


def test_an_unknown_attack_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match=r"expected a universal attack out of cosine_uap, .*, sgd_uap, got 'uap'"):
        make_universal("uap", {})
    known = ", ".join(sorted(IMAGE))
    with pytest.raises(PlanError, match=f"expected a per-image attack out of {known}, got 'sgd_uap'"):
        make_image("sgd_uap", {})


def test_all_faults_in_the_options_are_listed_with_the_defaults() -> None:
    with pytest.raises(PlanError) as caught:
        make("sgd_uap", {"epochs": 3, "passes": "ten", "labels": "clean", "step": True})
    message = str(caught.value)
    assert "passes=10, images_per_update=32" in message
    for fault in ("no option 'epochs'", "expected passes as int, got 'ten'", "expected labels out of", "step as float"):
        assert fault in message


def test_values_that_the_attack_itself_refuses_are_plan_errors() -> None:
    with pytest.raises(PlanError, match="expected passes above 0, got 0"):
        make("deepfool_uap", {"passes": 0})


def test_the_goal_is_chosen_by_the_section_and_never_by_an_option() -> None:
    assert not make_image("pgd", {}).targeted
    assert make_image("pgd", {"most_steps": 3}, targeted=True) == ProjectedGradient(most_steps=3, targeted=True)
    assert make_image("targeted_ascent", {}, targeted=True) == make_image("targeted_ascent", {})
    with pytest.raises(PlanError, match="no option 'targeted'"):
        make_image("pgd", {"targeted": True})
    with pytest.raises(PlanError, match=r"can leave a class, got one that cannot \(these can do both: .*deepfool"):
        make_image("targeted_ascent", {}, targeted=False)


def test_every_attack_has_a_default_for_every_option_and_names_its_source() -> None:
    for name, attack in {**UNIVERSAL, **IMAGE}.items():
        assert make(name, defaults(attack)) == make(name, {})
        assert attack.name == name
        assert attack.source


def test_the_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        UNIVERSAL["mine"] = SgdUniversal  # type: ignore[index]
