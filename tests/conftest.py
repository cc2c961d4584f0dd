"""What all tests share: checked shapes, a cache of their own, and a small text to train on."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Models here are so small that a second thread only waits; commands that tests start follow suit.
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, so that it holds in every thread

pytest.register_assert_rewrite("support", "law", "targets")

from support.shape_checks import check_annotations  # noqa: E402

check_annotations()  # before charlm is imported

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from support.texts import CACHED_TEXT, TEXT  # noqa: E402

torch.set_num_threads(1)

settings.register_profile("charlm", deadline=None)  # torch's first call is slow
settings.load_profile("charlm")


def pytest_configure(config: pytest.Config) -> None:
    """Make a cache for this run of the tests; its workers inherit it, and build kernels once."""
    if not hasattr(config, "workerinput"):
        os.environ["CHARLM_CACHE"] = tempfile.mkdtemp(prefix="charlm-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ["CHARLM_CACHE"]))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A file of some 5,000 characters."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def cached_text(tmp_path: Path) -> Path:
    """A file that each setting of a corpus reads as another text."""
    path = tmp_path / "text"
    path.write_text(CACHED_TEXT, "utf-8", newline="")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("CHARLM_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property write to."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Set the signals as a terminal's shell does; `nohup` and `&` make a process ignore some."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def random() -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(0)
