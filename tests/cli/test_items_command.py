"""`generate --items`: whole items on standard output, and on standard error what was drawn."""

import json
import math
import re
from pathlib import Path

import pytest
from support.commands import SMALL, quickstart_on, refused, run
from typer.testing import Result

import charlm
from charlm.cli.text_output import TextOutput
from charlm.prediction.items import items
from charlm.training.validation import sample_text

NAMES = sorted({f"{start}{middle}{end}" for start in "abc" for middle in "lmn" for end in "aeio"})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The result of a training on names."""
    folder = tmp_path_factory.mktemp("names")
    text = folder / "names.txt"
    text.write_text("\n".join(NAMES * 8), "utf-8")
    settings = ("--set=corpus.records=lines", "--set=training.steps=60")
    result = run(*quickstart_on(text, folder / "runs"), *SMALL, *settings)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def trained(finished: Result) -> Path:
    return Path(finished.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the draws that are usually tried: faster."""
    monkeypatch.setattr(items, "_TRIAL_DRAWS", 1000)
    monkeypatch.setattr(items, "_MOST_VAIN_DRAWS", 1000)
    monkeypatch.setattr(items, "_MEASURED_DRAWS", 100)


def test_items_are_lines(trained: Path, tmp_path: Path) -> None:
    """Each item is a line, and the summary says what was drawn."""
    result = run("generate", trained, "--items", 5, "--seed", 1)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 5
    assert re.search(r"5 items of \d+ draws \(yield .*%\): \d fit, \d different$", result.stderr)
    file = tmp_path / "items.txt"
    run("generate", trained, "--items", 5, "--seed", 1, "--output", file, "-q")
    assert file.read_text("utf-8") == result.stdout
    assert run("generate", trained, "--items", 5, "--seed", 1, "-q").stderr == ""


def test_new_items_are_not_in_the_text(trained: Path, tmp_path: Path) -> None:
    """--new leaves out the training text, --not-in other files, --unique what came before."""
    options = ("generate", trained, "--items=30", "--match=a..", "--seed=1", "--unique")
    every = run(*options).stdout.splitlines()
    assert len(set(every)) == 30
    assert set(every) & set(NAMES)
    result = run(*options, "--new")
    new = result.stdout.splitlines()
    assert not set(new) & set(NAMES)
    assert re.search(r"\n30 items of .* fit, \d+ different, \d+ new$", result.stderr)
    known = tmp_path / "known.txt"
    known.write_text("\n".join(new[:10]), "utf-8")
    others = run(*options, "--new", "--not-in", known).stdout.splitlines()
    assert others[:20] == new[10:]  # the draws are the same
    refused(run(*options, "--not-in", tmp_path / "missing"), "missing")


def test_items_as_json(trained: Path) -> None:
    options = ("generate", trained, "--items", 3, "--prefix=a", "--suffix=a", "--seed=2")
    lines = [json.loads(line) for line in run(*options, "--json").stdout.splitlines()]
    assert [line["item"] for line in lines[:-1]] == run(*options).stdout.splitlines()
    assert lines[-1]["seed"] == 2
    assert lines[-1]["counts"]["items"] == 3
    assert not lines[-1]["is_exhausted"]


def test_texts_as_json(trained: Path) -> None:
    """--json gives the texts without their prefix, and what generates them again."""
    options = ("generate", trained, "--prefix=al", "--num-samples=2", "--length=9")
    first = json.loads(run(*options, "--json").stdout)
    assert first["prefix"] == "al"
    assert [len(text) for text in first["texts"]] == [9, 9]
    assert first["settings"]["length"] == 9
    again = run(*options, "--seed", first["seed"]).stdout
    assert again == "".join(
        f"--- sample {number} ---\nal{text}\n" for number, text in enumerate(first["texts"], 1)
    )
    refused(run(*options, "--json", "--mark-copied=3"), "--json excludes")


def test_nothing_more_is_said(trained: Path) -> None:
    """Fewer items than asked for end well, with a line; none at all is an error."""
    options = ("--items=9", "--unique", "--match=al[ae]", "--seed=1", "-q")
    result = run("generate", trained, *options)
    assert result.exit_code == 0
    found = result.stdout.split()
    assert set(found) <= {"ala", "ale"}
    assert f"{len(found)} of 9 items" in result.stderr
    none = run("generate", trained, "--items=9", "--match=ala", "--new")
    refused(none, "no item in ", " draws: ", " 1 different, 0 new", "relax")


