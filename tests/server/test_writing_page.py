"""The page to write with, in a browser: it continues, shows what was likely, undoes and keeps."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browser import (
    barriers,
    browser,
    click,
    cut_off,
    open_file,
    press,
    resize,
    skip_without_browser,
    texts,
    wait,
)
from support.serving import served
from support.texts import TEXT
from support.training import train

import charlm
from charlm.server.page import writing_page

TAB, ALT, UP, DOWN = "\ue004", "\ue00a", "\ue013", "\ue015"
TOKEN = "correct-horse-battery"
LENGTH = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> charlm.Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text(TEXT, "utf-8")
    return charlm.load(train(path, folder, "training.steps=20", name="novel").path)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    skip_without_browser()
    with browser() as driver:
        yield driver


def text_of(driver: Any) -> str:
    return str(driver.execute_script("return document.getElementById('text').value"))


def wait_for_text(driver: Any, length: int) -> None:
    enabled = "!document.getElementById('continue').disabled"
    wait(driver, f"{enabled} && document.getElementById('text').value.length === {length}")


def begin(driver: Any, prompt: str) -> None:
    """Write a beginning in an empty page, and set what the text depends on."""
    wait(driver, "document.getElementById('status').textContent === 'model novel'")
    settings = {"seed": "4", "length": str(LENGTH), "temperature": "1"}
    script = (
        "for (const [id, v] of Object.entries(arguments[0])) document.getElementById(id).value = v"
    )
    driver.execute_script(script, settings)
    driver.find_element("id", "text").send_keys(prompt)


def write(driver: Any, address: str, prompt: str = "The ") -> str:
    """Open the page, and let the model continue a beginning; return the whole text."""
    driver.get(address)
    begin(driver, prompt)
    press(driver, TAB)
    wait_for_text(driver, len(prompt) + LENGTH)
    return text_of(driver)


def place_cursor(driver: Any, place: int) -> None:
    script = "document.getElementById('text').setSelectionRange(arguments[0], arguments[0])"
    driver.execute_script(script, place)


def likeliest(driver: Any, place: int) -> list[str]:
    """Return the likeliest characters at a place of the text."""
    place_cursor(driver, place)
    wait(driver, "document.querySelectorAll('#details button').length === 5")
    shown = texts(driver, "#details button")
    return [one.replace("␣", " ").replace("↵", "\n") for one in shown]


def test_page_writes_with_the_model(driver: Any, model: charlm.Predictor) -> None:
    """Tab continues, a likeliest character replaces one, undo restores, reload and link keep."""
    with served(model) as (address, _):
        whole = write(driver, address)
        expected = charlm.generate_text(model, "The ", seed=4, length=LENGTH, temperature=1.0)
        assert whole == "The " + expected
        assert len(texts(driver, "#mirror [data-place]")) == LENGTH
        assert barriers(driver) == []

        second = likeliest(driver, 14)[1]
        click(driver, "#details button", 1)
        wait_for_text(driver, 15 + LENGTH)
        assert text_of(driver)[:15] == whole[:14] + second
        click(driver, "#undo")
        assert text_of(driver) == whole
        click(driver, "#redo")
        assert text_of(driver)[:15] == whole[:14] + second
        click(driver, "#undo")

        click(driver, "#link")
        wait(driver, "location.hash.startsWith('#text=')")
        link = driver.current_url
        driver.get(address)
        wait_for_text(driver, 4 + LENGTH)
        assert len(texts(driver, "#mirror [data-place]")) == LENGTH
        driver.execute_script("localStorage.clear()")
        driver.get("about:blank")
        driver.get(link)
        wait_for_text(driver, 4 + LENGTH)
        assert text_of(driver) == whole
        resize(driver, 360, 800)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
        resize(driver, 1400, 900)
        assert [json.dumps(entry) for entry in driver.get_log("browser")] == []


def branch_title(driver: Any) -> str:
    return str(driver.find_element("id", "fork").text)


def test_branches_are_a_tree(driver: Any, model: charlm.Predictor) -> None:
    """What is replaced stays as a branch: by keys, by buttons, and after a reload."""
    with served(model) as (address, _):
        first = write(driver, address)
        found = likeliest(driver, 20)
        other = next(number for number, one in enumerate(found) if one != first[20])
        press_with_alt(driver, str(other + 1))
        wait_for_text(driver, 21 + LENGTH)
        second = text_of(driver)
        assert second[:20] == first[:20]
        assert branch_title(driver).endswith("of 2")
        assert barriers(driver) == []

        press_with_alt(driver, UP)
        assert text_of(driver) == first
        assert branch_title(driver).startswith("Place 1 of 1, character 21: branch ")
        press_with_alt(driver, UP)
        assert text_of(driver) == second

        place_cursor(driver, 10)  # a beginning from which it writes again: a second place
        driver.find_element("id", "seed").clear()
        driver.find_element("id", "seed").send_keys("5")
        driver.execute_script("document.getElementById('text').focus()")
        place_cursor(driver, 10)
        press(driver, TAB)
        wait_for_text(driver, 21 + 2 * LENGTH)
        third = text_of(driver)
        assert third[:10] == first[:10]
        assert third.endswith(second[10:])

        driver.refresh()
        wait_for_text(driver, 21 + 2 * LENGTH)
        assert text_of(driver) == third
        assert len(texts(driver, "#branches button")) == 2
        current = "document.querySelector('#branches [aria-current]')"
        driver.execute_script(f"{current}.focus()")
        click(driver, "#branches button:not([aria-current])")
        assert driver.execute_script(f"return document.activeElement === {current}")
        kept = text_of(driver)
        assert kept in (first, second)
        assert driver.find_element("id", "after").is_enabled()
        click(driver, "#after")
        assert branch_title(driver).startswith("Place 2 of 2, character 21")
        click(driver, "#branches button:not([aria-current])")
        assert {kept, text_of(driver)} == {first, second}
        click(driver, "#undo")
        assert text_of(driver) == kept
        assert [json.dumps(entry) for entry in driver.get_log("browser")] == []


def test_mirror_is_that_of_the_text(driver: Any, model: charlm.Predictor) -> None:
    """Where only changed lines are drawn, they are the text, and have what a whole drawing has."""
    mirror = "return document.getElementById('mirror').innerHTML.replaceAll(' here', '')"
    with served(model) as (address, _):
        write(driver, address, "a\n\nThe b\n")
        for keys in ("\U0001f600\n", "\ue003" * 3, "\ue011new\n\n"):  # backspace; home
            driver.find_element("id", "text").send_keys(keys)
        lines = [line.replace("\u200b", "") for line in texts(driver, "#mirror > div")]
        assert "\n".join(lines) == text_of(driver)
        changed, text = driver.execute_script(mirror), text_of(driver)
        driver.refresh()
        wait_for_text(driver, len(text))
        assert driver.execute_script(mirror) == changed


def test_removed_text_stays_a_branch(driver: Any, model: charlm.Predictor) -> None:
    """Generated text that a person deletes or undoes, and writes anew, can be reached again."""
    with served(model) as (address, _):
        first = write(driver, address)
        press(driver, "\ue003" * LENGTH + "own")  # backspaces
        assert text_of(driver) == "The own"
        press_with_alt(driver, DOWN)
        assert text_of(driver) == first
        click(driver, "#undo")
        assert text_of(driver) == "The own"


def test_copies_are_underlined(driver: Any, model: charlm.Predictor) -> None:
    """A sentence of the training text is underlined, whoever has written it."""
    sentence = TEXT[100:150]
    with served(model) as (address, _):
        driver.get(address)
        begin(driver, "\U0001f600 Qqqqq " + sentence)
        wait(driver, "document.querySelector('#mirror .copied')")
        assert "".join(texts(driver, "#mirror .copied")).strip() == sentence.strip()
        assert "copied" in driver.find_element("id", "note").text

        place_cursor(driver, 0)
        press(driver, TAB)
        wait_for_text(driver, LENGTH + len("\U0001f600 Qqqqq ") + 1 + len(sentence))
        place_cursor(driver, 12)
        wait(driver, "document.getElementById('note').textContent.includes('copied')")
        assert driver.execute_script("return document.querySelectorAll('#mirror .here').length")
        click(driver, "#marks_copied")
        wait(driver, "!document.querySelector('#mirror .copied')")
    without = replace(model, checkpoint=None)
    with served(without) as (address, _):
        driver.get(address)
        begin(driver, sentence)
        wait(driver, "document.getElementById('note').textContent")
        assert "cannot be searched" in driver.find_element("id", "note").text


def status(driver: Any) -> str:
    return str(driver.find_element("id", "status").text)


def test_unread_characters_are_named(driver: Any, model: charlm.Predictor) -> None:
    """The model does not know them, so the text continues as if they were not there."""
    with served(model) as (address, _):
        whole = write(driver, address, "The ☃é☃ ")
        expected = charlm.generate_text(model, "The  ", seed=4, length=LENGTH, temperature=1.0)
        assert whole == "The ☃é☃ " + expected
        assert status(driver) == "seed 4; not read, because the model does not know them: ☃ é"


def test_mistakes_are_in_the_words_of_the_page(driver: Any, model: charlm.Predictor) -> None:
    """Those that the page finds, those that the server finds, and a server that has ended."""
    fields = {
        "length": ("5000", "Characters: "),
        "top_p": ("0", "Top-p: "),
        "seed": ("1e30", "Seed: "),
    }
    with served(model) as (address, _):
        for field, (value, words) in fields.items():
            driver.get(address)
            begin(driver, "The ")
            script = "document.getElementById(arguments[0]).value = arguments[1]"
            driver.execute_script(script, field, value)
            before = text_of(driver)
            press(driver, TAB)
            wait(driver, f"document.getElementById('status').textContent.startsWith('{words}')")
            assert text_of(driver) == before
        driver.get(address)
        begin(driver, "The ")
    press(driver, TAB)
    wait(driver, "document.getElementById('status').textContent.includes('charlm serve')")
    driver.get_log("browser")


def test_settings_are_those_of_the_model(
    driver: Any, model: charlm.Predictor, tmp_path: Path
) -> None:
    """Until a person sets others; a model of bytes writes, and its page counts bytes."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    settings = ["training.steps=2", "corpus.unit=byte", "generation.length=23"]
    settings += ["generation.temperature=0.7", "generation.top_p=0.9"]
    of_bytes = charlm.load(train(path, tmp_path, *settings, name="bytes").path)
    with served(of_bytes, model) as (address, _):
        driver.get(address)
        wait(driver, "document.getElementById('length').value === '23'")
        shown = [
            driver.find_element("id", one).get_property("value") for one in ("temperature", "top_p")
        ]
        assert shown == ["0.7", "0.9"]
        assert driver.find_element("id", "units").text == "Bytes"
        driver.find_element("id", "text").send_keys("The ")
        press(driver, TAB)
        wait(driver, "document.getElementById('status').textContent.startsWith('seed ')")
        wait(driver, "!document.getElementById('continue').disabled")
        assert len(text_of(driver)) > len("The ")
        choose = "const m = document.getElementById('model'); m.value = 'novel';"
        driver.execute_script(f"{choose} m.dispatchEvent(new Event('change'))")
        length = min(4000, model.config.generation.length)
        assert driver.find_element("id", "length").get_property("value") == str(length)
        assert driver.find_element("id", "units").text == "Characters"
        driver.find_element("id", "length").clear()
        driver.find_element("id", "length").send_keys("50\t")
        driver.execute_script(
            f"{choose.replace('novel', 'bytes')} m.dispatchEvent(new Event('change'))"
        )
        assert driver.find_element("id", "length").get_property("value") == "50"


