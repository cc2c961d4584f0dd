"""What all tests share: checked shapes, a cache of their own, and a small text to train on."""

import copy
import faulthandler
import functools
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

_YOUNG_OBJECTS = 10_000
"""New objects after which Python collects garbage; its default, 700, slows the tests."""
gc.disable()  # imports and collection make little garbage, and looking for it takes seconds

# Models here are so small that a second thread only waits; commands that tests start follow suit.
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, so that it holds in every thread
os.environ["OMP_WAIT_POLICY"] = "passive"  # as `charlm` sets it: threads that wait do not spin
os.environ["GOMP_SPINCOUNT"] = "10000"

pytest.register_assert_rewrite("support", "law", "targets")

from support.shape_checks import check_annotations  # noqa: E402

check_annotations()  # before charlm is imported

import torch  # noqa: E402
from filelock import FileLock, Timeout  # noqa: E402
from hypothesis import settings  # noqa: E402
from support.texts import CACHED_TEXT, TEXT  # noqa: E402
from typer.main import get_command  # noqa: E402

from charlm.files import strict_yaml  # noqa: E402
from charlm.files.atomic import write_whole  # noqa: E402
from charlm.kernels import compiler  # noqa: E402
from charlm.kernels.store import KernelStore  # noqa: E402
from charlm.models import openings  # noqa: E402

torch.set_num_threads(1)

# No deadline: torch's first call is slow.
settings.register_profile("charlm", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("charlm")


_MOST_IN_MEMORY = 2 << 30
"""Bytes that must be free in memory for the files of all tests, of which they write a third."""


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder for this run of the tests; its workers inherit it, with the cache in it.

    It lies in memory where there is enough: a small training replaces files more often than it
    computes. The folders of single tests go with it, unless `--basetemp` names another place.
    """
    if hasattr(config, "workerinput"):
        return
    memory = _in_memory()
    for lock in Path(memory).glob("char-rnn-tests-*/running.lock") if memory else ():
        with suppress(OSError, Timeout), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent)  # a run that was killed left it
    folder = Path(tempfile.mkdtemp(prefix="char-rnn-tests-", dir=memory))
    config.add_cleanup(lambda: shutil.rmtree(folder))
    running = FileLock(folder / "running.lock")
    running.acquire()
    config.add_cleanup(running.release)
    config.option.basetemp = config.option.basetemp or folder / "tests"
    os.environ |= {"CHARLM_CACHE": str(folder / "cache"), "CHARLM_TESTS": str(folder)}
    (folder / "cache").mkdir()
    _keep_kernels(config)
    if config.getoption("numprocesses", None):  # the compiler runs while workers import torch
        Thread(target=_build_kernels, daemon=True).start()


def _in_memory() -> str | None:
    """Return Linux' folder of files in memory if it has room; it has little in most containers."""
    folder = "/dev/shm"
    with suppress(OSError):
        if shutil.disk_usage(folder).free > _MOST_IN_MEMORY and os.access(folder, os.W_OK):
            return folder
    return None


def _keep_kernels(config: pytest.Config) -> None:
    """Start with the kernels that the last run of the tests built, and keep those of this run.

    To compile them takes longer than the slowest test.
    """
    if (cache := getattr(config, "cache", None)) is None:  # `-p no:cacheprovider`
        return
    store = KernelStore(compiler.kernels_version())
    kept = cache.mkdir("kernels") / compiler.kernels_version()
    with suppress(FileNotFoundError):
        store.keep(kept.read_bytes())

    def keep() -> None:
        if not kept.exists() and (library := store.read()) is not None:
            for older in kept.parent.iterdir():
                older.unlink(missing_ok=True)
            write_whole(kept, library)

    config.add_cleanup(keep)


def pytest_markeval_namespace() -> dict[str, object]:
    """Provide what the conditions of `skipif` name."""
    return {"compiler": compiler}


@pytest.hookimpl(tryfirst=True)  # the loop of a worker of pytest-xdist ends the calls of this hook
def pytest_runtestloop(session: pytest.Session) -> None:
    """Load the kernels in each worker; one process builds them, and the others wait."""
    gc.freeze()  # what was imported stays: no collection looks at it again
    gc.set_threshold(_YOUNG_OBJECTS)
    gc.enable()
    if hasattr(session.config, "workerinput"):
        _build_kernels()


def _build_kernels() -> None:
    with FileLock(Path(os.environ["CHARLM_TESTS"], "kernels.lock")):
        compiler.library()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cuda", help="device of the tests of a GPU: cuda or cpu")


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    """The device of the tests of a GPU; the CPU computes with PyTorch's kernels, as a GPU does."""
    name = str(pytestconfig.getoption("device"))
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU with CUDA")
    # cuDNN rounds factors to 10 bits (TF32) unless it is told not to; it reads this once.
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    os.environ["CHARLM_KERNELS"] = "off"
    return torch.device(name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a long test take its time: `faulthandler_timeout` is for the others."""
    if item.get_closest_marker("long"):
        faulthandler.cancel_dump_traceback_later()


ALL_TESTS = pytest.StashKey[list[tuple[str, bool]]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note the tests before a marker deselects some: their names, and whether they are long."""
    config.stash[ALL_TESTS] = [
        (item.nodeid, item.get_closest_marker("long") is not None) for item in items
    ]


@pytest.fixture(scope="session")
def all_tests(request: pytest.FixtureRequest) -> list[tuple[str, bool]]:
    """The names of all tests in the given files, and whether each is long."""
    return request.config.stash[ALL_TESTS]


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


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which the compiler module is in the state of a new process.

    Nothing is loaded and no compiler found. After the test, what was loaded before is there again.
    """

    def forget() -> None:
        for name in ("_load", "_building", "_compiler", "kernels_version"):
            function = getattr(compiler, name).__wrapped__
            monkeypatch.setattr(compiler, name, functools.cache(function))

    forget()
    return forget


@pytest.fixture(scope="session")
def by_one_and_two() -> Path:
    """A folder with a text, and below `one` and `two` what that many processes made of it.

    All workers share these runs, so tests leave them as they are.
    """
    from support.several_processes import train_by_one_and_two

    folder = Path(os.environ["CHARLM_TESTS"], "by-one-and-two")
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            train_by_one_and_two(folder)
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property write to."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(autouse=True, scope="session")
def quick_disk() -> Iterator[None]:
    """Wait for no disk: no test ends the machine, and a small training would wait most of its time.

    Processes that tests start do wait.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def commands_built_once() -> Iterator[None]:
    """Keep the tree of commands that a call of the command line in this process builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(get_command))
        yield


@pytest.fixture(autouse=True, scope="session")
def configs_parsed_once() -> Iterator[None]:
    """Parse a config file once: most tests read the same, which takes as long as some steps."""
    parse = functools.lru_cache(maxsize=64)(strict_yaml.parse_yaml)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_yaml, "parse_yaml", lambda text: copy.deepcopy(parse(text)))
        yield


@pytest.fixture(autouse=True, scope="session")
def short_openings() -> Iterator[None]:
    """Shorten the passages of openings: each checkpoint reads them, most of a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openings, "_PASSAGE_CHARACTERS", 24)
        yield


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Set the signals as a terminal's shell does; `nohup` and `&` make a process ignore some."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """A browser that all tests of pages share: it takes longer to start than a test takes."""
    from support.browser import browser, skip_without_browser

    skip_without_browser()
    with browser() as opened:
        yield opened


@pytest.fixture(autouse=True)
def same_global_numbers() -> None:
    """Give each test the same numbers of PyTorch's global generator, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def random() -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(0)
