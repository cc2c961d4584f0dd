"""What a program may rely on: types, docstrings, mistakes in a line, nothing left changed."""

import dataclasses
import importlib
import inspect
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from inspect import unwrap
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from support.generation import make_predictor
from support.training import TINY

import charlm
from charlm.config.sections.generation import GenerationSettings
from charlm.config.shortcuts import Shortcuts
from charlm.errors import ARGUMENTS, CharlmError
from charlm.prediction.character_scores import CharacterScores
from charlm.prediction.generation import encode_text_prefix

PUBLIC = {name: getattr(charlm, name) for name in charlm.__all__ if name != "events"} | {
    f"events.{name}": value
    for name, value in vars(charlm.events).items()
    if inspect.isclass(value) and value.__module__ == charlm.events.__name__
}
UNTYPED = {
    "train_series.sweep": "a key has values of any type",
    "ItemOriginality.generation": "a JSON object",
    "Originality.generation": "a JSON object",
    "Logged.line": "a JSON object",
    "Run.metrics": "JSON objects",
    "Surprise.summary": "a JSON object",
}
"""What has no narrower type than `Any`, besides `to_json`, and why."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("The rain falls, and rises.\n" * 120, "utf-8")
    return path


@pytest.fixture
def trained(text: Path, tmp_path: Path) -> charlm.Predictor:
    finished = charlm.train("quickstart", text=text, runs=tmp_path, steps=2, settings=TINY)
    return charlm.load(finished.run)


def functions(thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield a public function, or the public methods and properties of a class, by name."""
    if not inspect.isclass(thing):
        yield thing.__name__, thing
        return
    for name, value in vars(thing).items():
        if isinstance(value, property):
            found: Any = value.fget
        elif isinstance(value, cached_property):
            found = value.func
        else:
            found = getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(found):
            yield f"{thing.__name__}.{name}", found


def mentions_any(kind: Any) -> bool:
    return kind is Any or any(map(mentions_any, get_args(kind)))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_names_have_types_and_docstrings(name: str) -> None:
    """Types can be resolved, and are narrower than `Any`; methods have docstrings, too."""
    thing: Any = PUBLIC[name]
    found: dict[str, Any] = {}
    names = {"CharacterScores": CharacterScores, "DataFrame": dict}  # imported for types alone
    assert thing.__doc__
    for where, function in functions(thing):
        assert inspect.getdoc(function), where
        hints = get_type_hints(function, localns=names)
        own = {*inspect.signature(function).parameters} - {"self", "cls"}
        assert own | {"return"} <= set(hints), where
        if not where.endswith(".to_json"):
            found |= {where if key == "return" else f"{where}.{key}": hints[key] for key in hints}
    if dataclasses.is_dataclass(PUBLIC[name]):
        kinds = get_type_hints(thing)
        found |= {f"{thing.__name__}.{key}": kind for key, kind in kinds.items()}
    assert {where for where, kind in found.items() if mentions_any(kind)} <= set(UNTYPED)


MISTAKES: dict[str, Callable[[Path], object]] = {
    "hiden_size= is no short name of a key; did you mean hidden_size": (
        lambda text: charlm.train(text, hiden_size=8)  # type: ignore[call-arg]
    ),
    "budget=datetime.timedelta.*: should be a number, a text": (
        lambda text: charlm.train(text, budget=__import__("datetime").timedelta(1))
    ),
    r"settings is 'a.b=1': should be a list, as in \['a.b=1'\]": (
        lambda text: charlm.train(text, settings="a.b=1")
    ),
    r"sweep: the values of model.cell are a list, as in \['gru'\]": (
        lambda text: charlm.train_series("quickstart", text=text, sweep={"model.cell": "gru"})
    ),
    "unknown is 'ignore': should be 'error', 'skip' or 'map'": (
        lambda text: unwrap(encode_text_prefix)(make_predictor(), "a", unknown="ignore")
    ),
    "text names no files; give some, or omit it": (
        lambda text: charlm.evaluate(make_predictor(), text=[])
    ),
    "split is 'dev': should be one of train, validation, test": (
        lambda text: unwrap(charlm.evaluate)(make_predictor(), split="dev")
    ),
    "rows is 0: should be at least 1": lambda text: charlm.evaluate(make_predictor(), rows=0),
}
"""What is said of mistakes; `unwrap` leaves out the checks of types that tests add."""


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_from_python_is_a_line(message: str, text: Path) -> None:
    with pytest.raises(CharlmError, match=message):
        MISTAKES[message](text)