def press_with_alt(driver: Any, key: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).key_down(ALT).send_keys(key).key_up(ALT).perform()


def test_page_asks_for_the_token(driver: Any, model: charlm.Predictor) -> None:
    """A page without the token asks for it; the address may have it."""
    with served(model, token=TOKEN) as (address, _):
        driver.get(address)
        wait(driver, "!document.getElementById('locked').hidden")
        driver.find_element("id", "token").send_keys(TOKEN + "\n")
        wait(driver, "document.getElementById('status').textContent === 'model novel'")
        driver.execute_script("sessionStorage.clear()")
        driver.get("about:blank")
        driver.get(f"{address}/#token={TOKEN}")
        wait(driver, "document.getElementById('status').textContent === 'model novel'")
        assert TOKEN not in driver.current_url


@pytest.mark.parametrize("width", [390, 1400])
def test_fields_show_what_is_in_them(driver: Any, tmp_path: Path, width: int) -> None:
    """No setting, no placeholder and no seed that the page reports is cut off.

    On a phone the settings are closed at first, so that the text stands above the fold.
    """
    (tmp_path / "page.html").write_text(writing_page(), "utf-8")
    open_file(driver, tmp_path / "page.html", width)
    settings = driver.find_element("id", "settings")
    assert (settings.get_property("open")) == (width > 390)
    assert driver.find_element("id", "text").rect["y"] < 450
    driver.execute_script("arguments[0].open = true", settings)
    assert cut_off(driver) == []
    driver.execute_script("document.getElementById('seed').value = 2 ** 31 - 1")
    assert cut_off(driver) == []
