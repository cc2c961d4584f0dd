"""The models that a server offers, by name."""

import re
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from charlm.corpus.vocabulary import Ids
from charlm.errors import CharlmError, VocabularyError, VocabularyWarning
from charlm.prediction.generation import UnknownAction, encode_text_prefix, unknown_characters
from charlm.prediction.predictor import Predictor
from charlm.server.api_error import ApiError

_OPTION = "add --unknown skip or --unknown map"
_FIELD = 'set "unknown" to "skip" or "map"'
UNKNOWN_ACTIONS = get_args(UnknownAction)


@dataclass(frozen=True)
class Served:
    """A model, its name, and when it was loaded."""

    name: str
    predictor: Predictor
    created: int = field(default_factory=lambda: int(time.time()))

    def encode(self, prompt: str, unknown: UnknownAction) -> Ids:
        """Return the ids of a prompt; raises `ApiError` for characters that the model lacks."""
        try:
            with warnings.catch_warnings():  # typed quotes are read as typographic ones
                warnings.simplefilter("ignore", VocabularyWarning)
                return encode_text_prefix(self.predictor, prompt, unknown)
        except VocabularyError as reason:
            message = str(reason).replace(_OPTION, _FIELD)
            raise ApiError(400, message, "prompt", "unknown_characters") from None

    def unknown_in(self, prompt: str) -> str:
        """Return the characters of a prompt that the model does not know, each once."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VocabularyWarning)
            return unknown_characters(self.predictor, prompt)


def by_name(predictors: Iterable[Predictor]) -> dict[str, Served]:
    """Name models by their run folders; raises `CharlmError` where two have one name."""
    models: dict[str, Served] = {}
    for predictor in predictors:
        path = predictor.path
        name = "model" if path is None else path.stem
        if path is not None and path.parent.name == "checkpoints":
            name = path.parent.parent.name
        name = re.sub(r"[^\w.+-]", "-", name)
        if name in models:
            raise CharlmError(f"{path}: another run is called {name}, too; rename one of them")
        models[name] = Served(name, predictor)
    return models


def choose(models: dict[str, Served], name: str | None) -> Served:
    """Return the model of a name, by default the first; raises `ApiError`."""
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        listed = ", ".join(models)
        message = f"model: there is no {name[:80]!a}; choose one of: {listed}"
        raise ApiError(404, message, "model", "model_not_found")
    return models[name]
