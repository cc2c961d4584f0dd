"""`charlm export --to web`: one page that continues texts as `generate --portable` does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import (
    assert_quiet,
    barriers,
    cut_off,
    open_file,
    prefer,
    press,
    resize,
    texts,
    wait,
)
from support.commands import refused, run, train
from support.exports import saved_network
from support.integer_networks import VOCABULARY
from support.texts import TEXT

from charlm.corpus.vocabulary import Vocabulary
from charlm.export.web import write_web
from charlm.portable.checkpoint_network import read_network
from charlm.portable.model_bytes import to_bytes

TAB, ESCAPE = "\ue004", "\ue00c"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and an ensemble whose name is mark-up."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "<b>text").write_text(TEXT, "utf-8")
    train(folder / "<b>text", folder / "runs", "--name", "<i>mixed", "--set=ensemble.members=2")
    return folder


@pytest.fixture(scope="module")
def page(place: Path) -> Path:
    path = place / "page.html"
    result = run("export", place / "runs" / "<i>mixed", "--to", "web", "-o", path)
    assert (result.exit_code, result.stdout) == (0, f"{path}\n"), result.output
    assert "using network" in result.stderr
    return path


def test_the_page_is_small(place: Path, page: Path) -> None:
    """It has less than 1.4 times the size of the integers, plus 60 KB."""
    (checkpoint,) = (place / "runs" / "<i>mixed" / "checkpoints").glob("best.safetensors")
    network, _ = read_network(checkpoint)
    assert page.stat().st_size < 1.4 * len(to_bytes(network)) + 60_000


def test_what_cannot_be_exported(place: Path, page: Path) -> None:
    """An unknown format, an existing file and a missing run are refused in a line."""
    model = place / "runs" / "<i>mixed"
    refused(run("export", model, "--to", "webb"), "--to webb: no such format", "web")
    refused(run("export", model, "--to", "web", "-o", page), "exists already", "--output")
    refused(run("export", place / "absent", "--to", "web"), "no such run")


def test_the_default_name_is_the_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    result = run("export", "<i>mixed", "--to", "web", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "<i>mixed.html\n", "")


def test_a_model_of_bytes_counts_bytes(tmp_path: Path) -> None:
    for vocabulary, unit in ((VOCABULARY, "character"), (Vocabulary.of_bytes(), "byte")):
        path = tmp_path / f"{unit}.safetensors"
        saved_network(path, vocabulary=vocabulary, unit=unit)
        write_web(path, tmp_path / f"{unit}.html")
        page = (tmp_path / f"{unit}.html").read_text("utf-8")
        assert f'<label>{unit.capitalize()}s <input type="number" id="length"' in page


# In a browser


@pytest.fixture
def opened(driver: Any, page: Path) -> Any:
    """The page, opened; its scripts raise nothing, and ask for nothing."""
    open_file(driver, page)
    wait_until_ready(driver)
    yield driver
    assert_quiet(driver)


def wait_until_ready(driver: Any) -> None:
    wait(driver, "!document.getElementById('continue').disabled")


def fill(driver: Any, **fields: object) -> None:
    for name, value in fields.items():
        script = "document.getElementById(arguments[0]).value = arguments[1]"
        driver.execute_script(script, name, str(value))


def value(driver: Any, name: str) -> str:
    found: str = driver.execute_script(f"return document.getElementById('{name}').value")
    return found


def write(driver: Any, prefix: str, **fields: object) -> str:
    """Return the text that the page has after a Tab at the end of a prefix."""
    fill(driver, text=prefix, **fields)
    driver.execute_script("document.getElementById('text').focus()")
    driver.execute_script("document.getElementById('text').setSelectionRange(1e6, 1e6)")
    press(driver, TAB)
    wait_until_ready(driver)
    return value(driver, "text")


def generated(place: Path, prefix: str, *options: object) -> str:
    """Return what `generate --portable` prints."""
    model = place / "runs" / "<i>mixed"
    result = run("generate", model, "--portable", "-q", "-p", prefix, *options)
    assert result.exit_code == 0, result.output
    return result.stdout.removesuffix("\n")


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_the_text_is_that_of_charlm(opened: Any, place: Path, temperature: float) -> None:
    """2,000 characters, greedy and sampled, equal those of `generate --portable`."""
    found = write(opened, "the rain", length=2000, temperature=temperature, seed=2**62)
    options = ("--length=2000", f"--temperature={temperature}", f"--seed={2**62}")
    assert found == generated(place, "the rain", *options)
    assert value(opened, "seed") == str(2**62 + 1)


@pytest.fixture
def before_scripts(driver: Any) -> Iterator[Callable[[str], None]]:
    """Runs code in each page that is opened, before the page's scripts."""
    added: list[dict[str, str]] = []

    def add(source: str) -> None:
        command = "Page.addScriptToEvaluateOnNewDocument"
        added.append(driver.execute_cdp_cmd(command, {"source": source}))

    yield add
    for one in added:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", one)


