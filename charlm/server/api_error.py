"""Errors in the form of the OpenAI API."""

import json
from typing import Any

from starlette.responses import Response


class ApiError(Exception):
    """A request that the server refuses: a status, and a line with the remedy."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def to_json(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, kind)
        fields = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": fields}

    def response(self) -> Response:
        headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
        return json_response(self.to_json(), self.status, headers.get(self.status))


def json_bytes(value: object) -> bytes:
    """Return JSON in ASCII: so lone surrogates in a text are no obstacle."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def json_response(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a response with JSON."""
    return Response(json_bytes(value), status, headers, media_type="application/json")
