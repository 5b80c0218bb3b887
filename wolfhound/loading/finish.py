"""The last step of every door: freeze the network, name its weights, and try it once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.errors import ModelError


def finish(
    module: nn.Module,
    *,
    name: str,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    architecture: str,
    provenance: str,
    weights_digest: str | None = None,
    differentiable: bool = True,
) -> Classifier:
    """Return the classifier around `module`, in evaluation mode and without parameter gradients.

    `weights_digest`: for a network whose weights do not lie in its state dict; else it is that of the state dict.

    Raises:
        ModelError: a forward pass fails, or does not give one finite score for each class name.
    """
    module.eval()
    for parameter in module.parameters():  # TorchScript knows no requires_grad_ of a whole module
        parameter.requires_grad_(False)
    classifier = Classifier(
        name=name,
        module=module,
        class_names=tuple(class_names),
        preprocessing=preprocessing,
        weights_digest=weights_digest or state_digest(module.state_dict()),
        architecture=architecture,
        provenance=provenance,
        differentiable=differentiable,
    )
    check_outputs(classifier)
    return classifier


def numbers_alone(sides: Sequence[object]) -> tuple[int, int] | None:
    """Return height and width where both are stated as numbers; a name or -1 stands for any.

    >>> numbers_alone([224, 224]), numbers_alone(["height", 224]), numbers_alone([-1, -1])
    ((224, 224), None, None)
    """
    height, width = sides
    return (height, width) if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0 else None


def check_outputs(classifier: Classifier) -> None:
    """Raise unless two random images give `[2,classes]` finite scores.

    Raises:
        ModelError: says what came back instead.
    """
    height, width = classifier.preprocessing.input_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, height, width, generator=generator).to(classifier.device, classifier.dtype)
    try:
        with torch.no_grad():
            # Not through `logits`, whose own checks would hide what came back.
            logits: object = classifier.module(classifier.preprocessing.apply(pixels))
    except ModelError:
        raise  # of a server, say, which knows better what is wrong
    except Exception as error:  # a user's network may raise anything
        raise ModelError(
            f"{classifier.name}: the network fails on two images of {height}x{width} "
            f"({type(error).__name__}: {error}); is the input size right?"
        ) from error
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"{classifier.name}: expected one tensor of scores, got {type(logits).__name__} "
            "(return the logits alone, for example from a small wrapping module)"
        )
    classes = len(classifier.class_names)
    if logits.ndim == 2 and logits.shape[0] == 2 and logits.shape[1] != classes:
        raise ModelError(
            f"{classifier.name}: the network returns {logits.shape[1]} scores but {classes} class names were given"
        )
    if logits.shape != (2, classes):
        raise ModelError(f"{classifier.name}: expected scores of shape [2, {classes}], got {list(logits.shape)}")
    if not torch.isfinite(logits).all():
        raise ModelError(
            f"{classifier.name}: the network returns scores that are not finite (are the weights and the "
            "preprocessing right?)"
        )
