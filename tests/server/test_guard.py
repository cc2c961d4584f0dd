"""What the server refuses: foreign hosts and origins, and requests without the token."""

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from charlm.server.app import make_app
from charlm.server.guard import Guard, is_own_host
from charlm.server.offer import Offer
from charlm.server.page import writing_page

TOKEN = "correct-horse-battery"


def guarded(host: str = "127.0.0.1", token: str | None = None) -> TestClient:
    app = Guard(PlainTextResponse("passed"), host, token)
    return TestClient(app, "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST", 200),
        ("attacker.example:8000", 403),
        ("127.0.0.1.attacker.example", 403),
        ("localhost.attacker.example:8000", 403),
        ("192.168.1.2:8000", 403),
        ("", 403),
    ],
)
def test_foreign_hosts_are_refused(host: str, status: int) -> None:
    """Only names of this machine pass, so that another name bound to its address does not."""
    assert guarded().get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://127.0.0.1:8001", 403),
        ("http://attacker.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_foreign_origins_are_refused(origin: str, status: int) -> None:
    """Pages of other origins are refused, and nothing allows them to read."""
    response = guarded().post("/v1/completions", headers={"Origin": origin})
    assert response.status_code == status
    assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = guarded().options("/v1/completions", headers={"Origin": "http://attacker.example"})
    assert preflight.status_code == 403


def test_names_have_no_case() -> None:
    """A browser writes the Origin in small letters, whatever the name of the Host is."""
    headers = {"Host": "LocalHost:8000", "Origin": "http://localhost:8000"}
    assert guarded().post("/v1/completions", headers=headers).status_code == 200


def test_token_opens_the_api() -> None:
    """With a token, requests need it; only the page itself does not."""
    client = guarded("0.0.0.0", TOKEN)
    assert client.get("/").status_code == 200
    for header in ("", TOKEN, f"Bearer {TOKEN}x", "Bearer ", "Bearer é"):
        response = client.get("/v1/models", headers=[(b"Authorization", header.encode())])
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
    good = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/models", headers=good).status_code == 200


def test_open_server_accepts_addresses() -> None:
    """A server at all addresses accepts any address, but no name beside the machine's."""
    assert is_own_host("192.168.1.2:8000", "0.0.0.0")
    assert is_own_host("[fe80::1]:8000", "::")
    assert not is_own_host("attacker.example:8000", "0.0.0.0")
    assert is_own_host("box.lan:8000", "box.lan")


def test_responses_have_safe_headers() -> None:
    """Every response has the security headers, and the page only its own policy."""
    with TestClient(make_app(Offer.of([])), "http://localhost:8000") as client:
        for path, status in (("/", 200), ("/v1/models", 200), ("/none", 404)):
            response = client.get(path)
            assert response.status_code == status
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        policy = client.get("/").headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy
        assert client.get("/").text == writing_page()
        wrong = client.get("/v1/completions")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        plain = client.post(
            "/v1/completions", content=b"{}", headers={"Content-Type": "text/plain"}
        )
        assert plain.status_code == 415
