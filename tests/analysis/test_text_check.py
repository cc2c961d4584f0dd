"""What `charlm data check` finds in a text, question by question."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.analysis.text_characters import control_characters, mojibake, rare_characters
from charlm.analysis.text_check import check_text
from charlm.analysis.text_lines import (
    count_line_ends,
    item_list,
    kind_of,
    mark_up,
    record_form,
    repeated_lines,
)
from charlm.analysis.text_passages import repeated_passages, shared_with_training
from charlm.cli.list_hint import list_hint
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.vocabulary import code_points
from charlm.errors import CorpusError


def _random_text(length: int, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices("abcdefgh \n", k=length))


_CYRILLIC = "".join(map(chr, range(0x410, 0x410 + 20)))


@given(st.lists(st.sampled_from(["\n", "\r\n", "\r", "x"])))
def test_line_ends_are_counted_by_kind(pieces: list[str]) -> None:
    """A carriage return before a newline is one line end with it."""
    text = "x".join(pieces)  # so that no two of them make another one
    counts = count_line_ends(text)
    assert (counts.lf, counts.cr_lf, counts.cr) == tuple(map(pieces.count, ("\n", "\r\n", "\r")))
    assert counts.is_mixed == (len({*pieces} - {"x"}) > 1)


def test_repeated_lines_are_those_seen_before() -> None:
    """Blank lines do not count; the share is of the others."""
    found = repeated_lines(["a", "", "b", "a", "a", "", "c"])
    assert (found.lines, found.repeated, found.most_frequent) == (5, 2, (("a", 3),))
    assert found.share == 0.4
    assert repeated_lines([""]).share == 0.0


def test_lists_are_told_from_prose() -> None:
    """Short lines of few words are a list; verses, prose and a few lines are none."""
    names = [f"Name {n:03}" for n in range(30)]
    assert item_list(names) == type(item_list(names))(True, True)
    assert item_list(names[::-1]).is_list
    assert not item_list(names[::-1]).is_sorted
    assert not item_list(names[:10]).is_list
    assert not item_list(["Shall I compare thee to a summer's day?"] * 30).is_list
    assert not item_list([name + "." for name in names]).is_list
    assert not item_list([line for name in names for line in (name, "")]).is_list


def test_kinds_of_files_are_told() -> None:
    """Names are a list, dated lines a log, sentences running text, a few lines nothing."""
    assert kind_of([f"Name {n:03}" for n in range(30)]) == "list"
    for start in ("2024-01-02 10:00:01", "[12:30:01]", "Jan  2 10:00:01", "10.0.0.1 -"):
        assert kind_of([f"{start} request served"] * 30) == "log"
    assert kind_of(["Shall I compare thee to a summer's day?"] * 30) == "running text"
    assert kind_of(["Name"] * 10) == ""


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        ([f"Name {n:03}" for n in range(30)], "lines"),
        (["2024-01-02 10:00:01 request served"] * 30, "lines"),
        (["A card of two lines,", "with a verb.", "%"] * 10, "%"),
        (["A tale begins here and ends.", "<|endoftext|>"] * 10, "<|endoftext|>"),
        (["Shall I compare thee to a summer's day?"] * 30, ""),
        (["We gained 50", "%", "in a year."] * 2, ""),
    ],
)
def test_the_form_of_a_list_is_named(lines: list[str], form: str, tmp_path: Path) -> None:
    """The command trains on items where the lines, or lines between them, show a list."""
    assert record_form(lines) == form
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines))
    command = check_text([str(path)]).command
    assert ("--records" in command) == bool(form)
    hint = list_hint(CorpusConfig(paths=(str(path),)))
    assert len(hint) == bool(form)
    assert list_hint(CorpusConfig(paths=(str(path),), records="lines")) == []


def test_files_of_several_kinds(tmp_path: Path) -> None:
    """Each file that has enough lines has its kind; one file alone needs none."""
    names, log = tmp_path / "names.txt", tmp_path / "server.log"
    names.write_text("".join(f"Name {n:03}\n" for n in range(30)))
    log.write_text("2024-01-02 10:00:01 request served\n" * 30)
    assert check_text([str(names), str(log)]).kinds == {"names.txt": "list", "server.log": "log"}
    assert check_text([str(names)]).kinds == {}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("<p class='x'>text</p>", "HTML or XML tags"),
        ("fish &amp; chips", "HTML entities"),
        ("see [[Main page]]", "wiki mark-up"),
        ("# Heading", "Markdown"),
    ],
)
def test_mark_up_is_named(line: str, kind: str) -> None:
    """Each kind from three marks on; a comparison of numbers is none."""
    assert [one.kind for one in mark_up("\n".join([line] * 3), 3)] == [kind]
    assert mark_up(line if kind != "HTML or XML tags" else "<p>", 1) == ()
    assert mark_up("a < b and c > d\n***** 5 * 3\n" * 3, 6) == ()


def test_control_characters_have_names() -> None:
    """NUL, escape codes and marks within a text; tabs and line ends are ordinary."""
    counts = np.bincount(code_points("a\0\0\x1b\x96\t\r\n\ufeff\ufffdé"))
    names = {one.name: one.count for one in control_characters(counts)}
    assert names["U+0000 NUL"] == 2
    assert names["U+001B ESCAPE"] == 1
    assert names["U+0096 control character"] == 1
    assert len(names) == 5


def test_rare_characters_suggest_a_count() -> None:
    """Many characters below the limit suggest it as the minimum count; six do not."""
    common = "abc" * 10
    two = rare_characters(np.bincount(code_points(common + "éé§")))
    assert [one.count for one in two.characters] == [1, 2]
    assert two.minimum_count is None
    six = rare_characters(np.bincount(code_points(common + "éé§ж&%$")))
    assert six.minimum_count is None
    assert six.vocabulary == 9
    assert "CYRILLIC SMALL LETTER ZHE" in {one.name[-25:] for one in six.characters}
    assert rare_characters(np.bincount(code_points(common + _CYRILLIC))).minimum_count == 3
    assert rare_characters(np.bincount(code_points(common + _CYRILLIC[1:]))).minimum_count is None
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 400))) * 3
    assert rare_characters(np.bincount(code_points(many + _CYRILLIC))).minimum_count is None


def test_mojibake_is_shown_mended() -> None:
    """UTF-8 that was read as Windows-1252; correct text is unchanged."""
    wrong = "Der Zug fährt über die Brücke".encode().decode("cp1252")
    found = mojibake([wrong, "Der Zug fährt", "plain"])
    assert found.lines == 1
    assert found.examples[0] == (wrong.split()[2], "fährt")


def test_more_text_feeds_a_larger_model(tmp_path: Path) -> None:
    """The size is the one that `charlm train` may choose for so much text."""
    path = tmp_path / "text.txt"
    sizes = []
    for length in (200, 20_000, 200_000):
        path.write_text(_random_text(length), "utf-8")
        sizes.append(check_text([str(path)]).hidden_size)
    assert sizes == sorted({*sizes})


def test_repeated_passages_are_estimated() -> None:
    """A text that is there twice is all repeated, a random one is not."""
    text = _random_text(20_000)
    assert repeated_passages(code_points(text), text).share == 0
    twice = repeated_passages(code_points(text + text), text + text)
    assert twice.share > 0.95
    assert twice.longest == 1000
    assert twice.example in text
    half = _random_text(20_000, 1) + text[:5000] + "-" + text[:5000] + _random_text(10_000, 2)
    assert 0.2 < repeated_passages(code_points(half), half).share < 0.3
    assert repeated_passages(code_points("short"), "short").share == 0


def test_the_test_split_is_searched() -> None:
    """The fraction of its characters in long spans of the training split."""
    text = _random_text(4000)
    other = _random_text(500, 1)
    training, test = code_points(text), code_points(text[1000:1500] + "-" + other[:499])
    assert 0.5 <= shared_with_training(training, test) < 0.52
    assert shared_with_training(training, training[:0]) == 0


def test_a_check_names_the_command(tmp_path: Path) -> None:
    """The command has the paths as they were given, and the suggested setting."""
    path = tmp_path / "my text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + (_random_text(3000) + _CYRILLIC).encode())
    check = check_text([str(path)])
    assert check.command == f"charlm train '{path}' --set corpus.minimum_count=3"
    assert (check.characters, check.byte_order_marks, check.files) == (3020, 1, 1)
    assert check.encodings == {"UTF-8": 1}
    assert check.hidden_size == 96


def test_line_ends_are_seen_as_they_are(tmp_path: Path) -> None:
    """A log with CR LF: the line ends and the repeated lines are those of the file."""
    path = tmp_path / "log.txt"
    lines = [f"12:{n % 60:02} INFO request {n % 75} served in 3 ms" for n in range(300)]
    path.write_bytes("\r\n".join(lines).encode())
    check = check_text([str(path)])
    assert (check.line_ends.cr_lf, check.line_ends.lf, check.line_ends.is_mixed) == (299, 0, False)
    assert (check.lines.lines, check.lines.repeated) == (300, 0)


def test_unreadable_texts_are_refused(tmp_path: Path) -> None:
    """Nothing at a path, an empty file, and a file that is no text."""
    empty, image = tmp_path / "empty.txt", tmp_path / "image.png"
    empty.write_bytes(b"")
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    for path, words in ((tmp_path / "none", "none"), (empty, "empty"), (image, "image")):
        with pytest.raises(CorpusError, match=words):
            check_text([str(path)])


def test_a_check_knows_the_shortest_text(tmp_path: Path) -> None:
    """The shortest text that passes is the shortest that can be split; a shorter one cannot."""
    path = tmp_path / "text.txt"
    path.write_text("x" * 14)
    check = check_text([str(path)])
    assert check.is_too_short
    assert check.command == ""
    path.write_text("x" * check.fewest_characters)
    assert not check_text([str(path)]).is_too_short
    build_corpus(CorpusConfig(paths=(str(path),)))
    path.write_text("x" * (check.fewest_characters - 1))
    with pytest.raises(CorpusError, match="needs at least 2"):
        build_corpus(CorpusConfig(paths=(str(path),)))