def test_the_policy_lets_the_kernel_run(
    driver: Any, page: Path, before_scripts: Callable[[str], None]
) -> None:
    """The page starts its WebAssembly, once."""
    before_scripts(
        "window.started = 0; const { Instance } = WebAssembly;"
        "WebAssembly.Instance = function (...all) { started++; return new Instance(...all); };"
    )
    open_file(driver, page)
    wait_until_ready(driver)
    assert driver.execute_script("return started") == 1
    assert_quiet(driver)


def test_it_writes_without_webassembly(
    driver: Any, page: Path, place: Path, before_scripts: Callable[[str], None]
) -> None:
    """A browser that has none computes the same text."""
    before_scripts("delete window.WebAssembly;")
    open_file(driver, page)
    wait_until_ready(driver)
    found = write(driver, "the rain", length=2000, temperature=0.8, seed=7)
    assert found == generated(place, "the rain", "--length=2000", "--temperature=0.8", "--seed=7")
    assert_quiet(driver)


@pytest.mark.parametrize(
    "shape", ["relu", "gru of two layers", "mogrifier of three layers", "one-hot", "gru of records"]
)
def test_every_cell_writes_alike(
    driver: Any, tmp_path: Path, before_scripts: Callable[[str], None], shape: str
) -> None:
    """Networks of other cells write charlm's text, with WebAssembly and without it."""
    saved_network(tmp_path / "network", shape)
    run("export", tmp_path / "network", "--to", "web", "-q", "-o", tmp_path / "page.html")
    options = ("--length=400", "--temperature=0.8", "--seed=7")
    result = run("generate", tmp_path / "network", "--portable", "-q", "-p", "the", *options)
    assert result.exit_code == 0, result.output
    for code in ("", "delete window.WebAssembly;"):
        before_scripts(code)
        open_file(driver, tmp_path / "page.html")
        wait_until_ready(driver)
        found = write(driver, "the", length=400, temperature=0.8, seed=7)
        assert found == result.stdout.removesuffix("\n")


def test_a_text_begins_and_goes_on(opened: Any, place: Path) -> None:
    """An empty text begins as charlm's does, and what is read already is not forgotten."""
    first = write(opened, "", length=60, seed=3, temperature=1)
    assert first == generated(place, "", "--length=60", "--seed=3", "--temperature=1")
    second = write(opened, first, length=40, temperature=0.7)
    assert second == generated(place, first, "--length=40", "--seed=4", "--temperature=0.7")
    third = write(opened, second, length=40, temperature=1.3)
    assert third == generated(place, second, "--length=40", "--seed=5", "--temperature=1.3")
    opened.execute_script("document.getElementById('undo').click()")
    assert value(opened, "text") == second


def test_it_writes_at_the_cursor(opened: Any) -> None:
    """What follows the cursor stays; a stop text ends the continuation, and is left out."""
    whole = write(opened, "the rain", length=300, seed=1, temperature=1)
    stop = whole[20:22]
    fill(opened, text="the rain!", seed=1, stop=stop)
    opened.execute_script("document.getElementById('text').setSelectionRange(8, 8)")
    press(opened, TAB)
    wait_until_ready(opened)
    made = whole[8:].partition(stop)[0]
    assert value(opened, "text") == f"the rain{made}!"


def test_keys_and_mistakes(opened: Any) -> None:
    """Unknown characters are named, wrong settings are refused, and Escape frees Tab."""
    write(opened, "the <b>你</b>", length=5)
    assert "does not know them: < > 你" in texts(opened, "#status")[0]
    before = write(opened, "the", temperature=0.01)
    assert (before, texts(opened, "#status")) == ("the", ["Temperature: 0, or 0.05 to 20"])
    assert write(opened, "the", temperature=1, seed="x") == "the"
    assert texts(opened, "#status")[0].startswith("Seed: ")
    press(opened, ESCAPE)
    press(opened, TAB)
    assert opened.execute_script("return document.activeElement.id") == "continue"
    fill(opened, text="the", seed=1, length=1_000_000)
    opened.execute_script("document.getElementById('continue').click()")
    wait(opened, "!document.getElementById('halt').disabled")
    opened.execute_script("document.getElementById('halt').click()")
    wait_until_ready(opened)
    assert 3 < len(value(opened, "text")) < 1_000_000


