"""What the models of a comparison differ in besides their scores, and what biases their scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from charlm.analysis.repetition import differences
from charlm.config.schema import Config
from charlm.corpus.provenance import LEARNT
from charlm.models.ensemble import Ensemble
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.training.resume_rules import MAY_CHANGE

_MOST_SETTINGS = 4
"""Number of settings that are named, at most; the others are counted."""


@dataclass(frozen=True)
class ComparedModel:
    """The facts of a model that may explain its score."""

    parameters: int
    step: int | None
    """Number of steps that the weights were trained for; None if the checkpoint does not say."""
    counted: int
    """Number of characters that were counted for its n-grams; 0 without n-grams."""
    fingerprint: str
    """Digest of the training text and of the settings that determine its ids."""
    config: Config

    @classmethod
    def of(cls, predictor: Predictor) -> "ComparedModel":
        """Return the facts of a model that was loaded from a checkpoint."""
        model, checkpoint = predictor.model, predictor.checkpoint
        assert checkpoint is not None, "it was loaded from a file"
        counted = 0
        if isinstance(model, Ensemble) and model.ngrams.order:
            counted = int((model.counted >= 0).sum())  # −1 stands between two texts
        return cls(
            model.num_parameters,
            checkpoint.step,
            counted,
            checkpoint.fingerprint,
            predictor.config,
        )


def further_differences(groups: Mapping[str, Sequence[ComparedModel]]) -> str:
    """Say in a sentence what else the models differ in; "" if only the seed or nothing does."""
    numbers: dict[str, Callable[[ComparedModel], int | None]] = {
        "parameters": lambda model: model.parameters,
        "steps": lambda model: model.step,
        "characters counted for n-grams": lambda model: model.counted,
    }
    found = []
    for what, number in numbers.items():
        found += _numbers(what, {name: map(number, its) for name, its in groups.items()})
    models = list(chain(*groups.values()))
    if len({model.fingerprint for model in models}) > 1:
        found.append("the training text or how it is read")
    if keys := _settings(models):
        rest = len(keys) - _MOST_SETTINGS
        more = f" and {rest} more" if rest > 0 else ""
        found.append(f"settings: {', '.join(keys[:_MOST_SETTINGS])}{more}")
    return f"the runs also differ in {'; '.join(found)}" if found else ""


def bias(scores: Mapping[str, Sequence[Score]]) -> str:
    """Say whose scores are biased, since the model has seen the scored text; "" if none are."""
    whose: dict[str, list[str]] = {}
    for name, its in scores.items():
        for score in its:
            for overlap in score.overlaps:
                if overlap.is_biased or (overlap.is_reported and overlap.use not in LEARNT):
                    names = whose.setdefault(overlap.describe(), [])
                    names += [name] * (name not in names)
    return "; ".join(
        f"the score{'s' if len(names) > 1 else ''} of {' and '.join(names)} "
        f"{'are' if len(names) > 1 else 'is'} biased: {reason}"
        for reason, names in whose.items()
    )


def _numbers(what: str, groups: Mapping[str, Iterable[int | None]]) -> list[str]:
    """Return a fact with its number for each group, or nothing if all are equal."""
    known = {name: [x for x in its if x is not None] for name, its in groups.items()}
    if len({number for its in known.values() for number in its}) < 2:
        return []
    ends = {name: sorted({min(its), max(its)}) for name, its in known.items() if its}
    each = [f"{name} {' to '.join(f'{end:,}' for end in its)}" for name, its in ends.items()]
    return [f"{what} ({', '.join(each)})"]


def _settings(models: Sequence[ComparedModel]) -> list[str]:
    """Return the settings in which models differ, without their seed and how long they train."""
    keys = {one.key for model in models[1:] for one in differences(model.config, models[0].config)}
    omitted = {f"{section}.{key}" for section, its in MAY_CHANGE.items() for key in its}
    omitted.add("training.seed")
    return sorted(key for key in keys - omitted if not key.startswith("generation."))
