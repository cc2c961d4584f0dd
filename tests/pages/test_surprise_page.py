"""The page of a text: its data, in Python and in a browser, where text from anywhere is text."""

import base64
import json
import math
import re
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import assert_quiet, barriers, open_file, prefer, press, resize, texts, wait
from support.commands import refused, run
from support.texts import TEXT
from support.training import TINY, train

import charlm
from charlm.analysis.surprise import Surprise
from charlm.pages.page import write_page
from charlm.pages.shown_characters import shown
from charlm.pages.surprise import STEPS, quantised, surprise_page

HOSTILE = (
    "</script><script>document.title='owned'</script>\n"
    "<img src=x onerror=\"document.title='owned'\">&lt;\n"
    "bidi \u202eover\u202c \u2066left open\n"
    "nul \x00 tab\tend \u2028 \u200b\n"
    "עברית (12) abc\nالعربية 123\n"
    "cafe\u0301 \u0301start\n"
    "👨‍👩‍👧 🏳️‍🌈 👍🏽 🇩🇪 end\n日本語\n"
)
RAW = b"raw \xff\xed\xa0\x80 bytes\n"
CODES = {"\u202e": "U+202E", "\x00": "U+0000", "\n": "↵", "\udcff": "<0xFF>", "\u2028": "U+2028"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> charlm.Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text(TEXT, "utf-8")
    settings = ("training.steps=20", "corpus.unit=byte", "training.learning_rate=0.01")
    return charlm.load(train(path, folder, *settings).path)


def found(model: charlm.Predictor, folder: Path, text: bytes) -> Surprise:
    path = folder / "<b>.txt"
    path.write_bytes(text)
    return charlm.surprise(model, path)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> charlm.Predictor:
    folder = tmp_path_factory.mktemp("records")
    names = folder / "names.txt"
    names.write_text("anna\nbob\nzoe\n" * 60, "utf-8")
    settings = [*TINY, "training.steps=2"]
    return charlm.load(charlm.train("names", text=names, runs=folder, settings=settings).run)


def data_of(html: str) -> dict[str, Any]:
    """Return the data of a page, with its columns as the script restores them."""
    match = re.search(r'id="surprise">(.*?)</script>', html, re.DOTALL)
    assert match is not None
    data: dict[str, Any] = json.loads(match[1])
    whole, at, columns = zlib.decompress(base64.b64decode(data["columns"])), 0, {}
    for name, width in data["widths"]:
        rows = data["numLikeliest"] if name in ("likeliest", "shares") else 1
        kind = {1: "u1", 2: "<u2", 4: "<u4"}[width]
        columns[name] = np.frombuffer(whole, kind, rows * data["size"], at).reshape(rows, -1)
        at += rows * data["size"] * width
    assert at == len(whole)
    shares = np.cumsum(columns["shares"], axis=0, dtype=np.uint8)
    (ranks,), (bits,) = columns["ranks"].astype(int), columns["bits"]
    is_likely = (ranks >= 1) & (ranks <= len(shares))
    places = np.arange(data["size"])
    known = np.where(is_likely, shares[np.clip(ranks, 1, len(shares)) - 1, places], 0)
    return {**data, **columns, "shares": shares, "bits": (bits + known).astype(np.uint8)}


def test_the_page_holds_the_columns(model: charlm.Predictor, tmp_path: Path) -> None:
    """Text, ranks and alternatives are exact; bits and probabilities are within their step."""
    result = found(model, tmp_path, HOSTILE.encode() + RAW)
    data, text = data_of(surprise_page(result)), result.analysed
    assert "".join(data["symbols"][one] for one in data["characters"][0]) == text.text
    assert data["ranks"][0].tolist() == text.ranks.tolist()
    for place in range(1, len(text)):
        likely = [data["expected"][one] for one in data["likeliest"][:, place]]
        names = [name for name, _ in result.alternatives(place)]
        assert likely == [name if len(name) > 1 else shown(name) for name in names]
    step = 1 / STEPS
    for stored, bits in (
        (data["bits"], text.bits),
        (data["entropies"][0], text.entropies / math.log(2)),
    ):
        assert np.abs(stored / STEPS - np.sqrt(np.minimum(bits, 6.375**2))).max() <= step
    probabilities = 2.0 ** -((data["shares"] / STEPS) ** 2)
    assert np.abs(probabilities.T - text.probabilities)[1:].max() < 0.02


def test_quantised_bits_end_at_forty() -> None:
    """Values between two steps go to the nearer one; higher ones are the last one."""
    assert quantised(np.array([0.0, 1.0, 4.0, 40.6, 99.0])).tolist() == [0, 40, 80, 255, 255]


@pytest.mark.parametrize(("character", "name"), CODES.items())
def test_invisible_characters_have_a_code(character: str, name: str) -> None:
    assert shown(character) == name
    assert all(shown(one) == one for one in "aé日\t\u0301\u200d👍")


def test_records_are_shown_as_in_their_file(records: charlm.Predictor, tmp_path: Path) -> None:
    """Without the boundary that a model reads before the first, so that all are predicted."""
    result = found(records, tmp_path, b"bob\nxqz\n")
    data = data_of(surprise_page(result))
    assert "".join(data["symbols"][one] for one in data["characters"][0]) == "bob\nxqz\n"
    assert data["predictedFrom"] == 0
    assert data["ranks"][0].tolist() == result.analysed.ranks[1:].tolist()
    assert "; 8 characters" in surprise_page(result)
    assert re.sub("<.*?>", "", result._repr_html_()).endswith("characterbob\nxqz\n")


def test_pages_of_long_texts_are_small(model: charlm.Predictor, tmp_path: Path) -> None:
    """A million characters need fewer than 10 MB: here a tenth of them, as hard as real text."""
    result = found(model, tmp_path, TEXT.encode()[:3000])
    text, random = result.analysed, np.random.default_rng(0)
    places = random.permutation(np.resize(np.arange(1, len(text)), 100_000))
    columns = ("starts", "nats", "ranks", "entropies", "likeliest", "probabilities")
    longer = {name: getattr(text, name)[places] for name in columns}
    characters = "".join(text.text[place] for place in places)
    assert len(surprise_page(Surprise(replace(text, text=characters, **longer)))) < 1_100_000


def test_the_command_writes_a_new_file(model: charlm.Predictor, tmp_path: Path) -> None:
    """It prints the path, and refuses an existing file and the other outputs."""
    file, page = tmp_path / "text.txt", tmp_path / "page.html"
    file.write_text("the rain\n", "utf-8")
    shown = run("surprise", model.path, file, "--html", page, "-q")
    assert (shown.exit_code, shown.stdout) == (0, f"{page}\n")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    refused(run("surprise", model.path, file, "--html", page), "page.html: exists already")
    refused(run("surprise", model.path, file, "--html", tmp_path / "b", "--csv"), "--html excludes")


# In a browser


@pytest.fixture
def opened(driver: Any, model: charlm.Predictor, tmp_path: Path) -> Any:
    """A page of a hostile text, opened; its scripts raise nothing, and ask for nothing."""
    open_page(driver, found(model, tmp_path, HOSTILE.encode() + RAW), tmp_path)
    yield driver
    assert_quiet(driver)


def open_page(driver: Any, surprise: Surprise, folder: Path) -> None:
    write_page(folder / "page.html", surprise_page(surprise))
    open_file(driver, folder / "page.html")
    wait(driver, "document.getElementById('text').getAttribute('aria-busy') === 'false'")
    wait(driver, "document.querySelector('[data-at]')")


def test_hostile_text_is_text(opened: Any) -> None:
    """Mark-up runs nothing; invisible characters show their codes; clusters stay whole."""
    assert opened.title == "Surprise: <b>.txt"
    assert texts(opened, "#text img, #text script, main b, header b") == []
    lines = texts(opened, ".line")
    expected = (HOSTILE.encode() + RAW).decode("utf-8", "surrogateescape")
    for line, wanted in zip(lines, expected.split("\n"), strict=False):
        if not any(one in wanted for one in CODES):
            assert line == f"{wanted}↵"
    assert {"U+202E", "U+2066", "U+0000", "<0xFF>", "<0xED>"} <= {*texts(opened, ".code")}
    assert {"👨‍👩‍👧", "🏳️‍🌈", "👍🏽", "🇩🇪", "e\u0301"} <= {*texts(opened, "[data-at]")}
    directions = opened.execute_script(
        "return [...document.querySelectorAll('.line')].map((e) => getComputedStyle(e).direction)"
    )
    assert [n for n, one in enumerate(directions) if one == "rtl"] == [4, 5]


def test_keys_go_to_the_next_surprise(opened: Any) -> None:
    """n and p move, the panel and the spoken line follow, and a click does the same."""
    opened.execute_script("document.getElementById('text').focus()")
    press(opened, "n")
    (first,) = texts(opened, ".here")
    figures = texts(opened, "#details p")[0]
    assert float(figures.split()[0]) >= 8
    assert len(texts(opened, "#details tr")) == 5
    assert texts(opened, "#spoken") == [f"{first}: {figures}"]
    press(opened, "n")
    assert texts(opened, "#details p")[1] != "line 1, column 1"
    press(opened, "p")
    assert texts(opened, ".here") == [first]
    opened.execute_script("document.querySelector('[data-at=\"3\"]').click()")
    assert texts(opened, "#details p")[1] == "line 1, column 4"
    for _ in range(2):
        press(opened, "\ue014")  # the arrow to the right
    assert texts(opened, "#details p")[1] == "line 1, column 6"
    press(opened, "\ue015")  # down
    assert texts(opened, "#details p")[1] == "line 2, column 6"


def test_keys_count_the_lines_of_records(
    driver: Any, records: charlm.Predictor, tmp_path: Path
) -> None:
    """The first line is the first record, and each of its characters has figures."""
    open_page(driver, found(records, tmp_path, b"bob\nxqz\n"), tmp_path)
    assert texts(driver, ".line") == ["bob↵", "xqz↵"]
    for at, place in enumerate(("line 1, column 1", "line 1, column 2")):
        driver.execute_script(f"document.querySelector('[data-at=\"{at}\"]').click()")
        assert texts(driver, "#details p")[1] == place
        assert texts(driver, "#details tr")


def test_pointing_shows_a_character(opened: Any) -> None:
    """The figures are those of the text."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    span = opened.find_element(By.CSS_SELECTOR, '[data-at="5"]')
    ActionChains(opened).move_to_element(span).perform()
    assert texts(opened, "#details h2") == ["i U+0069"]
    assert "rank" in texts(opened, "#details p")[0]
    assert texts(opened, ".here") == []


def test_the_colours_follow_the_measure(opened: Any) -> None:
    """Each choice has its own legend, and colours what is drawn."""
    classes = "return [...document.querySelectorAll('[data-at]')].map((e) => e.className)"
    seen = []
    for name in ("rank", "entropy", "bits"):
        opened.execute_script(f"document.querySelector('[value={name}]').click()")
        seen.append((opened.execute_script(classes), texts(opened, "#levels")))
        assert texts(opened, "#measure")[0].startswith(name)
    assert all(one[n] != other[n] for one, other in pairwise(seen) for n in (0, 1))


def test_search_finds_any_case(opened: Any) -> None:
    """Enter goes to the next match, which is marked; Shift+Enter goes back."""
    search = "document.getElementById('search')"
    opened.execute_script(f"{search}.focus()")
    press(opened, "SCRIPT")
    press(opened, "\ue007")
    assert texts(opened, "#status") == ["line 1, column 3"]
    assert "".join(texts(opened, ".found")) == "script"
    press(opened, "\ue007")
    assert texts(opened, "#status") == ["line 1, column 11"]
    opened.execute_script(f"{search}.value = 'absent'")
    press(opened, "\ue007")
    assert texts(opened, "#status") == ["not found"]


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phones_and_both_schemes(opened: Any, width: int, scheme: str) -> None:
    """Nothing is wider than the page; the switch changes what the system prefers."""
    resize(opened, width, 800)
    prefer(opened, scheme)
    assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert barriers(opened) == []
    before = opened.execute_script(ground)
    assert (before == "rgb(255, 255, 255)") == (scheme == "light")
    opened.execute_script("document.getElementById('dark').click()")
    assert opened.execute_script(ground) != before


def test_the_policy_refuses_requests(driver: Any, model: charlm.Predictor, tmp_path: Path) -> None:
    """A request, an image or a script that got into the page would stay unanswered."""
    open_page(driver, found(model, tmp_path, b"text"), tmp_path)
    driver.execute_async_script(
        "const done = arguments[0];"
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/a\">"
        '<p style="color: red" onclick="1">\');'
        "fetch('http://127.0.0.1:9/b').catch(() => setTimeout(done, 200))"
    )
    messages = [entry["message"] for entry in driver.get_log("browser")]
    for directive in ("img-src", "default-src", "style-src"):
        assert any("Content Security Policy" in one and directive in one for one in messages)


def test_an_old_browser_is_told(driver: Any, model: charlm.Predictor, tmp_path: Path) -> None:
    """Without DecompressionStream, the page says that it needs a newer browser."""
    command = "Page.addScriptToEvaluateOnNewDocument"
    added = driver.execute_cdp_cmd(command, {"source": "delete window.DecompressionStream"})
    write_page(tmp_path / "page.html", surprise_page(found(model, tmp_path, b"text")))
    driver.get((tmp_path / "page.html").as_uri())
    wait(driver, "document.getElementById('text').textContent.includes('a newer one')")
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_only_what_is_visible_is_drawn(
    driver: Any, model: charlm.Predictor, tmp_path: Path
) -> None:
    """Also of a line without an end; a jump draws its place, and what is left is cleared."""
    text = (TEXT.replace("\n", " ") * 20)[:60_000].encode() + b"\nQZ\xc3\xa9Q end"
    open_page(driver, found(model, tmp_path, text), tmp_path)
    assert len(texts(driver, "[data-at]")) < 20_000
    driver.execute_script(
        "const s = document.getElementById('search'); s.value = 'qzéq'; s.focus()"
    )
    press(driver, "\ue007")
    assert "".join(texts(driver, ".found")) == "QZéQ"
    assert texts(driver, "#status") == ["line 2, column 1"]
    wait(driver, "document.querySelectorAll('[data-at]').length < 20000")
    wait(driver, "!document.querySelector('[data-at=\"0\"]')")
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert len(texts(driver, "[data-at]")) > 59_000
