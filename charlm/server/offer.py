"""What the server offers: its models, their training texts, and the thread that computes."""

from collections.abc import Iterable
from dataclasses import dataclass

from charlm.config.settings import TextPaths
from charlm.prediction.predictor import Predictor
from charlm.server.limits import Limits
from charlm.server.searched import SearchedTexts
from charlm.server.served import Served, by_name
from charlm.server.worker import Worker


@dataclass(frozen=True)
class Offer:
    """What every request sees."""

    models: dict[str, Served]
    worker: Worker
    texts: SearchedTexts
    limits: Limits

    @classmethod
    def of(
        cls,
        predictors: Iterable[Predictor],
        limits: Limits | None = None,
        training_text: TextPaths = (),
    ) -> "Offer":
        """Offer models; raises `CharlmError` where two have one name.

        `training_text` is the path of a training text if it has moved.
        """
        limits = limits or Limits()
        texts = SearchedTexts(training_text, limits.searched_characters)
        return cls(by_name(predictors), Worker(limits), texts, limits)
