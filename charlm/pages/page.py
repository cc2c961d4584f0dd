"""Render a page that stands alone: one HTML file with its styles, scripts and data.

A Content-Security-Policy names the hashes of the page's own styles and scripts. So the browser runs
nothing else, whatever a text contains, and sends no request. A template extends `base.html`, and
has its blocks `title` and `main`.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from charlm.environment.version import charlm_version
from charlm.errors import CharlmError, file_errors
from charlm.files.atomic import write_whole

_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML or UTF-8 cannot hold."""
_ENDS_OF_ELEMENTS = re.compile(r"</(?:script|style)|<!--", re.IGNORECASE)


def render(
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Mapping[str, object] | None = None,
    asks_server: bool = False,
    runs_webassembly: bool = False,
    **values: object,
) -> str:
    """Render a template of `templates/` as a whole page.

    `styles` and `scripts` are files of `templates/`, which follow those of all pages. `data` are
    objects for the scripts, by the id of the element that holds them as JSON. `values` are for the
    template: text is escaped, and only `Markup` is left as is. Characters that a page cannot
    hold, such as NUL and lone surrogates, become U+FFFD. With `asks_server`, the scripts may send
    requests to the server from which the page comes; with `runs_webassembly`, they may compile it.
    """
    style = _joined(("base.css", *styles))
    script = _joined(("base.js", *scripts))
    page = _environment().get_template(template)
    html = page.render(
        policy=_policy(style, script, asks_server, runs_webassembly),
        style=Markup(style),
        script=Markup(script),
        data={name: json_element(value) for name, value in (data or {}).items()},
        charlm_version=charlm_version(),
        **values,
    )
    return _REFUSED.sub("\N{REPLACEMENT CHARACTER}", html)


def write_page(path: Path, html: str, *, is_new: bool = True) -> None:
    """Write a page to a file atomically; with `is_new`, the file must not exist."""
    with file_errors("be written", path, "choose another file", CharlmError):
        write_whole(path, html.encode(), is_new=is_new)


def json_element(value: object) -> Markup:
    """Return JSON for a `<script type="application/json">`: in ASCII, without `<`, `>` and `&`."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("charlm.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _joined(names: tuple[str, ...]) -> str:
    """Return files of `templates/` as one text that is safe inside an element."""
    folder = files("charlm.pages") / "templates"
    text = "\n".join((folder / name).read_text("utf-8") for name in names)
    assert not _ENDS_OF_ELEMENTS.search(text), f"{names} would end their element"
    return text


def _policy(style: str, script: str, asks_server: bool, runs_webassembly: bool) -> str:
    """Return a policy that allows one style, one script, and what the flags state."""
    rules: dict[str, Any] = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script) + (" 'wasm-unsafe-eval'" if runs_webassembly else ""),
        "img-src": "data:",
        **({"connect-src": "'self'"} if asks_server else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
