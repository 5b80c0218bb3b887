"""The demonstration's classifiers: trained on first use, kept as safetensors, trained anew where damaged."""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wolfhound.architectures.compact import compact_architecture, compact_network
from wolfhound.architectures.folding import fold_batch_norms
from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.demonstration.training import TRAINING_VERSION, TrainingRecipe, as_classifier, train
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent

_MEAN, _STD = "preprocessing.mean", "preprocessing.std"
# One entry, because safetensors writes several in no fixed order: the key of the recipe and the digest of the tensors.
_SEAL = "key and digest"


def demonstration_classifier(
    architecture: str,
    cache: Path,
    train_images: ImageSet,
    *,
    seed: int,
    recipe: TrainingRecipe | None = None,
    progress: Progress = silent,
) -> Classifier:
    """Return the compact `architecture` trained on `train_images`, from `cache` where it is kept there undamaged.

    The key of the cache is the SHA-256 of architecture, images, training recipe, seed and the version of the training
    code. Weights whose digest does not match are trained anew.

    Raises:
        ModelError: there is no compact architecture of that name.
        DataError: fewer images than one batch.
    """
    compact_architecture(architecture)
    recipe = recipe or TrainingRecipe()
    key = _key(architecture, train_images, recipe, seed)
    path = cache / f"{architecture}-{key[:16]}.safetensors"
    stored = _load(path, key)
    if stored is None:
        classifier = train(architecture, train_images, seed=seed, recipe=recipe, progress=progress)
        _store(path, key, classifier)
        return classifier
    return _restored(architecture, stored, train_images, seed=seed)


def _key(architecture: str, images: ImageSet, recipe: TrainingRecipe, seed: int) -> str:
    facts = [architecture, images.fingerprint, asdict(recipe), seed, TRAINING_VERSION]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _store(path: Path, key: str, classifier: Classifier) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in classifier.module.state_dict().items()}
    tensors[_MEAN] = torch.tensor(classifier.preprocessing.mean, dtype=torch.float64)
    tensors[_STD] = torch.tensor(classifier.preprocessing.std, dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".weights-", dir=path.parent)
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={_SEAL: f"{key} {state_digest(tensors)}"})
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _load(path: Path, key: str) -> dict[str, Tensor] | None:
    """Return the tensors kept at `path`, or None where there are none, other ones, or damaged ones."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError):
        return None
    return tensors if metadata.get(_SEAL) == f"{key} {state_digest(tensors)}" else None


def _restored(architecture: str, tensors: dict[str, Tensor], images: ImageSet, *, seed: int) -> Classifier:
    mean, std = tensors.pop(_MEAN).tolist(), tensors.pop(_STD).tolist()
    preprocessing = Preprocessing((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), images.size)
    # Building draws fresh weights, which the stored ones replace: keep the global random state out of it.
    with torch.random.fork_rng(devices=[]):
        network = compact_network(architecture, num_classes=len(images.class_names))
    network = fold_batch_norms(network.eval())
    network.load_state_dict(tensors)
    return as_classifier(architecture, network, images, preprocessing, seed=seed)
