"""What every section of a plan is made of: frozen, without unknown keys, with numbers as people write them."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt


def parse_fraction(value: Any) -> Any:
    """Return a number written as "10/255" or "30 %" as a float; anything else unchanged.

    >>> parse_fraction("8/255") == 8 / 255, parse_fraction("30 %"), parse_fraction(0.5)
    (True, 0.3, 0.5)
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    number = r"[0-9]+(?:\.[0-9]+)?"
    if match := re.fullmatch(rf"({number})\s*/\s*({number})", text):
        return float(match[1]) / float(match[2]) if float(match[2]) else value
    if match := re.fullmatch(rf"({number})\s*%", text):
        return float(match[1]) / 100
    return value


Fraction = Annotated[float, BeforeValidator(parse_fraction, json_schema_input_type=float | str)]
Share = Annotated[Fraction, Field(ge=0, le=1)]
Size = PositiveInt | tuple[PositiveInt, PositiveInt]
Channel = tuple[float, float, float]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]


class Section(BaseModel):
    """One part of the plan: unknown keys are faults, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Names = Literal["all"] | tuple[str, ...]
Options = dict[str, int | float | str | bool]
