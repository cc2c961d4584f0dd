"""Laws of names: which files a name, a folder or a glob means."""

import glob
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from support.corpora import config_of, decoded

from charlm.config.load import override
from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.corpus.files import find_files
from charlm.errors import CorpusError


def test_a_folder_gives_its_files_in_order(tmp_path: Path) -> None:
    """A folder gives all its files in order without hidden ones."""
    names = ["b.txt", "a.txt", "sub/deep/d", "sub/c.txt", ".hidden", ".git/x.txt", "sub/.y"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    expected = [tmp_path / name for name in ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d"]]
    assert find_files([str(tmp_path)]) == expected


def test_a_folder_that_is_itself_hidden_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".texts"
    folder.mkdir()
    (folder / "a").write_text("a")
    assert find_files([str(folder)]) == [folder / "a"]


def test_globs_give_files_in_order(tmp_path: Path) -> None:
    for name in ["b.txt", "a.txt", "c.md", "sub.txt/d.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert find_files([str(tmp_path / "*.txt")]) == [tmp_path / "a.txt", tmp_path / "b.txt"]
    deep = [tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "sub.txt" / "d.txt"]
    assert find_files([str(tmp_path / "**" / "*.txt")]) == deep


def test_several_names_keep_their_order(tmp_path: Path) -> None:
    """Several names keep their order and give each file once."""
    for name in ["a", "b", "c"]:
        (tmp_path / name).write_text(name)
    names = [str(tmp_path / "c"), str(tmp_path / "*"), str(tmp_path), str(tmp_path / "a")]
    assert find_files(names) == [tmp_path / "c", tmp_path / "a", tmp_path / "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_links_are_not_followed_endlessly(tmp_path: Path) -> None:
    """Links to folders are not followed endlessly.

    Two of them give 2⁴⁰ paths to one file, and 40 stars as many.
    """
    text = tmp_path / "texts" / "text.txt"
    text.parent.mkdir()
    text.write_text("text")
    for name in "ab":
        (text.parent / name).symlink_to(".")
    folder = str(text.parent)
    for name in (f"{folder}/**/*.txt", f"{folder}/**", f"{folder}/**/**/**/*", folder):
        assert find_files([name]) == [text]
    assert len(find_files([f"{folder}/{'*/' * 35}text.txt"])) == 1
    (tmp_path / "linked").symlink_to(folder)
    assert find_files([str(tmp_path / "link*" / "*.txt")]) == [tmp_path / "linked" / "text.txt"]
    assert find_files([str(tmp_path / "**" / "*.txt")]) == [text]
    assert find_files([str(tmp_path)]) == [text]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_first_of_several_links_names_a_folder(tmp_path: Path) -> None:
    """The order in which the file system lists links to one folder does not decide its name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text").write_text("text")
    for name in "qbzam":
        (tmp_path / name).symlink_to("folder")
    assert find_files([str(tmp_path / "*" / "text")]) == [tmp_path / "a" / "text"]
    assert find_files([str(tmp_path / "?" / "**" / "text")]) == [tmp_path / "a" / "text"]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_a_file_and_a_link_to_it_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "again").symlink_to(tmp_path / "text")
    assert find_files([str(tmp_path)]) == [tmp_path / "again"]
    assert find_files([str(tmp_path / name) for name in ("text", "again")]) == [tmp_path / "text"]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", ["a.txt", "b.md"]),
        ("**", ["a.txt", "b.md", "sub/c.txt"]),
        ("**/c*", ["sub/c.txt"]),
        ("sub/**/*.txt", ["sub/c.txt"]),
        ("**/.x/*", ["sub/.x/d.txt"]),
        (".*", [".hidden"]),
        ("[ab].*", ["a.txt", "b.md"]),
        ("?.txt/*", []),
        ("sub/*/**/d.txt", []),
    ],
)
def test_a_glob_matches_what_a_shell_does(pattern: str, matches: list[str], tmp_path: Path) -> None:
    for name in ["a.txt", "b.md", "sub/c.txt", "sub/.x/d.txt", ".hidden"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    by_glob = glob.glob(str(tmp_path / pattern), recursive=True)  # noqa: PTH207 - hides what is hidden
    assert sorted(map(Path, matches)) == [
        Path(path).relative_to(tmp_path) for path in sorted(by_glob) if Path(path).is_file()
    ]
    if matches:
        assert find_files([str(tmp_path / pattern)]) == [tmp_path / name for name in matches]
    else:
        with pytest.raises(CorpusError, match="no such file"):
            find_files([str(tmp_path / pattern)])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["device", "pipe", "socket"])
def test_what_is_no_regular_file_is_no_text(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    if kind == "pipe":
        os.mkfifo("odd")
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "socket":
            server.bind("odd")
        name = "/dev/zero" if kind == "device" else "odd"
        with pytest.raises(CorpusError, match=rf"^{name}: neither .* standard input \(-\)"):
            build_corpus(config_of(name))
        (tmp_path / "text").write_text("text")
        assert find_files([str(tmp_path)]) == [tmp_path / "text"]


@pytest.mark.parametrize("name", ["lyrics [1999].txt", "[a]", "what?", "star*.txt"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_a_file_name_like_a_glob(name: str, tmp_path: Path) -> None:
    """A name that looks like a glob is a file where there is one."""
    (tmp_path / name).write_text("this one")
    (tmp_path / "a").write_text("not this one")
    (tmp_path / "lyrics 1.txt").write_text("nor this one")
    assert find_files([str(tmp_path / name)]) == [tmp_path / name]


def test_a_glob_in_a_folder_with_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glob works in a current folder whose own name holds brackets."""
    folder = tmp_path / "songs [1999]"
    folder.mkdir()
    (folder / "one.txt").write_text("A song of some length.\n" * 10)
    monkeypatch.chdir(folder)
    config = override(Config(), [], "*.txt").corpus
    assert decoded(build_corpus(config)) == "A song of some length.\n" * 10


@pytest.mark.parametrize(
    "name",
    [
        "missing.txt",
        "missing/*.txt",
        "nul\0character",
        "lone\ud800surrogate",
        "a text given where its path belongs " * 20,
        "~no-user-of-this-name/text",
    ],
    ids=lambda name: ascii(name[:20]),
)
def test_a_name_without_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a file is an error that repeats it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=f"^{re.escape(name)}.*(no such file|too long)"):
        find_files([name])
