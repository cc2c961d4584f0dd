"""`POST /v1/copied`: where a text copies the training text of a model.

The answer has positions in the client's text, and nothing of the training text. A client learns
whether what it has sent stands there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from charlm.analysis.copied_spans import CopiedSpans
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.server.api_error import json_response
from charlm.server.bodies import Body, check_length, read_body
from charlm.server.following import completed
from charlm.server.offer import Offer
from charlm.server.served import choose
from charlm.server.work import Work

_FEWEST_CHARACTERS, _MOST_CHARACTERS = 20, 1_000
"""Bounds of `least`: shorter passages are everywhere, and would help to guess a text."""


class CopiedBody(Body):
    """Fields of a request."""

    text: str
    model: str | None = None
    least: int = Field(30, ge=_FEWEST_CHARACTERS, le=_MOST_CHARACTERS)
    """Length from which a span counts, in characters (bytes, of a byte model)."""


@dataclass(eq=False)
class Search(Work):
    """A text to search for copied spans."""

    spans: CopiedSpans = field(kw_only=True)
    _is_finished: bool = False

    @property
    def is_finished(self) -> bool:
        return self._is_finished

    def steps(self) -> Iterator[None]:
        yield from self.spans.steps()
        self._is_finished = True
        self.on_change()


async def copied(request: Request) -> Response:
    """Answer with the spans of a text that stand in the training split of a model."""
    offer: Offer = request.app.state.offer
    body = await read_body(request, CopiedBody, offer.limits)
    served = choose(offer.models, body.model)
    check_length(body.text, offer.limits)
    index = await offer.texts.of(served)
    vocabulary = served.predictor.vocabulary
    spans = CopiedSpans(index, _ids_of(body.text, vocabulary), body.least)
    make = partial(Search, max_seconds=offer.limits.request_seconds, spans=spans)
    await completed(offer.worker, make, request)
    found = spans.found
    if vocabulary.unit == "byte":
        found = _whole_characters(body.text, found)
    return json_response(
        {
            "object": "copied_spans",
            "model": served.name,
            "least": body.least,
            "characters": len(body.text),
            "spans": [{"start": start, "length": end - start} for start, end in found],
        }
    )


def _ids_of(text: str, vocabulary: Vocabulary) -> Ids:
    """Return the ids of a text as it is: its characters keep their places."""
    if vocabulary.unit == "byte":
        return np.frombuffer(text.encode(), np.uint8)
    return vocabulary.encode(vocabulary.symbols_of(text))


def _whole_characters(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turn spans of bytes into those of the characters that are wholly in them."""
    widths = [len(character.encode()) for character in text]
    starts = np.cumsum([0, *widths])
    first = np.searchsorted(starts, [start for start, _ in spans], "left").tolist()
    last = (np.searchsorted(starts, [end for _, end in spans], "right") - 1).tolist()
    return [(one, other) for one, other in zip(first, last, strict=True) if one < other]
