"""What a method is called where a person reads it; the registry's names are for plans and commands."""

import re
from collections.abc import Mapping
from types import MappingProxyType

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "cam": "CAM",
        "gradcam": "Grad-CAM",
        "hirescam": "HiResCAM",
        "gradcam++": "Grad-CAM++",
        "xgradcam": "XGradCAM",
        "layercam": "LayerCAM",
        "eigencam": "EigenCAM",
        "ablationcam": "Ablation-CAM",
        "scorecam": "Score-CAM",
        "lime": "LIME",
        "rise": "RISE",
        "smoothgrad": "SmoothGrad",
        "guided-gradcam": "Guided Grad-CAM",
    }
)

_APPROXIMATE = re.compile(r"(?P<name>.+)-approximate-top(?P<count>\d+)")


def method_title(method: str) -> str:
    """Return the title of a method; a name that is made of plain words is its own.

    >>> method_title("gradcam++"), method_title("integrated-gradients"), method_title("scorecam-approximate-top16")
    ('Grad-CAM++', 'Integrated gradients', 'Score-CAM (approximate, 16 channels)')
    """
    approximate = _APPROXIMATE.fullmatch(method)
    if approximate:
        return f"{method_title(approximate['name'])} (approximate, {approximate['count']} channels)"
    return TITLES.get(method, method[:1].upper() + method[1:].replace("-", " "))
