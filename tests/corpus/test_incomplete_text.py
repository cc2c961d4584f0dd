"""A text is read whole or refused; what is named and left out is said."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.files import find_files
from charlm.errors import CorpusError, CorpusWarning

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions and links of POSIX")

NOBODY = 65534


@contextmanager
def without_rights() -> Iterator[None]:
    """Be a user whom permissions bind, where the tests are run by one whom they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a text, that everybody may read."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "a.txt").write_text("The rain had stopped. " * 20)
        yield path


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["not listed", "not searched"])
@pytest.mark.parametrize("pattern", ["", "**/*.txt", "*/*.txt"])
def test_a_locked_subfolder_is_refused(folder: Path, mode: int, pattern: str) -> None:
    """A subfolder that cannot be read is refused by its name.

    A text without the files of a locked subfolder would be incomplete, and nobody would know.
    """
    (folder / "locked").mkdir()
    (folder / "locked" / "b.txt").write_text("Nobody said a word. " * 20)
    (folder / "locked").chmod(mode)
    with without_rights(), pytest.raises(CorpusError) as caught:
        find_files([str(folder / pattern)])
    assert str(folder / "locked") in str(caught.value)
    assert "Permission denied" in str(caught.value) and "--text 'folder/*.txt'" in str(caught.value)
    (folder / "locked").chmod(0o755)
    assert len(find_files([str(folder / "**" / "*.txt")])) == 2


@pytest.mark.parametrize("target", ["nowhere.txt", "broken.txt"], ids=["nothing", "itself"])
@pytest.mark.parametrize("pattern", ["", "*.txt"])
def test_a_link_to_nothing_is_refused(folder: Path, target: str, pattern: str) -> None:
    (folder / "broken.txt").symlink_to(folder / target)
    with pytest.raises(CorpusError, match=r"broken\.txt: could not be read"):
        find_files([str(folder / pattern)])


@pytest.mark.parametrize("name", [".hidden", "other.md"])
def test_a_dangling_link_is_left_alone(folder: Path, name: str) -> None:
    """A link to nothing that is not asked for is left alone.

    Editors keep such links, hidden, beside the files that they have open.
    """
    (folder / name).symlink_to("nowhere")
    assert find_files([str(folder / "*.txt")]) == [folder / "a.txt"]


def test_a_file_that_vanishes_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: [*listed(path), path / "vanished.txt"])
    with pytest.raises(CorpusError, match=r"vanished\.txt: could not be read"):
        find_files([str(folder)])


@pytest.mark.parametrize("again", ["a.txt", "*.txt", "link", "./a.txt", ""])
def test_a_file_named_twice_is_read_once(folder: Path, again: str) -> None:
    """A file that is named twice is read once and said."""
    if again == "link":
        (folder / "link").symlink_to("a.txt")
    paths = (str(folder / "a.txt"), str(folder / again))
    with pytest.warns(CorpusWarning, match=r"named more than once.*; read only once"):
        corpus = build_corpus(CorpusConfig(paths=paths))
    assert sum(len(part) for part in corpus.splits.values()) == 22 * 20


def test_files_passed_over_are_named(folder: Path) -> None:
    """What a folder holds and charlm passes over is said."""
    notices: list[str] = []
    (folder / "more").mkdir()
    (folder / "more" / "b.txt").write_text("b")
    (folder / "linked").symlink_to("more")
    os.mkfifo(folder / "pipe")
    found = find_files([str(folder)], report=notices.append)
    assert found == [folder / "a.txt", folder / "more" / "b.txt"]
    assert [notice.partition(":")[0] for notice in notices] == [
        str(folder / "linked"),
        str(folder / "pipe"),
    ]


def test_many_files_are_one_line(folder: Path) -> None:
    notices: list[str] = []
    for number in range(1000):
        (folder / f"{number:04}.txt").touch()
    find_files([str(folder), str(folder)], report=notices.append)
    assert len(notices) == 1 and "and 998 more" in notices[0] and len(notices[0]) < 400


def test_the_command_line_warns_if_quiet(folder: Path) -> None:
    """The command line says it in a line even if quiet.

    A warning that a text is incomplete is no progress message.
    """
    text = f"--text={folder / 'a.txt'}"
    steps = ("--set=training.steps=1", "--set=training.budget=null", "--set=model.hidden_size=8")
    command = ("train", "quickstart", text, text, *steps, "--runs", str(folder / "runs"))
    for quiet in ([], ["--quiet"]):
        result = CliRunner().invoke(app, [*command, *quiet])
        assert result.exit_code == 0
        said = [line for line in result.stderr.splitlines() if "read only once" in line]
        assert len(said) == 1 and said[0].startswith(f"charlm: {folder / 'a.txt'}: named more than")
    assert result.stderr.splitlines() == said
