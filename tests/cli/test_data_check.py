"""`charlm data check`: its words, its JSON, standard input, and exit codes."""

import json
from pathlib import Path

import pytest
from support.commands import refused, run

from charlm.analysis.text_check import check_text

ABC = "X:{0}\nT:Tune {0}\nM:4/4\nL:1/8\nK:D\n|:DEFG ABcd|d2cB A2FD:|\n|:{1} ABcd|d2cB A2FD:|\n\n"


@pytest.fixture
def tunes(tmp_path: Path) -> Path:
    path = tmp_path / "tunes.abc"
    path.write_text("".join(ABC.format(n, "ABCDEFG"[n % 7] * 4) for n in range(60)), "utf-8")
    return path


def test_findings_are_in_words(tunes: Path) -> None:
    """Repeated lines and passages, the test split, the model, and the command to type."""
    shown = run("data", "check", tunes)
    assert shown.exit_code == 0, shown.output
    rows = dict(line.split("  ", 1) for line in shown.stdout.splitlines())
    assert rows["repeated lines"].split()[0] == "68.8%"
    assert "of it occurs in the training split" in rows["test split"]
    assert "hidden size 96" in rows["enough text for"]
    assert shown.stderr.splitlines()[-1] == f"  charlm train {tunes}"


def test_programs_read_json(tunes: Path) -> None:
    """The same findings, with the figures."""
    found = json.loads(run("data", "check", tunes, "--json").stdout)
    assert found["lines"]["share"] == pytest.approx(289 / 420)
    assert found["line_ends"] == {"lf": 480, "cr_lf": 0, "cr": 0, "is_mixed": False}
    assert found["rare"]["minimum_count"] is None
    assert found["paths"] == [str(tunes)]
    assert found["passages"]["share"] > 0.1


def test_standard_input_is_checked(tunes: Path) -> None:
    """`-` stands in the command as it was typed."""
    shown = run("data", "check", "-", "--json", stdin=tunes.read_bytes())
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["command"] == "charlm train -"


def test_all_findings_fit_one_text(tmp_path: Path) -> None:
    """Mixed line ends, a mark, control characters, mojibake, mark-up and a sorted list."""
    wrong = "über".encode().decode("cp1252")
    lines = [
        *(f"item {n:03} <b>" for n in range(40)),
        f"zzz {wrong}",
        "zzzz \0" + "".join(map(chr, range(0x410, 0x430))),
    ]
    path = tmp_path / "all.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode() + b"\r\n")
    shown = run("data", "check", path).stdout
    for words in (
        "byte order mark",
        "mixed: 41 LF, 1 CR LF",
        f"{wrong} → über",
        "U+0000 NUL (1)",
        "corpus.minimum_count=3",
        "sorted by name, and each line looks like an item: --records lines",
        "HTML or XML tags: 40",
    ):
        assert words in shown, words


def test_a_short_text_fails(tmp_path: Path) -> None:
    """The table says how long it should be, and no command trains on it."""
    path = tmp_path / "short.txt"
    path.write_text("rain and snow\n")
    shown = run("data", "check", path)
    assert shown.exit_code == 1
    assert "training needs at least 31 characters, and about 20,000" in shown.stdout
    assert "charlm train" not in shown.output
    found = run("data", "check", path, "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["is_too_short"]


def test_lists_and_mixtures_have_advice(tmp_path: Path) -> None:
    """A list is trained on as one, and a list and a log are better read by two models."""
    names, log = tmp_path / "names.txt", tmp_path / "server.log"
    names.write_text("".join(f"{'nmabc'[n % 5]}ame {n:03}\n" for n in range(30)))
    log.write_text("2024-01-02 10:00:01 request served\n" * 30)
    shown = run("data", "check", names).stdout
    assert "each line looks like an item: --records lines" in shown
    assert check_text([str(names)]).command == f"charlm train {names} --records lines"
    mixed = run("data", "check", names, log).stdout
    assert "list: names.txt, log: server.log; the model learns to write all kinds" in mixed
    assert "mixed files" not in run("data", "check", names).stdout


def test_only_unreadable_texts_fail(tmp_path: Path) -> None:
    """The exit code is 1 for a text that cannot be read, with one line."""
    refused(run("data", "check", tmp_path / "none.txt"), "none.txt")
    failed = run("data", "check", tmp_path / "none.txt", "--json")
    assert failed.exit_code == 1
    assert "none.txt" in json.loads(failed.stdout)["error"]
