"""The application: its routes, its errors, and the worker thread that lives as long as it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from charlm.server.api_error import ApiError, json_response
from charlm.server.completion_body import CompletionBody, make_completion
from charlm.server.completions import completions
from charlm.server.copied import copied
from charlm.server.following import Followed, follow
from charlm.server.guard import Guard
from charlm.server.offer import Offer
from charlm.server.page import page_headers, writing_page
from charlm.server.scores import score

_ENDING_SECONDS = 1.0
_FIRST_CHARACTERS = 8
_POSTED = "/v1/completions, /v1/score and /v1/copied"


def make_app(offer: Offer, *, host: str = "127.0.0.1", token: str | None = None) -> ASGIApp:
    """Return the application that serves an offer.

    `host` is the address at which it is served, `token` the secret that requests must send.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        offer.worker.start()
        await _warm_up(offer)
        yield
        offer.worker.end()
        offer.worker.join(_ENDING_SECONDS)

    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/v1/models", _models),
            Route("/v1/models/{name}", _model),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/score", score, methods=["POST"]),
            Route("/v1/copied", copied, methods=["POST"]),
        ],
        exception_handlers={ApiError: _refuse, HTTPException: _refuse_path},
        lifespan=lifespan,
    )
    app.state.offer = offer
    return Guard(app, host, token)


async def _warm_up(offer: Offer) -> None:
    """Generate some characters with each model, so that the first request waits for no loading.

    A model whose output is not finite says so to those who ask it.
    """
    for served in offer.models.values():
        followed = Followed(asyncio.get_running_loop())
        body = CompletionBody.model_validate({"max_tokens": _FIRST_CHARACTERS})
        works = make_completion(body, served, offer.limits, followed.notify).works
        offer.worker.submit([*works])
        with suppress(ApiError):
            async for _ in follow(works, followed):
                pass


async def _page(request: Request) -> Response:
    html = writing_page()
    return HTMLResponse(html, headers=page_headers(html))


async def _models(request: Request) -> Response:
    offer: Offer = request.app.state.offer
    data = [_described(name, offer) for name in offer.models]
    return json_response({"object": "list", "data": data})


async def _model(request: Request) -> Response:
    offer: Offer = request.app.state.offer
    name = request.path_params["name"]
    if name not in offer.models:
        raise ApiError(404, f"there is no model {name[:80]!a}", "model", "model_not_found")
    return json_response(_described(name, offer))


def _described(name: str, offer: Offer) -> dict[str, object]:
    served = offer.models[name]
    generation = served.predictor.config.generation
    return {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "charlm",
        "unit": served.predictor.vocabulary.unit,
        "parameters": served.predictor.model.num_parameters,
        "defaults": {
            "max_tokens": generation.length,
            "temperature": 0.0 if generation.greedy else generation.temperature,
            "top_p": generation.top_p,
        },
    }


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _refuse_path(request: Request, error: Exception) -> Response:
    """Answer a path or method that does not exist."""
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: the paths are /, /v1/models, {_POSTED}"
    answer = ApiError(error.status_code, message).to_json()
    return json_response(answer, error.status_code, dict(error.headers or {}))
