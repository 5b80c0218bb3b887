"""How many examples the fuzz tests try: a few in the default suite, more where WOLFHOUND_FUZZ says so."""

import os


def fuzz_examples() -> int:
    """Return the number of examples a fuzz test draws."""
    return int(os.environ.get("WOLFHOUND_FUZZ", "30"))
