"""The plan's section on hypotheses: where to look, never what was found."""

from pydantic import Field

from wolfhound.plan_base import Names, Section


class HypothesesSection(Section):
    """Clusters of heat maps and slices with a high error rate, on held-out images. Both only propose."""

    classifiers: Names = "all"
    images: int = Field(200, ge=40, description="how many held-out images are looked at")
    method: str = Field("gradcam", description="the explainer whose maps are clustered")
    layer: str | None = Field(None, description="dotted name; the method's default where none is named")
    least: int = Field(20, ge=5, description="images below which a slice, or the maps of a class, are not looked at")
    shown: int = Field(4, ge=1, le=8, description="images shown of each cluster and of each slice")
