"""`charlm generate --mark-copied`: underlined on a terminal, brackets elsewhere."""

import io
import sys
from pathlib import Path

import pytest
from support.commands import refused, run, train
from support.screens import Screen
from support.texts import TEXT

from charlm.cli.copy_marks import MarkedOutput
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import Corpus


def _corpus(path: Path, **keys: object) -> Corpus:
    path.write_text("Ein Satz über Züge.\n" * 9, "utf-8")
    return build_corpus(CorpusConfig.model_validate({"paths": [str(path)], **keys}))


def _shown(corpus: Corpus, data: bytes) -> str:
    output = MarkedOutput(corpus, 8, is_quiet=True)
    for start in range(0, len(data)):
        output.write(data[start : start + 1])
    output.finish()
    output.close()
    assert isinstance(sys.stdout, Screen)
    written = sys.stdout.buffer
    assert isinstance(written, io.BytesIO)
    return written.getvalue().decode().replace("⟦", "[[").replace("⟧", "]]")


def test_a_terminal_underlines_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The style begins and ends around the span; NO_COLOR leaves brackets."""
    corpus = _corpus(tmp_path / "text")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.setattr(sys, "stdout", Screen())
    assert _shown(corpus, b"no Ein Satz.") == "no \x1b[4mEin Satz\x1b[24m."
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Screen())
    assert _shown(corpus, b"no Ein Satz") == "no [[Ein Satz]]"


def test_marks_do_not_split_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of a byte model may begin within a character; the marks stand around it."""
    corpus = _corpus(tmp_path / "text", unit="byte")
    monkeypatch.setattr(sys, "stdout", Screen())
    monkeypatch.setenv("NO_COLOR", "1")
    shown = _shown(corpus, "¼ber Züge. ü".encode())  # ¼ ends with the last byte of ü
    assert shown == "¼[[ber Züge.]] ü"


def test_a_pipe_receives_brackets(text_file: Path, tmp_path: Path) -> None:
    """The prefix is part of the text; without the marks, it is the text without the option."""
    folder = train(text_file, tmp_path / "runs")
    words = ["generate", folder, "-p", TEXT[:50], "-n", "30", "--seed", "1", "-q"]
    plain, marked = run(*words).stdout, run(*words, "--mark-copied", "40").stdout
    assert marked.startswith("⟦" + TEXT[:50])
    assert marked.replace("⟦", "").replace("⟧", "") == plain
    several = run(*words, "--mark-copied=40", "--num-samples=2").stdout
    assert several.count("⟦" + TEXT[:50]) == 2
    assert several.replace("⟦", "").replace("⟧", "") == run(*words, "--num-samples=2").stdout
    explained = run(*words[:-1], "--mark-copied=40").stderr
    assert "between ⟦ and ⟧: spans of 40 characters or more" in explained


def test_marks_need_the_training_text(text_file: Path, tmp_path: Path) -> None:
    """A copy of it takes its place, and the error names the option; a file receives no marks."""
    folder = train(text_file, tmp_path / "runs")
    marked = ["generate", folder, "--mark-copied=40"]
    refused(run(*marked, "--output", tmp_path / "new.txt"), "--output writes only the text")
    copy = text_file.rename(tmp_path / "copy.txt")
    refused(run(*marked), "text.txt", "name a copy of it with --text")
    shown = run(*marked, "--text", copy, "--prefix", TEXT[:50], "--length=30")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("⟦" + TEXT[:50])
