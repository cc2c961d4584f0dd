"""Refuse requests that a foreign page could send through the user's browser, or without the token.

A page of another site may resolve its own name to this address (DNS rebinding): then the Host
header has that name. It may send requests across sites: then the Origin header has its own. The
server sends no CORS header, so that such a page cannot read anything.
"""

import hmac
import ipaddress
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charlm.server.api_error import ApiError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_OPEN_PATHS = frozenset({"/"})
"""Paths without secrets: the page asks for the token itself."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""Policy of responses that are no page; a page has its own."""


class Guard:
    """Checks the Host, the Origin and the token of each request, and adds security headers."""

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        self._app, self._host, self._token = app, host, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["path"])
        except ApiError as reason:
            await reason.response()(scope, receive, send_safely)
            return
        await self._app(scope, receive, send_safely)

    def _check(self, headers: Headers, path: str) -> None:
        """Raise `ApiError` for a request that must not pass."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not is_own_host(hosts[0], self._host):
            raise ApiError(403, "the Host header is not this server's; use the address it printed")
        if any(origin.lower() not in _origins(hosts[0].lower()) for origin in origins):
            raise ApiError(403, "requests from pages of another origin are refused")
        if self._token is not None and path not in _OPEN_PATHS:
            given = headers.get("authorization", "").encode("utf-8", "surrogateescape")
            expected = f"Bearer {self._token}".encode()
            if not hmac.compare_digest(given, expected):
                message = "the token is missing or wrong; send Authorization: Bearer TOKEN"
                raise ApiError(401, message, code="invalid_api_key")


def is_own_host(header: str, host: str) -> bool:
    """Return whether a Host header names the server that listens at `host`.

    A server that listens at all addresses accepts any address, which no name can be bound to, and
    its own host name.
    """
    name = header.rsplit(":", 1)[0] if not header.endswith("]") else header
    name = name.strip("[]").lower()
    if name == host.lower():
        return True
    if is_loopback(host):
        return name in LOOPBACK_NAMES
    if host not in ("0.0.0.0", "::"):
        return False
    own = socket.gethostname().lower()
    if name in {"localhost", own, f"{own}.local"}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origins(host: str) -> set[str]:
    return {f"http://{host}", f"https://{host}"}
