"""The class activation maps that need one pass: CAM, Grad-CAM and its kin, EigenCAM.

A `[B,C,h,w]` is the layer's activation, g = d(score)/dA, S_k = sum_ij A_k; the score is a logit or a contrast of two.
Each rule returns the raw map `[B,h,w]`, signed; the ReLU of the papers belongs to the normalised map.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from explainers.base import Maps, Targets, make_maps, targets_or_predicted
from explainers.cams.layouts import Layout, required_layout
from explainers.hooks import Recording, find_layer, record
from explainers.layers import default_layer
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError

Rule = Callable[[Tensor, Tensor], Tensor]


def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2): w_k = mean_ij g, R = sum_k w_k A_k."""
    return _weighted(gradient.mean(dim=(2, 3)), activation)


def hirescam(activation: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM (Draelos & Carin 2020, section 3): R = sum_k g A."""
    return (gradient * activation).sum(dim=1)


def layercam(activation: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM (Jiang et al. 2021, eq. 5 and 6): R = sum_k relu(g) A."""
    return (gradient.clamp(min=0) * activation).sum(dim=1)


def gradcam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018, eq. 19): w_k = sum_ij relu(g) alpha, R = sum_k w_k A_k.

    alpha = g^2 / (2 g^2 + S_k g^3 + 1e-6), 0 where g = 0. The 1e-6 is pytorch-grad-cam's and matters: with small
    gradients it outweighs the rest, and other libraries choose other constants.
    """
    squared = gradient.square()
    total = activation.sum(dim=(2, 3), keepdim=True)
    alpha = squared / (2 * squared + total * squared * gradient + 1e-6)
    alpha = torch.where(gradient != 0, alpha, torch.zeros_like(alpha))
    return _weighted((gradient.clamp(min=0) * alpha).sum(dim=(2, 3)), activation)


def xgradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """XGradCAM (Fu et al. 2020, eq. 8): w_k = sum_ij g A / (S_k + 1e-7), R = sum_k w_k A_k.

    On a layer of signed activations S_k can be near 0 and the map unstable: take one behind a ReLU.
    """
    return _weighted((gradient * activation).sum(dim=(2, 3)) / (activation.sum(dim=(2, 3)) + 1e-7), activation)


def eigencam(activation: Tensor, gradient: Tensor | None = None) -> Tensor:  # noqa: ARG001
    """EigenCAM (Muhammad & Yeasin 2020): places projected on the first principal component, for no class.

    The `[hw,C]` matrix is centred by column, as pytorch-grad-cam does. The sign of a principal component is arbitrary;
    ours makes the map agree with the summed activation: sum_ij R (sum_k A_k - mean) >= 0, so bright is active. In exact
    balance the place of largest magnitude is made positive. Computed in float64 from the smaller Gram matrix.
    """
    batch, _, height, width = activation.shape
    matrix = activation.double().flatten(2).transpose(1, 2)
    matrix = matrix - matrix.mean(dim=1, keepdim=True)
    projected = _first_component(matrix)
    agreement = (projected * matrix.sum(dim=2)).sum(dim=1)
    largest = projected.gather(1, projected.abs().argmax(dim=1, keepdim=True))[:, 0]
    sign = torch.where(agreement != 0, agreement, largest).sign()
    return (projected * sign[:, None]).view(batch, height, width).to(activation.dtype)


def _first_component(matrix: Tensor) -> Tensor:
    """Return each row's coordinate along the first principal component, `[B,n]`, of centred matrices `[B,n,C]`."""
    if matrix.shape[1] <= matrix.shape[2]:
        values, vectors = _eigh(matrix @ matrix.transpose(1, 2))
        return vectors[:, :, -1] * values[:, -1:].clamp(min=0).sqrt()
    _, vectors = _eigh(matrix.transpose(1, 2) @ matrix)
    return (matrix @ vectors[:, :, -1:])[:, :, 0]


def _eigh(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(symmetric)
    return values, vectors


def _weighted(weights: Tensor, activation: Tensor) -> Tensor:
    return torch.einsum("bk,bkij->bij", weights, activation)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "gradcam": gradcam,
        "hirescam": hirescam,
        "gradcam++": gradcam_plus_plus,
        "xgradcam": xgradcam,
        "layercam": layercam,
        "eigencam": eigencam,
    }
)
"""The rules that share one forward and one backward pass."""


@dataclass(frozen=True)
class SinglePassCam:
    """An explainer of the family that needs an activation and its gradient, by the name of its rule."""

    name: str

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the maps of `pixels` `[B,3,H,W]`; see `Explainer`. The default layer is `default_layer`'s."""
        layers = None if layer is None else (layer,)
        maps = cam_family(classifier, pixels, targets, layers=layers, methods=(self.name,))
        return next(iter(maps.values()))


