"""A classifier behind a model server: only answers can be had, so it gets the audit without gradients."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.loading.endpoint_client import EndpointClient, EndpointSettings
from wolfhound.loading.finish import finish, numbers_alone

# Below it a probability is taken for this one: servers that print few digits answer 0.
_LEAST_PROBABILITY = 1e-12
_PROBES = 2


def load_endpoint(
    settings: EndpointSettings,
    *,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    scores: Literal["logits", "probabilities"] = "logits",
    batch_size: int = 32,
    name: str | None = None,
    client: EndpointClient | None = None,
) -> Classifier:
    """Return the classifier that a server answers for. It is sent normalised images as float32 `[B,3,H,W]`.

    Its weights are unseen. The digest that stands for them is of the address, of what the server says of the model, and
    of its answers to seeded random images, so that a model exchanged behind the same address is not taken for the old.

    Args:
        settings: address, model, patience.
        preprocessing: what the server expects to be done to pixels in [0, 1]; channel means 0 and deviations 1 where it
            does that itself.
        class_names: the classes, in the order of the scores.
        scores: what the server answers; of probabilities the logarithm is taken, which is a logit less a constant.
        batch_size: images a request, at most.
        name: what the classifier is called; the model's name by default.
        client: asks the server; made from `settings` by default.

    Raises:
        ModelError: the server cannot be reached, knows no such model, expects another input, or does not answer one
            finite score for each class.
    """
    client = client or EndpointClient(settings)
    stated = client.metadata()
    network = EndpointNetwork(
        client, _input_name(settings, stated), probabilities=scores == "probabilities", size=batch_size
    )
    return finish(
        network,
        name=name or settings.model,
        class_names=class_names,
        preprocessing=preprocessing,
        architecture=f"unknown: model {settings.model}, asked over HTTP for {scores}",
        provenance=f"model server {settings.address}; weights unseen, known by its answers to seeded random images",
        weights_digest=_digest(settings, stated, network, preprocessing),
        differentiable=False,
    )


def endpoint_input_size(settings: EndpointSettings) -> tuple[int, int] | None:
    """Return height and width of the images that a server expects; None where it does not say.

    Raises:
        ModelError: the server cannot be reached, knows no such model, or expects another input.
    """
    stated = EndpointClient(settings).metadata()
    _input_name(settings, stated)
    shape = stated["inputs"][0].get("shape")
    return numbers_alone(shape[2:]) if isinstance(shape, list) and len(shape) == 4 else None


class EndpointNetwork(nn.Module):
    """Sends images to a server, at most `size` at a time, and returns its scores."""

    def __init__(self, client: EndpointClient, input_name: str, *, probabilities: bool, size: int) -> None:
        super().__init__()
        self.client, self.input_name, self.probabilities, self.size = client, input_name, probabilities, size

    def forward(self, images: Tensor) -> Tensor:
        """Return scores `[B,classes]` for normalised `images` `[B,3,H,W]`.

        Raises:
            ModelError: a gradient was asked for, or the server does not answer as it should.
        """
        if images.requires_grad and torch.is_grad_enabled():
            raise ModelError(f"{self.client.settings.address} is a black box: a server gives no gradients")
        groups = torch.split(images.detach().cpu().to(torch.float32), self.size)
        answers = [self.client.infer(self.input_name, group.contiguous().numpy()) for group in groups]
        for group, answer in zip(groups, answers, strict=True):
            if answer.ndim != 2 or len(answer) != len(group):
                raise ModelError(
                    f"{self.client.settings.address}: expected one row of scores for each of {len(group)} images, got "
                    f"the shape {list(answer.shape)}"
                )
        scores = torch.from_numpy(np.concatenate(answers))
        return (self._logarithms(scores) if self.probabilities else scores).to(images.device, images.dtype)

    def _logarithms(self, scores: Tensor) -> Tensor:
        sums = scores.sum(dim=1)
        if bool((scores < 0).any()) or bool(((sums - 1).abs() > 0.01).any()):
            raise ModelError(
                f"{self.client.settings.address}: expected probabilities, got rows that sum to {float(sums.min()):.4g} "
                f"to {float(sums.max()):.4g} (say scores: logits)"
            )
        return scores.clamp_min(_LEAST_PROBABILITY).log()


def _input_name(settings: EndpointSettings, stated: dict[str, Any]) -> str:
    inputs = stated["inputs"]
    if len(inputs) != 1:
        raise ModelError(
            f"{settings.address}: expected a model with one input, got {[each['name'] for each in inputs]}"
        )
    datatype = inputs[0].get("datatype", "FP32")
    if datatype != "FP32":
        raise ModelError(f"{settings.address}: expected an input of datatype FP32, got {datatype}")
    return str(inputs[0]["name"])


def _digest(
    settings: EndpointSettings, stated: dict[str, Any], network: EndpointNetwork, preprocessing: Preprocessing
) -> str:
    height, width = preprocessing.input_size
    images = torch.rand(_PROBES, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = network(preprocessing.apply(images)).double()
    digest = hashlib.sha256(json.dumps([settings.address, stated], sort_keys=True).encode())
    # Four digits: what a server computes may differ in the last ones from call to call.
    digest.update(" ".join(f"{value:.3e}" for value in answers.flatten().tolist()).encode())
    return digest.hexdigest()
