"""charlm: character-level recurrent language models on your own text, on the machine you have.

>>> import charlm
>>> run = charlm.train("novel.txt", budget="5m", seed=0).run
>>> model = charlm.load(run)
>>> charlm.evaluate(model).perplexity
>>> charlm.generate_text(model, "The rain", temperature=0.8)
>>> charlm.score_text(model, "The rain").bits
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.environment.process import prepare
    from charlm.errors import CharlmError
    from charlm.prediction.evaluation import evaluate
    from charlm.prediction.generation import generate, generate_bytes, generate_text
    from charlm.prediction.perplexity import Score
    from charlm.prediction.predictor import Predictor, load
    from charlm.prediction.text_score import TextScore, score_text
    from charlm.runs.run import Run
    from charlm.training import events
    from charlm.training.events import Finished
    from charlm.training.series import train_series
    from charlm.training.start import resume, train

__all__ = [
    "CharlmError",
    "Finished",
    "Predictor",
    "Run",
    "Score",
    "TextScore",
    "evaluate",
    "events",
    "generate",
    "generate_bytes",
    "generate_text",
    "load",
    "prepare",
    "resume",
    "score_text",
    "train",
    "train_series",
]

_MODULES = {
    "CharlmError": "errors",
    "Finished": "training.events",
    "Predictor": "prediction.predictor",
    "Run": "runs.run",
    "Score": "prediction.perplexity",
    "TextScore": "prediction.text_score",
    "evaluate": "prediction.evaluation",
    "generate": "prediction.generation",
    "generate_bytes": "prediction.generation",
    "generate_text": "prediction.generation",
    "load": "prediction.predictor",
    "prepare": "environment.process",
    "resume": "training.start",
    "score_text": "prediction.text_score",
    "train": "training.start",
    "train_series": "training.series",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `charlm --help` needs no torch."""
    if name == "events":
        return import_module("charlm.training.events")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"charlm.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, for completion, and what the module has anyway."""
    return sorted({*globals(), *__all__})
