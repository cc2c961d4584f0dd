"""`POST /v1/completions`: the response as one object, or as server-sent events."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from charlm.server.api_error import ApiError, json_bytes, json_response
from charlm.server.bodies import read_body
from charlm.server.choice import Piece
from charlm.server.completion_body import Completion, CompletionBody, make_completion
from charlm.server.following import Followed, follow, give_up
from charlm.server.offer import Offer
from charlm.server.served import choose
from charlm.server.work import Work


async def completions(request: Request) -> Response:
    """Answer a request for completions."""
    offer: Offer = request.app.state.offer
    body = await read_body(request, CompletionBody, offer.limits)
    followed = Followed(asyncio.get_running_loop())
    served = choose(offer.models, body.model)
    completion = make_completion(body, served, offer.limits, followed.notify)
    answer = _Answer(completion)
    offer.worker.submit([*completion.works])
    if body.stream:
        has_usage = body.stream_options is not None and body.stream_options.include_usage
        events = answer.events(followed, request, has_usage)
        return _Stream(events, completion.works)
    pieces: list[list[Piece]] = [[] for _ in completion.choices]
    async for _ in follow(completion.works, followed, request):
        for number, choice in enumerate(completion.choices):
            pieces[number] += choice.take()
    return json_response(answer.whole(pieces))


class _Stream(StreamingResponse):
    """Server-sent events; the works are given up when the response ends, also before it began.

    The events end themselves when the client leaves. So the response needs no task that waits for
    that beside them, which would cost more than an event.
    """

    def __init__(self, events: AsyncIterator[bytes], works: Sequence[Work]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._works = works

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.stream_response(send)
        finally:
            give_up(self._works)


class _Answer:
    """The parts of the answer to one request."""

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._decode = completion.served.predictor.vocabulary.decode
        self._echoed = [
            prompt
            for work, prompt in zip(completion.works, completion.prompts, strict=True)
            for _ in work.choices
        ]
        self._offsets = [0] * len(completion.choices)
        self._common = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": completion.served.name,
            "seed": completion.seed,
            **({"skipped": completion.skipped} if completion.skipped else {}),
        }

    def whole(self, pieces: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """Return the answer as one object."""
        choices = [
            self._choice(number, taken, self._echoed[number], choice.finish_reason)
            for number, (taken, choice) in enumerate(
                zip(pieces, self._completion.choices, strict=True)
            )
        ]
        return {**self._common, "choices": choices, "usage": self._completion.usage}

    async def events(
        self, followed: Followed, request: Request, has_usage: bool
    ) -> AsyncIterator[bytes]:
        """Yield an event whenever there is text, its last one with the reason why it ended."""
        finished = [False] * len(self._echoed)
        if self._completion.has_echo:
            for number, text in enumerate(self._echoed):
                yield self._event([self._choice(number, [], text, None)])
        try:
            async for _ in follow(self._completion.works, followed, request):
                for number, choice in enumerate(self._completion.choices):
                    reason, taken = choice.finish_reason, choice.take()
                    if not finished[number] and (taken or reason):
                        finished[number] = reason is not None
                        yield self._event([self._choice(number, taken, "", reason)])
        except ApiError as reason:
            yield _sent(reason.to_json())
            return
        if has_usage:
            yield self._event([], usage=self._completion.usage)
        yield b"data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        return _sent({**self._common, "choices": choices, **more})

    def _choice(
        self, number: int, pieces: Sequence[Piece], echoed: str, reason: str | None
    ) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        logprobs = self._logprobs(number, pieces) if self._completion.has_likeliest else None
        self._offsets[number] += len(text)
        return {
            "index": number,
            "text": echoed + text,
            "logprobs": logprobs,
            "finish_reason": reason,
        }

    def _logprobs(self, number: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return the probabilities in the form of the API: a token is a character."""
        offset, offsets = self._offsets[number], []
        for piece in pieces:
            offsets.append(offset)
            offset += len(piece.text)
        details = [piece.likeliest for piece in pieces if piece.likeliest is not None]
        return {
            "tokens": [piece.text for piece in pieces],
            "token_logprobs": [one.nats for one in details],
            "top_logprobs": [
                dict(zip(map(self._symbol, one.ids), one.log_probabilities, strict=True))
                for one in details
            ],
            "text_offset": offsets,
        }

    def _symbol(self, one: int) -> str:
        return self._decode([one])


def _sent(value: dict[str, Any]) -> bytes:
    return b"data: " + json_bytes(value) + b"\n\n"
