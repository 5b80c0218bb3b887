"""Ledgers and settings as the stages write and read them."""

import io

import numpy as np
import pandas as pd

from attacks import registry
from attacks.base import ImageAttack, UniversalAttack
from wolfhound.metrics import Predictions


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, the same bytes on every system."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def read_csv(data: bytes) -> pd.DataFrame:
    """Return the table of stored CSV bytes; an empty text stays an empty text."""
    return pd.read_csv(io.BytesIO(data), keep_default_na=False, na_values={"ssim": [""], "lpips": [""]})


def column(ledger: pd.DataFrame, name: str) -> Predictions:
    """Return one column of predictions or labels."""
    return ledger[name].to_numpy(np.int64)


def settings_text(attack: UniversalAttack | ImageAttack) -> str:
    """Return the hyper-parameters of an attack in words: "passes 10, images per update 100".

    >>> from attacks.per_image.targeted_ascent import TargetedAscent
    >>> settings_text(TargetedAscent(most_steps=5)).split(", ")[-1].startswith("shrinking")
    True
    """
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in attack_options(attack).items())


def attack_options(attack: UniversalAttack | ImageAttack) -> dict[str, object]:
    """Return the hyper-parameters of an attack by name."""
    return {part: getattr(attack, part) for part in registry.defaults(type(attack)) if part != registry.GOAL}
