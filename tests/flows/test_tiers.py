"""A section of the plan may name a tier in place of options, or options over it."""

import pytest

from attacks.universal.sgd import SgdUniversal
from flows.universal_stage import planned_attack
from wolfhound.errors import PlanError
from wolfhound.plan import UniversalSection

THREAT = {"norm": "linf", "epsilon": "8/255"}


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, SgdUniversal()),
        ({"tier": "quick"}, SgdUniversal(passes=3)),
        ({"tier": "certification", "options": {"step": 0.1}}, SgdUniversal(passes=40, step=0.1)),
        ({"tier": "quick", "options": {"passes": 2}}, SgdUniversal(passes=2)),
    ],
)
def test_options_go_over_the_tier_and_the_tier_over_the_defaults(
    stated: dict[str, object], expected: SgdUniversal
) -> None:
    section = UniversalSection.model_validate({"attack": "sgd_uap", "threat": THREAT, **stated})
    assert planned_attack(section) == expected


def test_an_unknown_attack_is_refused_with_the_known_ones_whatever_its_tier() -> None:
    section = UniversalSection.model_validate({"attack": "uap", "tier": "quick", "threat": THREAT})
    with pytest.raises(PlanError, match="expected a universal attack out of"):
        planned_attack(section)
