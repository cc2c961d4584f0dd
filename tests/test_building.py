"""What a build leaves in the cache, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.building import building_folder
from charlm.config import CorpusConfig
from charlm.corpus import build_corpus

_BUILD = """
import sys
from pathlib import Path
from charlm.building import building_folder
with building_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half of it")
    print(folder, flush=True)
    input()
"""


def make_old(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_a_folder_is_gone_with_its_build_whether_that_succeeds_or_fails(tmp_path: Path) -> None:
    with building_folder(tmp_path) as folder:
        (folder / "part").write_text("part")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="broken"), building_folder(tmp_path):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_the_next_build_removes_what_a_killed_one_has_left_and_no_more(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("CHARLM_CACHE", str(cache))
    with subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().rstrip())
        make_old(folder)
        build_corpus(CorpusConfig(paths=(str(text_file),)))
        assert (folder / "half").exists(), "it is in use"
        process.kill()
    os.utime(folder)
    build_corpus(CorpusConfig(paths=(str(text_file),)))
    assert folder.exists(), "it may have been made a moment ago, and its lock not yet"
    make_old(folder)
    build_corpus(CorpusConfig(paths=(str(text_file),)))
    assert [path.name for path in cache.iterdir()] == ["corpora"]