def test_stopping_while_it_reads(opened: Any, place: Path) -> None:
    """Text, seed and undo stay as they were, and what was read is not read wrongly again."""
    prefix = "the rain had stopped\n" * 1000
    fill(opened, text=prefix, seed=5, length=30, temperature=1)
    opened.execute_script(
        "document.getElementById('text').setSelectionRange(1e6, 1e6);"
        "document.getElementById('continue').click(); document.getElementById('halt').click();"
    )
    wait_until_ready(opened)
    assert texts(opened, "#status") == ["Stopped before the first character"]
    assert (value(opened, "text"), value(opened, "seed")) == (prefix, "5")
    assert opened.execute_script("return document.getElementById('undo').disabled")
    found = write(opened, prefix, length=30)
    assert found == generated(place, prefix, "--length=30", "--seed=5", "--temperature=1")


def test_it_names_the_model(opened: Any) -> None:
    """Name, text, fingerprint and ensemble are there; mark-up in names is text."""
    facts = dict(zip(texts(opened, "th"), texts(opened, "td"), strict=True))
    assert opened.title == "Write with <i>mixed"
    assert facts["trained on"] == "<b>text"
    assert len(facts["fingerprint of the text"]) == 32
    assert facts["of an ensemble"].startswith("one network of 2 without n-grams")


def test_it_decompresses(opened: Any, place: Path, tmp_path: Path) -> None:
    """A file that charlm compressed with the same model comes back."""
    packed = tmp_path / "copy.txt.charlm"
    original = "the rain had stopped 你\n" * 9
    (tmp_path / "copy.txt").write_text(original, "utf-8")
    run("compress", tmp_path / "copy.txt", "--run", place / "runs" / "<i>mixed", "-q")
    opened.execute_script("document.querySelector('details').open = true")
    opened.find_element("id", "file").send_keys(str(packed))
    wait(opened, "!document.getElementById('saved').hidden")
    assert opened.execute_script("return document.getElementById('saved').download") == "copy.txt"
    assert texts(opened, "#progress") == [f"{len(original.encode()):,} bytes"]


def test_it_decompresses_only_what_it_can_check(
    driver: Any, page: Path, before_scripts: Callable[[str], None]
) -> None:
    """Over plain http, browsers have no SHA-256: the page says so before a file is chosen."""
    before_scripts("Object.defineProperty(crypto, 'subtle', { value: undefined });")
    open_file(driver, page)
    wait_until_ready(driver)
    assert driver.execute_script("return document.getElementById('file').disabled")
    (shown,) = texts(driver, "#progress")
    assert "save the page" in shown
    assert_quiet(driver)


def test_the_last_chosen_file_counts(opened: Any, place: Path, tmp_path: Path) -> None:
    """Another file ends the decompression of the first one, which writes nothing more."""
    for name, repeats in (("long", 20_000), ("short", 2)):
        (tmp_path / name).write_text("the rain " * repeats, "utf-8")
        run("compress", tmp_path / name, "--run", place / "runs" / "<i>mixed", "-q")
    opened.execute_script("document.querySelector('details').open = true")
    opened.find_element("id", "file").send_keys(str(tmp_path / "long.charlm"))
    wait(opened, "document.getElementById('progress').textContent.endsWith('characters')")
    opened.find_element("id", "file").send_keys(str(tmp_path / "short.charlm"))
    wait(opened, "!document.getElementById('saved').hidden")
    opened.execute_async_script("setTimeout(arguments[0], 200)")
    assert texts(opened, "#progress") == ["18 bytes"]
    assert opened.execute_script("return document.getElementById('saved').download") == "short"


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phones_and_both_schemes(opened: Any, width: int, scheme: str) -> None:
    """Nothing is wider than the page or its field, and axe finds no barrier."""
    resize(opened, width, 900)
    prefer(opened, scheme)
    fill(opened, seed=2**63 - 1, top_k="")
    assert cut_off(opened) == []
    wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not opened.execute_script(wide)
    assert barriers(opened) == []
