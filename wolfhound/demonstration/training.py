"""Training of the compact classifiers: short, seeded, and the same again on the same machine."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wolfhound.architectures.compact import compact_architecture, compact_network
from wolfhound.architectures.folding import fold_batch_norms
from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent

# Raise it whenever training yields other weights: cached weights of another version are not reused.
TRAINING_VERSION = 1


@dataclass(frozen=True)
class TrainingRecipe:
    """AdamW on cross entropy with a one-cycle learning rate.

    Attributes:
        epochs: passes over the images.
        batch_size: images a step; the last, incomplete batch of an epoch is left out.
        learning_rate: peak, reached after `warm_up` of all steps and lowered to zero along a cosine.
        weight_decay: decoupled, on weights of two or more dimensions only.
        label_smoothing: share of the target spread over all classes.
        shift: random translation of up to this many pixels, the edge repeated; images are also mirrored at random.
    """

    epochs: int = 8
    batch_size: int = 50
    learning_rate: float = 3e-3
    warm_up: float = 0.25
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    shift: int = 3


def train(
    architecture: str,
    train_images: ImageSet,
    *,
    seed: int,
    recipe: TrainingRecipe | None = None,
    progress: Progress = silent,
) -> Classifier:
    """Return the compact `architecture` trained on `train_images`, in evaluation mode, batch norms folded.

    The same seed and images give the same weights on the same machine with the same number of threads. The global
    random state is left as it was.

    Raises:
        ModelError: there is no compact architecture of that name.
        DataError: fewer images than one batch.
    """
    compact_architecture(architecture)
    recipe = recipe or TrainingRecipe()
    if len(train_images) < recipe.batch_size:
        raise DataError(f"expected at least {recipe.batch_size} images to train on, got {len(train_images)}")
    pixels = torch.from_numpy(train_images.pixels.read(train_images.rows))
    labels = torch.from_numpy(train_images.labels)
    preprocessing = measured_preprocessing(pixels)
    # Weights, order, shifts and dropout all come from this seed; dropout can only be seeded through the global state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = compact_network(architecture, num_classes=len(train_images.class_names))
        _fit(network, pixels, labels, preprocessing, recipe, description=f"training {architecture}", progress=progress)
    return as_classifier(architecture, fold_batch_norms(network.eval()), train_images, preprocessing, seed=seed)


def as_classifier(
    architecture: str, network: nn.Module, train_images: ImageSet, preprocessing: Preprocessing, *, seed: int
) -> Classifier:
    """Return the trained, folded `network` as a classifier that says honestly what it is."""
    return Classifier(
        name=architecture,
        module=network.eval().requires_grad_(False),
        class_names=train_images.class_names,
        preprocessing=preprocessing,
        weights_digest=state_digest(network.state_dict()),
        architecture=f"demonstration classifier, {compact_architecture(architecture).description}",
        provenance=f"trained by Wolfhound on {len(train_images)} generated images ({train_images.name}), seed {seed}",
    )


def measured_preprocessing(pixels: Tensor) -> Preprocessing:
    """Return the normalisation of uint8 `pixels` `[N,3,H,W]`: channel means and deviations on the [0, 1] scale."""
    counts = [torch.bincount(pixels[:, channel].flatten(), minlength=256).double() for channel in range(3)]
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = [float((count * values).sum() / count.sum()) for count in counts]
    variances = [
        float((count * (values - middle) ** 2).sum() / count.sum()) for count, middle in zip(counts, mean, strict=True)
    ]
    std = [max(variance**0.5, 1e-3) for variance in variances]
    size = (pixels.shape[2], pixels.shape[3])
    return Preprocessing((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), size)


def _fit(
    network: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    preprocessing: Preprocessing,
    recipe: TrainingRecipe,
    *,
    description: str,
    progress: Progress,
) -> None:
    network.train()
    optimiser = torch.optim.AdamW(_parameter_groups(network, recipe), lr=recipe.learning_rate)
    steps_an_epoch = len(pixels) // recipe.batch_size
    steps = recipe.epochs * steps_an_epoch
    with progress(description, steps) as advance:
        for step in range(steps):
            if step % steps_an_epoch == 0:
                order = torch.randperm(len(pixels))
            place = step % steps_an_epoch * recipe.batch_size
            chosen = order[place : place + recipe.batch_size]
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * one_cycle(step / steps, warm_up=recipe.warm_up)
            batch = preprocessing.apply(_augmented(pixels[chosen], shift=recipe.shift).float().div_(255))
            logits = network(batch.to(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            advance(1)


def one_cycle(share: float, *, warm_up: float) -> float:
    """Return the learning rate, as a share of its peak, when `share` in [0, 1] of all steps are done.

    It rises linearly from a twenty-fifth and falls along a cosine (Smith & Topin 2018, with cosine annealing).

    >>> one_cycle(0.0, warm_up=0.25), one_cycle(0.25, warm_up=0.25), one_cycle(1.0, warm_up=0.25)
    (0.04, 1.0, 0.0)
    """
    if share < warm_up:
        return 0.04 + 0.96 * share / warm_up
    return (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up))) / 2


def _parameter_groups(network: nn.Module, recipe: TrainingRecipe) -> list[dict[str, object]]:
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]


def _augmented(pixels: Tensor, *, shift: int) -> Tensor:
    """Return `pixels` `[B,3,H,W]`, half of them mirrored, all moved by one draw of up to `shift` pixels either way."""
    mirrored = torch.rand(len(pixels)) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    if not shift:
        return pixels
    down, across = torch.randint(0, 2 * shift + 1, (2,)).tolist()
    padded = functional.pad(pixels.float(), (shift,) * 4, mode="replicate")
    return padded[:, :, down : down + pixels.shape[2], across : across + pixels.shape[3]]
