"""A model server is asked in the open inference protocol, in batches, patiently, and never for a gradient."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from attacks.network_doubts import classifier_doubts
from tests.wolfhound.endpoint_server import INPUT, Server, serving
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.loading import load_endpoint
from wolfhound.loading.endpoint_client import EndpointClient, EndpointSettings

PREPROCESSING = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), (4, 4))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


class Clock:
    """A clock that moves only where somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def load(server: Server, *, clock: Clock | None = None, **options: Any) -> Classifier:
    clock = clock or Clock()
    stated = {
        key: options.pop(key) for key in ("retries", "requests_per_second", "token_variable", "model") if key in options
    }
    settings = EndpointSettings(server.url, **{"model": "net", **stated})
    client = EndpointClient(settings, clock=lambda: clock.now, sleep=clock.sleep)
    return load_endpoint(
        settings, preprocessing=PREPROCESSING, class_names=("cat", "dog", "owl"), client=client, **options
    )


def pixels(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_scores_are_the_servers_for_normalised_pixels_in_batches(server: Server) -> None:
    found = load(server, batch_size=4)
    server.batches.clear()
    wanted = server.scores(PREPROCESSING.apply(pixels(10)).numpy())
    assert np.allclose(found.logits(pixels(10)).numpy(), wanted, rtol=1e-5)
    assert server.batches == [4, 4, 2]


def test_of_probabilities_the_logarithm_is_taken(server: Server) -> None:
    server.softmax = True
    logits = load(server, scores="probabilities").logits(pixels(6))
    assert np.allclose(logits.exp().numpy(), server.scores(PREPROCESSING.apply(pixels(6)).numpy()), rtol=1e-4)


def test_logits_are_not_taken_for_probabilities(server: Server) -> None:
    with pytest.raises(ModelError, match="expected probabilities"):
        load(server, scores="probabilities")


def test_it_says_that_it_is_a_black_box_and_refuses_gradients(server: Server) -> None:
    found = load(server)
    assert not found.differentiable
    with pytest.raises(ModelError, match="no gradients"):
        found.logits(pixels(1).requires_grad_())
    assert "weights unseen" in found.provenance


def test_a_missing_gradient_is_no_doubt_about_a_black_box(server: Server) -> None:
    codes = [doubt.code for doubt in classifier_doubts(load(server), pixels(8), torch.zeros(8, dtype=torch.int64))]
    assert "masked-gradients" not in codes


def test_its_digest_repeats_and_changes_with_the_model_behind_the_address(server: Server) -> None:
    first, again = load(server).weights_digest, load(server).weights_digest
    assert first == again
    server.weights = server.weights * 1.01
    assert load(server).weights_digest != first


def test_a_busy_server_is_asked_again_after_the_wait_that_it_states(server: Server) -> None:
    clock = Clock()
    server.refusals = [(503, {}), (429, {"Retry-After": "7"}), (502, {})]
    load(server, clock=clock)
    assert clock.slept == [0.5, 7.0, 2.0]


def test_patience_ends(server: Server) -> None:
    server.refusals = [(503, {})] * 99
    with pytest.raises(ModelError, match=r"answers 503 .*asked 3 time\(s\)"):
        load(server, retries=2)
    assert server.questions == 3


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_is_not_asked_again(status: int, server: Server) -> None:
    server.refusals = [(status, {})] * 9
    with pytest.raises(ModelError, match=rf"answers {status} .*busy"):
        load(server)
    assert server.questions == 1


def test_requests_keep_to_the_rate(server: Server) -> None:
    clock = Clock()
    found = load(server, clock=clock, requests_per_second=4.0, batch_size=1)
    before = clock.now
    found.logits(pixels(8))
    assert clock.now - before == pytest.approx(2.0)


def test_the_token_comes_from_the_environment_and_is_stored_nowhere(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "secret-sauce"
    with pytest.raises(ModelError, match=r"401.*token_variable"):
        load(server)
    with pytest.raises(ModelError, match="WOLFHOUND_TEST_TOKEN, but it is not set"):
        load(server, token_variable="WOLFHOUND_TEST_TOKEN")
    monkeypatch.setenv("WOLFHOUND_TEST_TOKEN", "secret-sauce")
    found = load(server, token_variable="WOLFHOUND_TEST_TOKEN")
    assert "secret-sauce" not in repr((found, found.provenance, found.architecture, found.module))


def test_a_server_that_is_away_is_said_at_once() -> None:
    with serving(Server()) as server:
        pass
    with pytest.raises(ModelError, match="cannot be reached"):
        load(server, retries=1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>", "expected JSON"),
        ([1], "expected a JSON object"),
        ({"outputs": []}, "expected outputs with numbers"),
        ({"outputs": [{"shape": [2, 2], "data": [1, 2, 3]}]}, "expected outputs with numbers"),
        ({"outputs": [{"shape": [2, 3], "data": list("abcdef")}]}, "expected outputs with numbers"),
        ({"outputs": [{"shape": [1, 3], "data": [1, 2, 3]}]}, "one row of scores for each of 2 images"),
        ({"outputs": [{"shape": [2, 2], "data": [1, 2, 3, 4]}]}, "2 scores but 3 class names"),
        ({"outputs": [{"shape": [2, 3], "data": [1, 2, 3, 4, 5, float("nan")]}]}, "not finite"),
    ],
)
def test_wrong_answers_are_refused(answer: Any, reason: str, server: Server) -> None:
    server.answer = answer
    with pytest.raises(ModelError, match=reason):
        load(server)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"name": "net"}, "expected a list of inputs"),
        ({"inputs": [INPUT, INPUT], "outputs": []}, "one input"),
        ({"inputs": [{**INPUT, "datatype": "UINT8"}], "outputs": []}, "datatype FP32"),
    ],
)
def test_a_model_with_another_input_is_refused(metadata: Any, reason: str, server: Server) -> None:
    server.metadata = metadata
    with pytest.raises(ModelError, match=reason):
        load(server)
