"""Every explainer by its name. A new one is a file of its own and a line here."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from explainers.base import Explainer
from explainers.black_box.lime import Lime
from explainers.black_box.occlusion import Occlusion
from explainers.black_box.rise import Rise
from explainers.cams.ablation import AblationCam
from explainers.cams.cam import ClassActivationMapping, SinglePassCam
from explainers.cams.scorecam import ScoreCam
from explainers.pixels.integrated_gradients import IntegratedGradients
from explainers.pixels.saliency import GuidedGradCam, RectifiedGradient, Saliency, SmoothGrad

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
    """Return the explainer of that name, with its default settings.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in EXPLAINERS:
        close = difflib.get_close_matches(name, EXPLAINERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"expected an explainer out of {', '.join(EXPLAINERS)}, got {name!r}{hint}")
    return EXPLAINERS[name]
