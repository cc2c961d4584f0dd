"""The page to write with, as the server sends it."""

import re
from functools import cache
from html import unescape

from charlm.pages.page import render

_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


@cache
def writing_page() -> str:
    """Return the page as HTML; it has no data of a run, so that it needs no token."""
    return render(
        "writing.html",
        styles=("writing.css",),
        scripts=(
            "fields.js",
            "writing_branches.js",
            "writing_server.js",
            "writing_drawing.js",
            "writing.js",
        ),
        asks_server=True,
    )


def page_headers(html: str) -> dict[str, str]:
    """Return the headers of a page: its own policy, and that no other page may frame it."""
    match = _POLICY.search(html)
    assert match is not None, "base.html has a policy"
    return {"Content-Security-Policy": f"{unescape(match[1])}; frame-ancestors 'none'"}
