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
    from charlm.environment.process import prepare
    from charlm.errors import CharlmError
    from charlm.prediction.evaluation import evaluate
    from charlm.prediction.generation import generate, generate_bytes, generate_text
    from charlm.prediction.predictor import load
    from charlm.prediction.text_score import score_text
    from charlm.training.start import resume, train

__all__ = [
    "CharlmError",
    "evaluate",
    "generate",
    "generate_bytes",
    "generate_text",
    "load",
    "prepare",
    "resume",
    "score_text",
    "train",
]

_MODULES = {
    "CharlmError": "errors",
    "evaluate": "prediction.evaluation",
    "generate": "prediction.generation",
    "generate_bytes": "prediction.generation",
    "generate_text": "prediction.generation",
    "load": "prediction.predictor",
    "prepare": "environment.process",
    "resume": "training.start",
    "score_text": "prediction.text_score",
    "train": "training.start",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `charlm --help` needs no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"charlm.{_MODULES[name]}"), name)
