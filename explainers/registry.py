"""Every explainer by its name. A new one is a file of its own and a line here."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from explainers.ablation import AblationCam
from explainers.base import Explainer
from explainers.cam import ClassActivationMapping, SinglePassCam
from explainers.integrated_gradients import IntegratedGradients
from explainers.lime import Lime
from explainers.occlusion import Occlusion
from explainers.rise import Rise
from explainers.saliency import GuidedGradCam, RectifiedGradient, Saliency, SmoothGrad
from explainers.scorecam import ScoreCam

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
    Lime(),
    Occlusion(),
    Rise(),
)

EXPLAINERS: Mapping[str, Explainer] = MappingProxyType({explainer.name: explainer for explainer in _ALL})


def explainer(name: str) -> Explainer:
    """Return the explainer of that name, with its default settings.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in EXPLAINERS:
        close = difflib.get_close_matches(name, EXPLAINERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"expected an explainer out of {', '.join(EXPLAINERS)}, got {name!r}{hint}")
    return EXPLAINERS[name]
