"""The report in a browser: by keyboard, on a phone, in the dark, and with nothing from outside."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from support.browser import assert_quiet, barriers, open_file, press, texts
from support.training import train

from charlm.analysis.copying_verdict import Copying
from charlm.analysis.originality import Originality
from charlm.analysis.passage import Details, ScoredCharacter
from charlm.analysis.run_history import RunHistory, read_history
from charlm.pages.report import write_report
from charlm.runs.folder import RunFolder

BASELINES = {
    **{"uniform": 6.04, "single characters": 4.81, "n-grams": 2.12, "xz": 2.51, "bzip2": 2.39},
    **{"zlib": 3.09, "zstd": 2.45},
}
LEFT, END, HOME, SPACE = "\ue012", "\ue010", "\ue011", " "
HOSTILE = (
    "</script><img src=x onerror=alert(1)>\0\u202e \ud800 e\u0301 \u05e9 👨‍👩‍👧 " + "x" * 10_000
)
PASSAGE = [ScoredCharacter(one, 9.0 * (n % 3 == 0)) for n, one in enumerate("Some <b>text</b>\n")]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    """A run with four samples, the last of them hostile."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "text.txt").write_text("A text with words, and more words. " * 200, "utf-8")
    settings = ["training.steps=12", "training.validate_every=4"]
    run = train(folder / "text.txt", folder / "runs", *settings, name="one")
    RunFolder(run.path).logs.add_sample(13, HOSTILE)
    return read_history(run.path)


@pytest.fixture
def details() -> Details:
    copying = Copying("generated text", 20_000, 31, {20: 0.1, 50: 0.0, 100: 0.0})
    return Details("one", "test", BASELINES, PASSAGE, Originality(copying, None, (), {}))


@pytest.fixture
def page(history: RunHistory, details: Details, tmp_path: Path) -> Path:
    """A full report."""
    write_report(tmp_path / "page.html", [history], [details])
    return tmp_path / "page.html"


def overlapping(driver: Any, selector: str) -> list[tuple[str, str]]:
    """Return the pairs of visible elements whose boxes overlap, by their text."""
    boxes = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
        ".map((e) => [e.textContent, e.getBoundingClientRect()])",
        selector,
    )
    return [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if a["left"] < b["right"] and b["left"] < a["right"]
        if a["top"] + 2 < b["bottom"] and b["top"] + 2 < a["bottom"]
    ]


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_fits_its_screen(driver: Any, page: Path, width: int, scheme: str) -> None:
    """No text is cut, no names cover each other, and text of the model is text."""
    open_file(driver, page, width, scheme)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert len(texts(driver, "div:not([hidden]) > figure .name")) == len(BASELINES)
    assert overlapping(driver, ".name") == []
    assert texts(driver, "main img, pre b") == []
    assert barriers(driver) == []
    assert_quiet(driver)


def test_a_slider_shows_the_samples(driver: Any, page: Path) -> None:
    """By keyboard; a screen reader hears which sample it is. At first it is the last one."""
    open_file(driver, page)
    slider = driver.find_element("css selector", "input[type=range]")
    shown = ".samples > div:not([hidden]) h3"
    for keys, step, number in (("", 13, 4), (LEFT, 12, 3), (HOME, 4, 1), (END, 13, 4)):
        slider.send_keys(keys)
        assert texts(driver, shown) == [f"step {step}"]
        assert slider.get_attribute("aria-valuetext") == f"step {step} ({number} of 4)"
        assert texts(driver, "output") == [f"step {step} ({number} of 4)"]
    assert "<img src=x onerror=alert(1)>\ufffd" in texts(driver, ".samples > div:last-child pre")[0]
    assert_quiet(driver)


def test_buttons_change_the_axis(driver: Any, page: Path) -> None:
    """By keyboard: one chart is shown, and its button is pressed."""
    open_file(driver, page)
    labels = [
        *("characters read in training", "characters read in training", "time in training steps")
    ]
    for number, label in enumerate(labels):
        driver.execute_script(f"document.querySelectorAll('.choice button')[{number}].focus()")
        press(driver, SPACE)
        pressed = [
            one.get_attribute("aria-pressed")
            for one in driver.find_elements("css selector", ".choice button")
        ]
        assert pressed == [str(number == other).lower() for other in range(3)]
        (shown,) = texts(driver, ".losses > div:not([hidden]) desc")
        assert shown.startswith(f"bits per character against {label}.")


def test_several_runs_fit_a_phone(driver: Any, history: RunHistory, tmp_path: Path) -> None:
    """A wide table scrolls by itself, which the keyboard reaches."""
    write_report(tmp_path / "page.html", [history] * 4)
    open_file(driver, tmp_path / "page.html", 390)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert barriers(driver) == []
    assert_quiet(driver)
    widths = driver.execute_script(
        "return [...document.querySelectorAll('.facts td')].map((e) => e.clientWidth)"
    )
    assert min(widths) >= 9 * 16  # wide enough for the longest word of a figure


def test_a_report_is_read_without_scripts(driver: Any, page: Path) -> None:
    """All charts and samples are shown, also in print."""
    open_file(driver, page)
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(page.as_uri())
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        assert len(texts(driver, ".samples > div:not([hidden])")) == 4
        assert len(texts(driver, ".losses > div:not([hidden])")) == 3
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
