"""Read the body of a request: bounded in size and time, JSON with the fields of a model."""

import asyncio
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request

from charlm.server.api_error import ApiError
from charlm.server.limits import Limits

_DISCARDED_SIZES = 8
"""Multiple of the limit up to which a larger body is read, so that the client gets the error."""


class Body(BaseModel):
    """Fields of a request; an unknown one is an error, which is better than to ignore it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


AnyBody = TypeVar("AnyBody", bound=Body)


async def read_body(request: Request, kind: type[AnyBody], limits: Limits) -> AnyBody:
    """Return the fields of a request; raises `ApiError` for one that is too long or invalid."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise ApiError(415, "the body must be JSON: send Content-Type: application/json")
    try:
        async with asyncio.timeout(limits.body_seconds):
            body = await _bounded(request, limits.body_bytes)
    except TimeoutError:
        raise ApiError(
            408, f"the body took over {limits.body_seconds:g} s; send it again"
        ) from None
    except ClientDisconnect:
        raise ApiError(400, "the client went away") from None
    try:
        fields = json.loads(body, object_pairs_hook=_object)
        json.dumps(fields, ensure_ascii=False).encode()
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply; send a plain object") from None
    except UnicodeEncodeError:
        raise ApiError(400, "the body has a lone surrogate; send whole characters") from None
    except ValueError as reason:
        why = str(reason).splitlines()[0][:200]
        raise ApiError(400, f"the body is not JSON: {ascii(why)[1:-1]}") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "the body must be a JSON object")
    return _validated(fields, kind)


def check_length(text: str, limits: Limits) -> None:
    """Raise `ApiError` for a text that is longer than a prompt may be."""
    if len(text) > (most := limits.prompt_characters):
        message = f"text: {len(text):,} characters are too many; send at most {most:,}"
        raise ApiError(400, message, "text", "text_too_large")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raises `ValueError` for a key that occurs twice: one would be ignored."""
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"the key {key[:40]!r} occurs twice")
        fields[key] = value
    return fields


async def _bounded(request: Request, most: int) -> bytes:
    body = bytearray()
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= most:
            body += piece
        elif size > _DISCARDED_SIZES * most:
            break
    if size > most:
        raise ApiError(413, f"the body is over {most:,} bytes; send less", code="body_too_large")
    return bytes(body)


def _validated(fields: dict[str, Any], kind: type[AnyBody]) -> AnyBody:
    try:
        return kind.model_validate(fields)
    except ValidationError as reason:
        first = reason.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ascii(str(first["loc"][0]))[1:-1][:80] if first["loc"] else None
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            message = f"{name}: not supported; omit it (supported: {known})"
        else:
            message = f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise ApiError(400, message, param=name) from None
