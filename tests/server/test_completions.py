"""The API of the server: texts, streams, scores and errors, as clients see them."""

import json
import math
import shutil
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from httpx2 import Response
from starlette.testclient import TestClient
from support.texts import TEXT
from support.training import train

import charlm
from charlm.errors import CharlmError
from charlm.prediction.generation import generate_samples
from charlm.server.app import make_app
from charlm.server.limits import Limits
from charlm.server.offer import Offer

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> charlm.Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text(TEXT, "utf-8")
    run = train(path, folder, "training.steps=20", "training.learning_rate=0.01", name="novel")
    return charlm.load(run.path)


@pytest.fixture(scope="module")
def client(model: charlm.Predictor) -> Iterator[TestClient]:
    with TestClient(make_app(Offer.of([model])), ADDRESS) as client:
        yield client


def complete(client: TestClient, **fields: Any) -> Response:
    return client.post("/v1/completions", json=fields)


def text_of(client: TestClient, **fields: Any) -> str:
    response = complete(client, **fields)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


def events_of(client: TestClient, **fields: Any) -> list[Any]:
    """Return the events of a stream; the last one is [DONE]."""
    body = complete(client, stream=True, **fields).text
    parts = body.removesuffix("\n\n").split("\n\n")
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def error_of(response: Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "\n" not in error["message"]
    return str(error["message"])


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "top_p": 0.8}, {"temperature": 0.0}])
def test_text_is_that_of_generate(
    client: TestClient, model: charlm.Predictor, settings: dict[str, Any]
) -> None:
    """The server writes the text of `generate` with the same seed, in a stream and at once."""
    expected = charlm.generate_text(model, "The ", seed=7, length=150, **settings)
    fields = {"prompt": "The ", "seed": 7, "max_tokens": 150, **settings}
    assert text_of(client, **fields) == expected
    events = events_of(client, **fields)
    assert "".join(event["choices"][0]["text"] for event in events) == expected
    assert [
        e["choices"][0]["finish_reason"] for e in events if e["choices"][0]["finish_reason"]
    ] == ["length"]
    assert text_of(client, **fields, logprobs=2) == expected


def test_choices_are_the_samples(client: TestClient, model: charlm.Predictor) -> None:
    """Several choices and prompts are the samples of `generate`; the usage counts characters."""
    both = complete(client, prompt=["The ", "a"], n=2, seed=3, max_tokens=40).json()
    for number, prompt in enumerate((b"The ", b"a")):
        samples = generate_samples(model, prompt, num_samples=2, seed=3, length=40)
        texts = [choice["text"] for choice in both["choices"][2 * number : 2 * number + 2]]
        assert texts == [sample.decode() for sample in samples]
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    assert both["usage"] == {"prompt_tokens": 5, "completion_tokens": 160, "total_tokens": 165}
    assert text_of(client, seed=3, max_tokens=40) == charlm.generate_text(model, seed=3, length=40)


def test_stop_ends_the_text(client: TestClient) -> None:
    """The text ends before the first of the stop texts, in a stream and at once."""
    fields = {"prompt": "The ", "seed": 5, "max_tokens": 300}
    whole = text_of(client, **fields)
    stops = [whole[120:124], whole[60:63], "never"]
    end = min(whole.find(stop) for stop in stops[:2])
    choice = complete(client, **fields, stop=stops).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (whole[:end], "stop")
    for logprobs in (None, 1):
        events = events_of(client, **fields, stop=stops, logprobs=logprobs)
        assert "".join(event["choices"][0]["text"] for event in events) == whole[:end]
        assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_logprobs_are_those_of_the_text(client: TestClient, model: charlm.Predictor) -> None:
    """The probabilities are the model's: those of `score_text`, whatever the temperature."""
    fields = {"prompt": "The ", "seed": 5, "max_tokens": 50, "temperature": 0.7, "logprobs": 3}
    choice = complete(client, **fields).json()["choices"][0]
    details = choice["logprobs"]
    assert "".join(details["tokens"]) == choice["text"]
    assert details["text_offset"] == list(range(50))
    bits = [one.bits for one in charlm.score_text(model, "The " + choice["text"])][4:]
    # The unknown symbol is never generated, so that its probability goes to the others.
    for nats, expected, token, top in zip(
        details["token_logprobs"], bits, details["tokens"], details["top_logprobs"], strict=True
    ):
        assert -nats / math.log(2) == pytest.approx(expected, abs=0.1)
        assert len(top) == 3
        assert nats <= max(top.values())
        assert top.get(token, nats) == nats
    offsets = [
        place
        for event in events_of(client, **fields)
        for place in event["choices"][0]["logprobs"]["text_offset"]
    ]
    assert offsets == details["text_offset"]


def test_echo_and_usage_of_streams(client: TestClient) -> None:
    """`echo` puts the prompt before the text, and a stream tells its usage where asked."""
    fields = {"prompt": "The ", "seed": 5, "max_tokens": 20}
    whole = text_of(client, **fields, echo=True)
    assert whole == "The " + text_of(client, **fields)
    *events, last = events_of(client, **fields, echo=True, stream_options={"include_usage": True})
    assert "".join(event["choices"][0]["text"] for event in events) == whole
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 20)


def test_score_is_that_of_score_text(client: TestClient, model: charlm.Predictor) -> None:
    """`/v1/score` gives the bits of each character."""
    text = TEXT[:5_000]
    answer = client.post("/v1/score", json={"text": text}).json()
    score = charlm.score_text(model, text)
    assert answer["bits"] == list(score.bits)
    assert answer["bits_per_character"] == score.bits_per_character
    assert "more text" in error_of(client.post("/v1/score", json={"text": "a"}))