@dataclass(frozen=True)
class ClassActivationMapping:
    """CAM (Zhou et al. 2016, eq. 2): R = sum_k W_ck A_k, for networks that end in global average pooling + one Linear.

    Whether the network ends so is measured, not guessed: the layer's mean through the Linear must give the logits.
    """

    name: str = "cam"

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the maps of `pixels` `[B,3,H,W]`; see `Explainer`.

        Raises:
            ModelError: the layer is not followed by global average pooling and one Linear alone.
        """
        check_pixel_layout(pixels)
        layer = layer or default_layer(classifier)
        recording = record(classifier, pixels, layers=(layer,))
        with torch.no_grad():
            activation = feature_map(classifier, recording.activation(layer), layer=layer)
            targets = targets_or_predicted(targets, recording.logits)
            targets.scores(recording.logits)  # checks them
            weight = head_weight(classifier, activation, recording.logits.detach())
            if weight is None:
                raise ModelError(
                    "CAM needs a network that ends in global average pooling and one Linear right behind layer "
                    f"{layer!r}, and {classifier.name} does not (use gradcam, its generalisation)"
                )
            raw = _weighted(class_weights(weight, targets).to(activation.dtype), activation)
            return make_maps(raw, size=_size(pixels), layer=layer, method=self.name, targets=targets)


def cam_family(
    classifier: Classifier,
    pixels: Tensor,
    targets: Targets | None = None,
    *,
    layers: Sequence[str] | None = None,
    methods: Sequence[str] = tuple(RULES),
) -> dict[tuple[str, str], Maps]:
    """Return the maps of every (method, layer) from ONE forward and one backward pass of the tail.

    Args:
        classifier: left exactly as found.
        pixels: `[B,3,H,W]`, floating, [0, 1].
        targets: what to explain; None takes each image's highest logit.
        layers: dotted names; None takes `default_layer`'s.
        methods: names in `RULES`.

    Raises:
        ValueError: an unknown method, no layer; and as `Explainer.explain`.
        ModelError: no such layer, or one that gives no feature map (see layouts.py).
    """
    several = 1 if targets is None else (targets,)
    return cam_families(classifier, pixels, several, layers=layers, methods=methods)[0]


def cam_families(
    classifier: Classifier,
    pixels: Tensor,
    several: Sequence[Targets] | int,
    *,
    layers: Sequence[str] | None = None,
    methods: Sequence[str] = tuple(RULES),
) -> list[dict[tuple[str, str], Maps]]:
    """Return `cam_family` for several classes of each image: one forward pass, one backward pass of the tail a class.

    `several` holds the targets, or k for each image's k highest logits in falling order.

    Raises:
        ValueError: no targets, more classes than there are; and as `cam_family`.
    """
    check_pixel_layout(pixels)
    unknown = [method for method in methods if method not in RULES]
    if unknown or not methods:
        raise ValueError(f"expected methods out of {', '.join(RULES)}, got {', '.join(methods) or 'none'}")
    layers = (default_layer(classifier),) if layers is None else layers
    if not layers:
        raise ValueError("expected at least one layer, got none")
    recording = record(classifier, pixels, layers=layers)
    wanted = _several_targets(several, recording.logits.detach())
    maps = {layer: feature_map(classifier, recording.activation(layer), layer=layer) for layer in layers}
    return [_family(classifier, recording, maps, targets, size=_size(pixels), methods=methods) for targets in wanted]


def _several_targets(several: Sequence[Targets] | int, logits: Tensor) -> Sequence[Targets]:
    if isinstance(several, int):
        if not 1 <= several <= logits.shape[1]:
            raise ValueError(f"expected from 1 to {logits.shape[1]} classes an image, got {several}")
        return [Targets(classes) for classes in logits.topk(several, dim=1).indices.T.cpu()]
    if not several:
        raise ValueError("expected targets to explain, got none")
    for targets in several:
        targets.scores(logits)  # checks them, also where no gradient is needed
    return several


def _family(
    classifier: Classifier,
    recording: Recording,
    maps: Mapping[str, Tensor],
    targets: Targets,
    *,
    size: tuple[int, int],
    methods: Sequence[str],
) -> dict[tuple[str, str], Maps]:
    slopes = dict(maps)
    if any(method != "eigencam" for method in methods):
        gradients = recording.gradients(targets.scores)
        slopes = {layer: feature_map(classifier, gradients[layer], layer=layer) for layer in maps}
    found = {}
    with torch.no_grad():
        for method in methods:
            for layer, activation in maps.items():
                raw = RULES[method](activation, slopes[layer])
                found[method, layer] = make_maps(raw, size=size, layer=layer, method=method, targets=targets)
    return found


def layer_layout(classifier: Classifier, values: Tensor, *, layer: str) -> Layout:
    """Return how `layer` lays out its output, `values` being that output or anything of its shape.

    Raises:
        ModelError: it is no feature map.
    """
    size, part = classifier.preprocessing.input_size, find_layer(classifier.module, layer)
    return required_layout(values.shape, size=size, layer=layer, part=part)


def feature_map(classifier: Classifier, values: Tensor, *, layer: str) -> Tensor:
    """Return a layer's output or gradient as `[B,C,h,w]`, in single precision or better.

    Raises:
        ModelError: it is no feature map.
    """
    return at_least_single(layer_layout(classifier, values, layer=layer).feature_map(values))


def at_least_single(values: Tensor) -> Tensor:
    """Sums over places and channels lose too much in half precision."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[-2], pixels.shape[-1]


def head_weight(classifier: Classifier, activation: Tensor, logits: Tensor) -> Tensor | None:
    """Return the weight `[K,C]` of the Linear that makes `logits` from the mean of `activation`, or None."""
    features, expected = activation.mean(dim=(2, 3)), at_least_single(logits)
    tolerance = 2e-2 if logits.dtype in (torch.float16, torch.bfloat16) else 1e-4
    for part in classifier.module.modules():
        if not isinstance(part, nn.Linear) or part.weight.shape != (expected.shape[1], features.shape[1]):
            continue
        weight = part.weight.detach().to(features.dtype)
        bias = 0 if part.bias is None else part.bias.detach().to(features.dtype)
        found = features @ weight.T + bias
        if float((found - expected).abs().max()) <= tolerance * max(1.0, float(expected.abs().max())):
            return weight
    return None


def class_weights(weight: Tensor, targets: Targets) -> Tensor:
    """Return the rows `[B,C]` of a head's weight `[K,C]` that make the targets' scores."""
    own = weight[targets.classes.to(weight.device)]
    return own if targets.against is None else own - weight[targets.against.to(weight.device)]
