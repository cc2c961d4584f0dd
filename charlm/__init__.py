"""charlm: character-level recurrent language models on your own text, on the machine you have.

>>> from charlm import evaluate, generate, load, train
>>> train("quickstart", text="novel.txt", name="novel")
>>> model = load("runs/novel")
>>> evaluate(model).perplexity
>>> "".join(generate(model, "Once upon a time", temperature=0.8))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.errors import CharlmError
    from charlm.experiment import resume, train
    from charlm.machine import prepare
    from charlm.predictor import evaluate, generate, generate_bytes, load

__all__ = [
    "CharlmError",
    "evaluate",
    "generate",
    "generate_bytes",
    "load",
    "prepare",
    "resume",
    "train",
]

_HOMES = {
    "CharlmError": "errors",
    "evaluate": "predictor",
    "generate": "predictor",
    "generate_bytes": "predictor",
    "load": "predictor",
    "prepare": "machine",
    "resume": "experiment",
    "train": "experiment",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `charlm --help` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"charlm.{_HOMES[name]}"), name)