def test_ctrl_c_says_what_was_drawn(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a list of any length; what is there is whole, and the summary counts it."""

    def interrupted(self: TextOutput, piece: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(piece)

    written: list[bytes] = []
    monkeypatch.setattr(TextOutput, "write", interrupted)
    result = run("generate", trained, "--items=1000000", "--seed=1")
    assert result.exit_code
    assert len(written) == 3
    assert re.search(r"interrupted; 4 items of \d+ draws", result.stderr)


def test_masks_are_said(trained: Path) -> None:
    result = run("generate", trained, "--items=2", "--match=(lo){5}")
    assert result.stdout == "lololololo\n" * 2
    assert "2 of the items are not distributed as the model's own" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--new"], ["--new needs --items"]),
        (["--match=a"], ["--match needs --items"]),
        (["--items=2", "--length=3"], ["--length", "--max-length"]),
        (["--items=2", "--stop=a"], ["--stop"]),
        (["--items=2", "--num-samples=3"], ["--num-samples"]),
        (["--items=2", "--mark-copied=3"], ["--mark-copied"]),
        (["--items=2", "--portable"], ["--portable"]),
        (["--items=2", "--match=(?=a)b"], ["look-arounds"]),
        (["--items=2", "--prefix=a\nb"], ["end of an item"]),
        (["--items=2", "--prefix=☃", "--unknown=map"], ["--unknown skip"]),
        (["--items=2", "--min-length=3", "--max-length=2"], ["--min-length 3"]),
    ],
    ids=str,
)
def test_item_options_are_refused_in_a_line(
    trained: Path, options: list[str], words: list[str]
) -> None:
    refused(run("generate", trained, *options), *words)


def test_surprising_items_come_first(trained: Path, tmp_path: Path) -> None:
    """With a model of records, `surprise` lists items, with nats that sum to the score's."""
    file = tmp_path / "others.txt"
    file.write_text("ala\nbme\noooooo\ncno\n", "utf-8")
    shown = run("surprise", trained, file, "-q").stdout.splitlines()
    assert re.split(" {2,}", shown[0].strip()) == ["item", "nats", "per character", "text"]
    assert shown[1].split()[0::3] == ["3", "oooooo"]
    assert len(shown) == 5
    found = json.loads(run("surprise", trained, file, "--items=9", "--by=sum", "--json").stdout)
    items = {one["item"]: one for one in found["items"]}
    assert [items[number]["text"] for number in (1, 2, 3, 4)] == ["ala", "bme", "oooooo", "cno"]
    assert [items[number]["characters"] for number in (1, 2, 3, 4)] == [4, 4, 7, 4]
    total = found["bits_per_character"] * found["characters"] * math.log(2)
    assert sum(one["nats"] for one in found["items"]) == pytest.approx(total, rel=1e-4)
    sums = [one["nats"] for one in found["items"]]
    assert sums == sorted(sums, reverse=True)


def test_originality_of_items(trained: Path, tmp_path: Path) -> None:
    """With a model of records, `originality` gives shares of items, and their nearest ones."""
    options = ("originality", trained, "--items=40", "--seed=1", "--match=.{2,4}", "--json")
    found = json.loads(run(*options).stdout)
    items = [json.loads(line) for line in run(*generate(trained), "--json").stdout.splitlines()]
    drawn = [one["item"] for one in items[:-1]]
    valid = [item for item in drawn if 2 <= len(item) <= 4]
    assert found["items"]["valid"] == pytest.approx(len(valid) / 40)
    assert found["items"]["unique"] == pytest.approx(len(set(valid)) / len(valid))
    assert [one["text"] for one in found["nearest"]] == list(dict.fromkeys(valid))
    assert found["held_out"]["valid"] == 1
    assert found["held_out"]["new"] == 1  # equal records are in one split
    file = tmp_path / "others.txt"
    file.write_text("ala\nala\nalab\n", "utf-8")
    shown = run("originality", trained, file, "-q").stdout
    assert re.search(r"others.txt +3 +66.7% +50.0%", shown)
    assert re.search(r"\n(ala +ala +0\nalab +ala +1|alab? +\w+ +1\n)", shown)
    assert "valid" not in shown
    assert "the first 10 different items" in run(*options[:-1]).output
    refused(run("originality", trained, "--length=9"), "--items")


def generate(trained: Path) -> tuple[object, ...]:
    return ("generate", trained, "--items=40", "--seed=1")


def test_samples_are_whole_items(finished: Result, trained: Path) -> None:
    """A sample ends with its last whole record; the next command writes items."""
    assert f"charlm generate {trained} --items 20" in finished.stderr
    predictor = charlm.load(trained)
    for seed in range(9):
        sample = sample_text(predictor, seed)
        whole, _, rest = charlm.generate_text(predictor, seed=seed).rpartition("\n")
        assert sample == (whole or rest)


def test_a_full_report_has_shares_of_items(trained: Path) -> None:
    page = run("report", trained, "--full")
    assert page.exit_code == 0, page.output
    html = (trained / "report.html").read_text("utf-8")
    assert re.search(r"generated items: 1,000 items, [\d.]+% different, [\d.]+% not in the", html)
    assert re.search(r"test split: \d+ items, [\d.]+% different, 100.0% not in the training", html)
