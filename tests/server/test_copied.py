"""`/v1/copied`: what a text has in common with the training text, and what it does not tell."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient
from support.texts import TEXT
from support.training import train

import charlm
from charlm.server.app import make_app
from charlm.server.limits import Limits
from charlm.server.offer import Offer

ADDRESS = "http://127.0.0.1:8000"
FOREIGN = "§\U0001f600§"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> charlm.Predictor:
    return charlm.load(train(path, path.parent, "training.steps=2", name="novel").path)


@pytest.fixture(scope="module")
def client(model: charlm.Predictor) -> Iterator[TestClient]:
    with TestClient(make_app(Offer.of([model])), ADDRESS) as client:
        yield client


def copied(client: TestClient, text: str, **fields: Any) -> Response:
    return client.post("/v1/copied", json={"text": text, **fields})


def spans(response: Response, text: str) -> list[str]:
    """Return the text of each span."""
    assert response.status_code == 200, response.text
    found = response.json()["spans"]
    return [text[one["start"] : one["start"] + one["length"]] for one in found]


def test_copies_are_found(client: TestClient) -> None:
    """Sentences of the training text are found where they stand, in characters."""
    one, other = TEXT[50:90], TEXT[300:329]
    text = f"{FOREIGN}{one}{FOREIGN}{other}{FOREIGN}"
    assert spans(copied(client, text, least=40), text) == [one]
    assert spans(copied(client, text, least=29), text) == [one, other]
    assert spans(copied(client, text), text) == [one]
    assert spans(copied(client, ""), "") == []


def test_answer_tells_only_places(client: TestClient) -> None:
    """The answer has the positions of spans, and no text."""
    answer = copied(client, TEXT[50:90] + FOREIGN).json()
    assert answer == {
        "object": "copied_spans",
        "model": "novel",
        "least": 30,
        "characters": 40 + len(FOREIGN),
        "spans": [{"start": 0, "length": 40}],
    }


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"least": 19}, "20"),
        ({"least": 1_001}, "1000"),
        ({"text": "a" * 100_001}, "100,000"),
        ({"text": None}, "text"),
        ({"model": "x"}, "novel"),
    ],
)
def test_wrong_searches_are_refused(client: TestClient, fields: dict[str, Any], word: str) -> None:
    """Short spans, which would help to guess the text, and long texts are refused."""
    response = client.post("/v1/copied", json={"text": "a", **fields})
    assert response.status_code in (400, 404)
    assert word in response.json()["error"]["message"]


def test_missing_text_is_said(model: charlm.Predictor, path: Path, tmp_path: Path) -> None:
    """Without the training text, or with one that is too long, an error says so, and no path."""
    text = tmp_path / "own.txt"
    text.write_text(TEXT + "More.\n", "utf-8")
    run = train(text, tmp_path, "training.steps=2", name="moved")
    other = text.rename(tmp_path / "elsewhere.txt")
    moved = charlm.load(run.path)
    offers = [
        Offer.of([moved]),
        Offer.of([replace(model, checkpoint=None)]),
        Offer.of([model], Limits(searched_characters=100)),
    ]
    for offer in offers:
        with TestClient(make_app(offer), ADDRESS) as client:
            for _ in range(2):
                response = copied(client, TEXT[50:90])
                assert response.status_code == 409
                error = response.json()["error"]
                assert error["code"] == "training_text_unavailable"
                assert str(tmp_path) not in error["message"]
    with TestClient(make_app(Offer.of([moved], training_text=str(other))), ADDRESS) as client:
        assert spans(copied(client, TEXT[50:90]), TEXT[50:90]) == [TEXT[50:90]]


def test_bytes_become_characters(tmp_path: Path) -> None:
    """The spans of a byte model are of whole characters."""
    text = "".join(chr(0xE4 + n % 7) + "日本語"[n % 3] for n in range(4_000))
    path = tmp_path / "text.txt"
    path.write_text(text, "utf-8")
    run = train(path, tmp_path, "training.steps=2", "corpus.unit=byte")
    with TestClient(make_app(Offer.of([charlm.load(run.path)])), ADDRESS) as client:
        query = f"ü!{text[100:140]}ü"
        assert spans(copied(client, query, least=60), query) == [text[100:140]]
