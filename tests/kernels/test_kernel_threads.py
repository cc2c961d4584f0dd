"""Threads that ask for the kernels at once, anywhere in charlm, get one build of them."""

import ctypes
import os
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Barrier, Event
from types import FrameType
from typing import Any

import pytest
import torch
from support.kernels import needs_compiler
from support.processes import exit_code_of_child

from charlm.config.schema import Config, ModelConfig
from charlm.kernels import compiler, loading
from charlm.kernels.functions import FUNCTIONS
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import KernelNGrams, make_ngrams
from charlm.training.calibration import can_compile
from charlm.training.determinism import engine

pytestmark = needs_compiler


def _model() -> LanguageModel:
    return LanguageModel(ModelConfig(hidden_size=8), 12)


ENTRY_POINTS: dict[str, Callable[[], bool]] = {
    "library": lambda: compiler.library() is not None,
    "description": lambda: compiler.description() == "compiled kernels",
    "is_available": lambda: loading.is_available(torch.zeros(1)),
    "make_ngrams": lambda: isinstance(make_ngrams(2, 12), KernelNGrams),
    "can_compile": lambda: can_compile(Config()),
    "engine": lambda: engine(_model()) == "compiled kernels",
}


class Build:
    """A slow build whose result can be fetched once, as its folder is removed then."""

    def __init__(self) -> None:
        self.fetched = 0
        self.begins = Event()

    def finish(self) -> tuple[bytes | None, str]:
        self.fetched += 1
        is_first = self.fetched == 1
        self.begins.set()
        time.sleep(0.1)
        return (b"library", "") if is_first else (None, "[Errno 2] No such file or directory")


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Replace the compiler by a slow one, and the store by an empty one; nothing is loaded."""
    build, library = Build(), compiler.library()

    class Store:
        """Stores nothing; what it loads is the library that was loaded before."""

        def read(self) -> None:
            return None

        def failure(self) -> str:
            return ""

        def keep(self, data: bytes) -> None:
            pass

        def load(self, data: bytes) -> ctypes.CDLL | None:
            return library

    monkeypatch.setattr(compiler, "_store", Store)
    monkeypatch.setattr(compiler, "_building", lambda: build)
    # Its cache, too: clearing the true one would lose what is loaded.
    monkeypatch.setattr(compiler, "_load", cache(compiler._load.__wrapped__))
    return build


@pytest.mark.parametrize("names", [*((name,) * 3 for name in ENTRY_POINTS), tuple(ENTRY_POINTS)])
def test_all_threads_get_the_one_build(build: Build, names: tuple[str, ...]) -> None:
    """Whichever way they ask; one that came second used to lose the kernels for all of them."""
    begin = Barrier(len(names))

    def ask(name: str) -> bool:
        begin.wait()
        return ENTRY_POINTS[name]()

    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(ask, names))
    assert build.fetched == 1
    assert all(is_compiled() for is_compiled in ENTRY_POINTS.values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_fork_during_a_build(build: Build) -> None:
    """The fork waits for the build: a lock that is held in the child would never be released."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(compiler.library)
        build.begins.wait()
        assert exit_code_of_child(lambda: compiler.library() is not None) == 0
        assert found.result() is not None
    assert build.fetched == 1


def _declare_interrupted(after: int) -> int:
    """Declare a fresh library; after so many steps, act as other threads do; return the steps."""
    steps = 0
    library = compiler.library()
    assert library is not None
    kernels = ctypes.CDLL("kernels", handle=library._handle)

    def act(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal steps
        steps += 1
        if steps > after:
            use()
        return act

    def use() -> None:
        found = loading.loaded()
        for name in FUNCTIONS:
            assert getattr(found, f"charlm_{name}").argtypes is not None, name

    before = sys.gettrace()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "library", lambda: kernels)
        sys.settrace(act)
        try:
            loading.loaded()
        finally:
            sys.settrace(before)
        use()
    return steps


def test_functions_are_declared_before_use() -> None:
    """Wherever a thread that declares the functions is interrupted, others find them declared."""
    after = 0
    while _declare_interrupted(after) > after:
        after += 1
    assert after > len(FUNCTIONS)


def test_declared_types_are_those_of_the_source() -> None:
    """Every function of kernels.cpp is declared, with its number of arguments."""
    source = Path(compiler.__file__).with_name("kernels.cpp").read_text("utf-8")
    found = dict(re.findall(r"^[\w*]+ charlm_(\w+)\(([^)]*)\)", source, re.MULTILINE))
    cells = re.findall(r"^CELL\((\w+),", source, re.MULTILINE)
    found |= dict.fromkeys(cells, "call, bfloat16, backward")
    numbers = {name: len(text.split(",")) if text else 0 for name, text in found.items()}
    assert numbers == {name: len(arguments) for name, (_, arguments) in FUNCTIONS.items()}
