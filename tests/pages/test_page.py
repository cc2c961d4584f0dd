"""A page is one file: its policy allows its own styles and scripts, and text stays text."""

import json
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, UndefinedError

from charlm.errors import CharlmError
from charlm.pages import page
from charlm.pages.page import render, write_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x00\ud800\u202e&amp;'\""


class Elements(HTMLParser):
    """Collects the elements of a page, and the text of each before the next tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._is_open = False
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self._is_open = True

    def handle_endtag(self, tag: str) -> None:
        self._is_open = False

    def handle_data(self, data: str) -> None:
        if self._is_open:
            tag, attributes, text = self.found[-1]
            self.found[-1] = tag, attributes, text + data


@pytest.fixture(autouse=True)
def template(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a template that has all that a page can have."""
    real = page._environment()
    source = (
        '{% extends "base.html" %}{% block title %}{{ name }}{% endblock %}'
        '{% block main %}<p title="{{ name }}">{{ name }}</p>{% endblock %}'
    )

    def environment() -> Environment:
        own = real.overlay(
            loader=DictLoader({"own.html": source, "base.html": _source(real, "base.html")})
        )
        own.cache = None
        return own

    monkeypatch.setattr(page, "_environment", environment)


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def test_text_from_anywhere_is_text() -> None:
    """Mark-up in a value or in data makes no element, and what UTF-8 cannot hold is replaced."""
    html = render("own.html", name=HOSTILE, data={"text": [HOSTILE, "<!--", "\u2028"]})
    elements = Elements(html.encode().decode()).found
    plain = Elements(render("own.html", name="plain", data={"text": []})).found
    assert [tag for tag, _, _ in elements] == [tag for tag, _, _ in plain]
    (shown,) = (text for tag, _, text in elements if tag == "p" and "alert" in text)
    assert shown == HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    (held,) = (text for _, attributes, text in elements if attributes.get("id") == "text")
    assert json.loads(held) == [HOSTILE, "<!--", "\u2028"]


@pytest.mark.parametrize("runs_webassembly", [False, True])
def test_the_policy_names_the_page_s_own(runs_webassembly: bool) -> None:
    """The hashes are those of the style and the script; every other source is refused.

    A page compiles WebAssembly only if it is made to.
    """
    html = render("own.html", name="page", data={"text": 1}, runs_webassembly=runs_webassembly)
    elements = Elements(html).found
    (policy,) = (
        attributes["content"]
        for _, attributes, _ in elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    for tag in ("style", "script"):
        (text,) = (
            text
            for name, attributes, text in elements
            if name == tag and "json" not in str(attributes.get("type"))
        )
        digest = b64encode(sha256(text.encode()).digest()).decode()
        webassembly = " 'wasm-unsafe-eval'" if tag == "script" and runs_webassembly else ""
        assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'{webassembly}"
    assert not rules


def test_a_page_asks_for_no_other_file() -> None:
    """No element, style or script names an address."""
    html = render("own.html", name="page")
    for _, attributes, text in Elements(html).found:
        named = [attributes.get(name) for name in ("src", "srcset", "action", "poster")]
        assert named == [None] * 4
        assert not str(attributes.get("style", "")), "the policy refuses it"
        assert attributes.get("href") in (None, "#main", "data:,")
        assert not re.search(r"url\(|@import|fetch\(|XMLHttp|https?:", text)


def test_types_of_scripts_are_checked() -> None:
    """The JSDoc types of the scripts agree with what they do."""
    if shutil.which("tsc") is None:
        pytest.skip("tsc is not installed")
    options = "--noEmit --allowJs --checkJs --strict --target es2023 --lib es2023,dom,dom.iterable"
    scripts = (Path(page.__file__).parent / "templates").glob("*.js")
    command = ["tsc", *options.split(), *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_missing_value_is_a_bug() -> None:
    """A template that names a value that it does not get raises, and prints no empty text."""
    with pytest.raises(UndefinedError):
        render("own.html")


def test_data_that_is_not_finite_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render("own.html", name="page", data={"text": [float("nan")]})


def test_a_page_replaces_no_file_unasked(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "é")
    assert path.read_bytes() == "é".encode()
    with pytest.raises(CharlmError, match=r"page\.html: could not be written"):
        write_page(path, "b")
    assert path.read_bytes() == "é".encode()
    write_page(path, "b", is_new=False)
    assert path.read_bytes() == b"b"
