"""The page of `charlm activations`: its passage, the values of its units, and text that is text."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.browser import assert_quiet, barriers, click, open_file, prefer, texts
from support.commands import refused, run
from support.training import TINY

import charlm
from charlm.analysis.activations import Activations, activations
from charlm.models.language_model import LanguageModel
from charlm.pages import activations as pages
from charlm.pages.activations import activations_page
from charlm.prediction.predictor import Predictor

TEXT = "a (bad) café\n" * 40 + "</script><img onerror=x>\0\u202e a (b)\n" * 9


@pytest.fixture(scope="module", params=["character", "byte"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text("a (bad) café\n</script><img onerror=x>\0\u202e" * 60, "utf-8")
    settings = [*TINY, "training.steps=2", f"corpus.unit={request.param}"]
    return charlm.load(charlm.train("quickstart", text=path, runs=folder, settings=settings).run)


def page_of(trained: Predictor, folder: Path) -> tuple[Activations, str, dict[str, Any]]:
    """Return the activations, the page, and the data in it."""
    path = folder / "other.txt"
    path.write_text(TEXT, "utf-8", newline="")
    found = activations(trained, path)
    assert isinstance(trained.model, LanguageModel)
    html = activations_page(found, trained.model)
    element = re.search(r'id="activations">(.*?)</script>', html)
    assert element is not None
    return found, html, json.loads(element[1])


def test_the_values_are_those_of_the_units(
    trained: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second half, from a line on, rounded to a 127th of the largest in the passage."""
    monkeypatch.setattr(pages, "_MOST_NUMBERS", 32 * 50)
    found, _, data = page_of(trained, tmp_path)
    start = found.text.index("\n", len(found.text) // 2) + 1
    shown = "".join(data["characters"])
    assert shown == found.text[start : start + 50].replace("\n", "↵\n")
    state, expected = trained.model.initial_state(1), []
    with torch.no_grad():
        for one in found.ids:
            state = trained.model.advance(torch.tensor([[int(one)]]), state)
            expected.append(torch.cat([tensor[0] for layer in state for tensor in layer]))
    states = torch.stack(expected).numpy()[found.last_ids[start : start + 50]]
    values = np.frombuffer(b64decode(data["values"]), np.int8).reshape(len(found.units), 50)
    largest = np.array(data["largest"])
    assert largest == pytest.approx(np.abs(states).max(axis=0), abs=1e-4)
    assert values.T / data["steps"] * largest == pytest.approx(
        states, abs=0.6 * largest.max() / 127
    )
    assert [tuple(one) for one in data["units"]] == [*found.units]


def test_text_in_the_page_stays_text(trained: Predictor, tmp_path: Path) -> None:
    """Mark-up is no element; what is invisible has its code; the table has the best units."""
    found, html, data = page_of(trained, tmp_path)
    assert "<img" not in html
    assert "img onerror=x>U+0000U+202E a (b)↵\n" in "".join(data["characters"])
    for one in found.followers:
        assert f'data-unit="{found.units.index(one.unit)}">{one.unit}<' in html


def test_the_command_writes_a_new_file(trained: Predictor, tmp_path: Path) -> None:
    """Beside the table; a file that exists stays as it is."""
    text, page = tmp_path / "other.txt", tmp_path / "units.html"
    text.write_text(TEXT, "utf-8")
    shown = run("activations", str(trained.path), text, "--html", page)
    assert shown.exit_code == 0, shown.output
    assert "what it follows" in shown.stdout
    written = page.read_bytes()
    assert b'id="activations"' in written
    refused(run("activations", str(trained.path), text, "--html", page), "units.html: exists")
    assert page.read_bytes() == written


def test_any_unit_colours_the_text(driver: Any, trained: Predictor, tmp_path: Path) -> None:
    """In a browser: from the table and from the controls, without a request or an error."""
    found, html, data = page_of(trained, tmp_path)
    path = tmp_path / "units.html"
    path.write_text(html, "utf-8")
    values = np.frombuffer(b64decode(data["values"]), np.int8).reshape(len(found.units), -1)
    chosen = next(n for n, unit in enumerate(found.units) if str(unit) == "C5 of layer 1")
    open_file(driver, path, 390)

    def colours() -> list[str]:
        script = "return [...document.querySelectorAll('#text span')].map((s) => s.className)"
        return list(driver.execute_script(script))

    first = found.units.index(found.followers[0].unit)
    assert colours() == [class_of(one) for one in values[first].tolist()]
    driver.execute_script(
        "const [state, unit] = ['state', 'unit'].map((id) => document.getElementById(id));"
        "state.value = '1'; unit.value = '5';"
        "unit.dispatchEvent(new Event('change'))"
    )
    assert colours() == [class_of(one) for one in values[chosen].tolist()]
    assert "C5 of layer 1" in driver.find_element("id", "status").text
    options = texts(driver, "#feature option")[1:]
    assert len(options) == len(found.followers)
    for option, one in zip(options, found.followers, strict=True):
        assert option.startswith(f"{one.feature}: {one.unit} (")
    chosen = found.units.index(found.followers[-1].unit)
    driver.execute_script(
        "const feature = document.getElementById('feature');"
        "feature.selectedIndex = feature.options.length - 1;"
        "feature.dispatchEvent(new Event('change'))"
    )
    assert colours() == [class_of(one) for one in values[chosen].tolist()]
    click(driver, "button[data-unit]")
    assert colours() == [class_of(one) for one in values[first].tolist()]
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    for scheme in ("light", "dark"):
        prefer(driver, scheme)
        assert barriers(driver) == []
    assert_quiet(driver)


def class_of(value: int) -> str:
    level = min(4, abs(value) * 5 // 127)
    return f"{'n' if value < 0 else 'p'}{level}" if level else ""