def test_models_are_named(client: TestClient) -> None:
    """A model is named for its run; another name is an error that lists the names."""
    (described,) = client.get("/v1/models").json()["data"]
    assert described["id"] == "novel"
    assert client.get("/v1/models/novel").json() == described
    error_of(client.get("/v1/models/x"), 404)
    assert "novel" in error_of(complete(client, model="gpt", prompt="a"), 404)
    assert complete(client, model="novel", prompt="a").status_code == 200


def test_two_models_have_two_names(model: charlm.Predictor) -> None:
    """Two runs of one name cannot be told apart by clients: an error names both and the remedy."""
    with pytest.raises(CharlmError, match="called novel, too; rename one of them"):
        Offer.of([model, model])


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"prompt": "nul \x00"}, "U+0000"),
        ({"prompt": "emoji \U0001f600"}, "unknown"),
        ({"prompt": "x" * 100_001}, "100,000"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": []}, "empty"),
        ({"max_tokens": 10**7}, "100,000"),
        ({"max_tokens": 5_000, "logprobs": 5}, "4,000"),
        ({"max_tokens": 2_000, "logprobs": 5, "n": 3}, "4,000"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 17}, "16"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": 1, "echo": True}, "/v1/score"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": "a" * 101}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"suffix": "end"}, "not supported"),
        ({"unknown": "guess"}, "unknown"),
    ],
)
def test_wrong_fields_are_refused(client: TestClient, fields: dict[str, Any], word: str) -> None:
    """A request beyond a limit is refused with a line that names the field."""
    assert word in error_of(complete(client, **{"prompt": "a", **fields}))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"prompt": "lone \\ud800"}', 400),
        (b'{"prompt": "' + b"x" * 1_000_000 + b'"}', 413),
        (b"[" * 600_000, 400),
        (b'{"temperature": NaN}', 400),
        (b'{"seed": ' + b"9" * 5_000 + b"}", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"", 400),
        (b'{"\\ud800": 1}', 400),
        (b'{"prompt": "\xed\xa0\x80"}', 400),
        (b'{"stop": "\\udc80"}', 400),
        (b'{"prompt": "a", "prompt": "b"}', 400),
        (b'{"a":' * 90_000, 400),
    ],
)
def test_hostile_bodies_are_refused(client: TestClient, body: bytes, status: int) -> None:
    """A body that is no request gets an error in the form of the API."""
    headers = {"Content-Type": "application/json"}
    error_of(client.post("/v1/completions", content=body, headers=headers), status)


def test_unknown_characters_have_policies(client: TestClient) -> None:
    """Unknown characters of a prompt are left out or mapped, where the request says so."""
    fields = {"seed": 1, "max_tokens": 30}
    skipped = text_of(client, prompt="The \x00\U0001f600", unknown="skip", **fields)
    assert skipped == text_of(client, prompt="The ", **fields)
    answer = complete(client, prompt="The \x00", unknown="map", echo=True, **fields).json()
    assert answer["choices"][0]["text"].startswith("The \ufffd")


def test_full_queue_is_refused(model: charlm.Predictor) -> None:
    """A request that finds no room in the queue gets status 429 at once, and no work."""
    limits = Limits(waiting_requests=1)
    with TestClient(make_app(Offer.of([model], limits)), ADDRESS) as client:
        response = complete(client, prompt=["a", "a"])
        assert "busy" in error_of(response, 429)
        assert response.headers["retry-after"] == "1"
        assert complete(client, prompt="a").status_code == 200


def test_long_requests_end(model: charlm.Predictor) -> None:
    """A request that takes longer than it may ends with an error, in a stream, too."""
    limits = Limits(request_seconds=0.05)
    with TestClient(make_app(Offer.of([model], limits)), ADDRESS) as client:
        fields = {"prompt": "a", "max_tokens": 100_000}
        assert "fewer characters" in error_of(complete(client, **fields), 503)
        assert '"code":"timeout"' in complete(client, stream=True, **fields).text


def test_broken_model_says_so(model: charlm.Predictor) -> None:
    """A server starts with a model whose output is not finite, and its requests get the error."""
    broken = replace(model, model=deepcopy(model.model), opening=None)
    with torch.no_grad():
        for weights in broken.model.parameters():
            weights.fill_(math.nan)
    with TestClient(make_app(Offer.of([broken])), ADDRESS) as client:
        assert "not finite" in error_of(complete(client, prompt="a"), 500)
        assert "not finite" in complete(client, prompt="a", stream=True).text


def test_byte_model_writes_characters(tmp_path: Path) -> None:
    """A stream of a byte model never divides a character."""
    path = tmp_path / "text.txt"
    path.write_text("äöü€ 日本語\n" * 400, "utf-8")
    run = train(path, tmp_path, "training.steps=3", "corpus.unit=byte")
    model = charlm.load(run.path)
    with TestClient(make_app(Offer.of([model])), ADDRESS) as client:
        expected = charlm.generate_text(model, "ä", seed=2, length=200)
        shutil.rmtree(run.path)  # a model that is served needs its files no more
        events = events_of(client, prompt="ä", seed=2, max_tokens=200)
        assert "".join(event["choices"][0]["text"] for event in events) == expected
        assert "bytes" in error_of(complete(client, prompt="ä", logprobs=1))
        for name, field in (("completions", "prompt"), ("score", "text"), ("copied", "text")):
            body = b'{"%s": "a\\ud800b"}' % field.encode()
            headers = {"Content-Type": "application/json"}
            response = client.post(f"/v1/{name}", content=body, headers=headers)
            assert "lone surrogate" in error_of(response)