def test_options_of_errors_are_arguments() -> None:
    """A note of an error names the arguments that its options are, and these exist."""
    functions = [value for value in PUBLIC.values() if inspect.isfunction(unwrap(value))]
    names = {name for one in functions for name in inspect.signature(unwrap(one)).parameters}
    keywords = {*Shortcuts.__annotations__, *GenerationSettings.__annotations__}
    assert names | keywords >= ARGUMENTS
    noted = {
        "a name; omit it, or add --unknown skip": "in Python, --unknown is unknown=…",
        "--min-length 9 allows no item": "in Python, --min-length is min_length=…",
        "raise it: --set training.steps=8": (
            "in Python, --set training.steps=8 is settings=['training.steps=8']"
        ),
        "resume it with --resume runs/a": "in Python, --resume is charlm.resume(…)",
    }
    for message, note in noted.items():
        error = CharlmError(message)
        assert str(error) == message and error.__notes__ == [note]
        assert error._render_traceback_()[1:] == [note]
    for message in ("train one with `charlm train --text FILE`", "use iconv --list", "no option"):
        assert not hasattr(CharlmError(message), "__notes__")


def test_numbers_of_numpy_are_numbers(text: Path, tmp_path: Path) -> None:
    """As they come from an array of values to try."""
    options: Any = {"steps": np.int64(2), "learning_rate": np.float32(0.5), "seed": np.int8(1)}
    finished = charlm.train("quickstart", text=text, runs=tmp_path, settings=TINY, **options)
    assert finished.step == 2
    assert finished.run.config.training.learning_rate == 0.5
    options = {"length": np.int64(5), "temperature": np.float64(0.5)}
    assert len(charlm.generate_text(make_predictor(), "a", **options)) == 5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_switches_gradients_on(
    mode: Callable[[], Any], text: Path, tmp_path: Path
) -> None:
    """Whoever calls it may have switched them off, and finds them off."""
    with mode():
        finished = charlm.train("quickstart", text=text, runs=tmp_path, steps=2, settings=TINY)
        again = charlm.resume(finished.run, steps=3)
        assert not torch.is_grad_enabled()
    assert (finished.step, again.step) == (2, 3)


def test_another_default_type_is_a_mistake(text: Path, tmp_path: Path) -> None:
    """It is noticed before a run folder is made, not when its weights are read."""
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(CharlmError, match=r"trains in float32, and this process makes .*64"):
            charlm.train("quickstart", text=text, runs=tmp_path / "runs", settings=TINY)
    finally:
        torch.set_default_dtype(torch.float32)
    assert not (tmp_path / "runs").exists()


def process_state() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        Path.cwd(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        list(warnings.filters),
    )


def test_a_process_is_left_as_it_was(
    trained: charlm.Predictor, text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Threads, seeds, modes, signals and the working folder; and nothing is printed."""
    importlib.import_module("sympy")  # PyTorch may import it at any time; it adds a warning filter
    capfd.readouterr()
    before = process_state()
    options: Any = {"text": text, "runs": tmp_path, "settings": [*TINY]}
    charlm.train("quickstart", **options, steps=2, deterministic=True)
    charlm.generate_text(trained, "The", length=9, seed=1)
    charlm.evaluate(trained)
    trained.scores("The rain")
    assert process_state() == before
    assert capfd.readouterr() == ("", "")


def test_threads_share_a_model(trained: charlm.Predictor) -> None:
    """What they compute at the same time is what one computes alone."""

    def use(_: int) -> tuple[object, ...]:
        written = charlm.generate_text(trained, "The", length=60, seed=1)
        scored = trained.scores("The rain").bits[1:].tolist()
        return written, scored, charlm.evaluate(trained).nats

    expected = use(0)
    with ThreadPoolExecutor(4) as threads:
        assert set(map(str, threads.map(use, range(8)))) == {str(expected)}


def test_a_model_is_a_key(trained: charlm.Predictor) -> None:
    """Such as of a cache of its scores."""
    assert {trained: 1}[trained] == 1


def test_items_are_shown_in_one_line() -> None:
    items = charlm.generate_items(make_predictor(), number=3, seed=1)
    assert repr(items) == "Items(0 of 3 items, seed 1)"
