"""charlm: character-level recurrent language models on your own text, on the machine you have.

>>> import charlm
>>> run = charlm.train("novel.txt", budget="5m", seed=0, progress=True).run
>>> model = charlm.load(run)
>>> charlm.evaluate(model).perplexity
>>> charlm.generate_text(model, "The rain", temperature=0.8)
>>> charlm.score_text(model, "The rain").bits
>>> model.scores("The rain")  # bits, rank, entropy and likeliest alternatives of each character

A mistake raises `CharlmError`, in one line that names the remedy. Where a message names an option
of the command line, such as `--unknown`, the argument has the same name, and a note says so.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.analysis.activations import Activations, activations
    from charlm.analysis.compared import Comparison
    from charlm.analysis.comparison import compare
    from charlm.analysis.context import ContextCurve, context
    from charlm.analysis.item_originality import ItemOriginality, item_originality
    from charlm.analysis.originality import Originality, originality
    from charlm.analysis.surprise import Surprise, surprise
    from charlm.cli.from_python import resume, train, train_series
    from charlm.environment.process import prepare
    from charlm.errors import CharlmError
    from charlm.export.torch_folder import from_torch
    from charlm.pages.report import Report, report
    from charlm.prediction.character_scores import CharacterScores
    from charlm.prediction.evaluation import evaluate
    from charlm.prediction.generation import generate, generate_bytes, generate_text
    from charlm.prediction.items.items import Items, generate_items
    from charlm.prediction.perplexity import Score
    from charlm.prediction.predictor import Predictor, load
    from charlm.prediction.text_score import TextScore, score_text
    from charlm.runs.run import Run
    from charlm.training import events
    from charlm.training.events import Finished
    from charlm.training.series_results import SeriesFinished

__all__ = [
    "Activations",
    "CharacterScores",
    "CharlmError",
    "Comparison",
    "ContextCurve",
    "Finished",
    "ItemOriginality",
    "Items",
    "Originality",
    "Predictor",
    "Report",
    "Run",
    "Score",
    "SeriesFinished",
    "Surprise",
    "TextScore",
    "activations",
    "compare",
    "context",
    "evaluate",
    "events",
    "from_torch",
    "generate",
    "generate_bytes",
    "generate_items",
    "generate_text",
    "item_originality",
    "load",
    "originality",
    "prepare",
    "report",
    "resume",
    "score_text",
    "surprise",
    "train",
    "train_series",
]

_MODULES = {
    "Activations": "analysis.activations",
    "CharacterScores": "prediction.character_scores",
    "CharlmError": "errors",
    "Comparison": "analysis.compared",
    "ContextCurve": "analysis.context",
    "Finished": "training.events",
    "ItemOriginality": "analysis.item_originality",
    "Items": "prediction.items.items",
    "Originality": "analysis.originality",
    "Predictor": "prediction.predictor",
    "Report": "pages.report",
    "Run": "runs.run",
    "Score": "prediction.perplexity",
    "SeriesFinished": "training.series_results",
    "Surprise": "analysis.surprise",
    "TextScore": "prediction.text_score",
    "activations": "analysis.activations",
    "compare": "analysis.comparison",
    "context": "analysis.context",
    "evaluate": "prediction.evaluation",
    "from_torch": "export.torch_folder",
    "generate": "prediction.generation",
    "generate_bytes": "prediction.generation",
    "generate_items": "prediction.items.items",
    "generate_text": "prediction.generation",
    "item_originality": "analysis.item_originality",
    "load": "prediction.predictor",
    "originality": "analysis.originality",
    "prepare": "environment.process",
    "report": "pages.report",
    "resume": "cli.from_python",
    "score_text": "prediction.text_score",
    "surprise": "analysis.surprise",
    "train": "cli.from_python",
    "train_series": "cli.from_python",
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
