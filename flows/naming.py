"""Names for the sections of a plan: unique in it, and readable in file names and finding ids."""

import re
from collections.abc import Sequence

from attacks.threat import Threat


def threat_name(threat: Threat) -> str:
    """Return a threat as a part of a name.

    >>> threat_name(Threat("linf", 10 / 255))
    'linf-10of255'
    """
    place = "" if threat.norm != "patch" else f"-{threat.place}"
    target = "" if threat.target is None else f"-to-{threat.target}"
    return f"{threat.norm}-{threat.epsilon_text.replace('/', 'of')}{place}{target}".replace(" ", "-")


def entry_names(sections: Sequence[tuple[str, Threat]]) -> list[str]:
    """Return a name for each (attack, threat); the second of equals gets "-2" and so on.

    >>> entry_names([("pgd", Threat("linf", 8 / 255)), ("pgd", Threat("linf", 8 / 255)), ("torchattacks:PGD",
    ...     Threat("l2", 0.5))])
    ['pgd-linf-8of255', 'pgd-linf-8of255-2', 'torchattacks-PGD-l2-0.5']
    """
    names: list[str] = []
    seen: dict[str, int] = {}
    for attack, threat in sections:
        base = f"{re.sub(r'[^A-Za-z0-9_.+-]+', '-', attack)}-{threat_name(threat)}"
        seen[base] = seen.get(base, 0) + 1
        names.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
    return names
