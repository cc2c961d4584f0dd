"""`POST /v1/score`: the bits of each character of a text."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from charlm.server.api_error import json_response
from charlm.server.bodies import Body, check_length, read_body
from charlm.server.following import completed
from charlm.server.offer import Offer
from charlm.server.served import choose
from charlm.server.work import Scoring


class ScoreBody(Body):
    """Fields of a request."""

    text: str
    model: str | None = None


async def score(request: Request) -> Response:
    """Answer with bits per character; unknown characters are scored as the unknown symbol."""
    offer: Offer = request.app.state.offer
    body = await read_body(request, ScoreBody, offer.limits)
    served = choose(offer.models, body.model)
    check_length(body.text, offer.limits)
    make = partial(
        Scoring,
        max_seconds=offer.limits.request_seconds,
        predictor=served.predictor,
        text=body.text,
    )
    work = await completed(offer.worker, make, request)
    assert work.score is not None
    return json_response(
        {
            "object": "text_score",
            "model": served.name,
            "text": work.score.text,
            "bits": list(work.score.bits),
            "characters": len(work.score),
            "bits_per_character": work.score.bits_per_character,
        }
    )
