"""Every explainer by its name. A new one is a file of its own and a line here."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from explainers.base import Explainer
from explainers.black_box.lime import Lime
from explainers.black_box.occlusion import Occlusion
from explainers.black_box.rise import Rise
from explainers.cams.ablation import AblationCam
from explainers.cams.cam import ClassActivationMapping, SinglePassCam
from explainers.cams.scorecam import ScoreCam
from explainers.pixels.integrated_gradients import IntegratedGradients
from explainers.pixels.saliency import GuidedGradCam, RectifiedGradient, Saliency, SmoothGrad
from wolfhound.errors import PlanError
from wolfhound.plugins import is_plugin, plugged

_ALL: tuple[Explainer, ...] = (
    ClassActivationMapping(),
    SinglePassCam("gradcam"),
    SinglePassCam("hirescam"),
    SinglePassCam("gradcam++"),
    SinglePassCam("xgradcam"),
    SinglePassCam("layercam"),
    SinglePassCam("eigencam"),
    Lime(),
    Occlusion(),
    Rise(),
    AblationCam(),
    ScoreCam(),
    Saliency(),
    SmoothGrad(),
    IntegratedGradients(),
    RectifiedGradient(),
    RectifiedGradient("deconvnet", "deconvnet"),
    GuidedGradCam(),
)

EXPLAINERS: Mapping[str, Explainer] = MappingProxyType({explainer.name: explainer for explainer in _ALL})


def explainer(name: str) -> Explainer:
    """Return the explainer of that name, with its default settings; "plugin:NAME" is that of an installed plug-in.

    Raises:
        ValueError: there is none; the message lists those there are.
        PlanError: there is no such plug-in, or it is no explainer.
    """
    if is_plugin(name):
        return _plugged(name)
    if name not in EXPLAINERS:
        close = difflib.get_close_matches(name, EXPLAINERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"expected an explainer out of {', '.join(EXPLAINERS)}, got {name!r}{hint}")
    return EXPLAINERS[name]


def _plugged(name: str) -> Explainer:
    """Return the explainer of a plug-in: an object like our own, or a class that makes one without arguments."""
    found = plugged("wolfhound.explainers", name)
    try:
        made = found() if isinstance(found, type) else found
    except Exception as error:  # foreign code may raise anything
        raise PlanError(f"{name} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(made, "name", None), str) or not callable(getattr(made, "explain", None)):
        raise PlanError(f"expected {name} to implement the protocol of explainers.base, got {type(made).__name__}")
    return cast(Explainer, made)
