"""Evaluate a trained model on a text, and describe how the score was computed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from charlm.config.settings import TextPaths
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.overlaps import caveats, overlaps
from charlm.corpus.provenance import Record, adaptation_record, records_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError, ConfigError
from charlm.files.atomic import path_of_new
from charlm.models.ensemble import AnyModel
from charlm.models.openings import Opening, choose_passages
from charlm.prediction.dynamic import DynamicEvaluation
from charlm.prediction.ngram_text import stored_characters, tensors_to_save
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.prediction.reading import num_streams
from charlm.prediction.scored_text import ScoredText, split_to_score, text_to_score
from charlm.prediction.scoring import nats_of_each, protocol, score_of_nats
from charlm.runs.checkpoint import Checkpoint, write_checkpoint
from charlm.runs.training_text import training_corpus

_VALIDATION_CHARACTERS = 100_000
"""Number of characters of the validation split that a model learns from before the test split."""


def evaluate(
    predictor: Predictor,
    *,
    text: TextPaths | None = None,
    split: SplitName | None = None,
    rows: int = 1,
) -> Score:
    """Score a model on files, or on a split of its training text.

    The default is the test split, or the validation split if there is no test split; the same holds
    if the files are a copy of the training text. With `text` and `split`, the files are the
    training text, perhaps moved, and this split of it is scored. One row is exact. With more rows,
    the text is read in that many parallel streams (see `scoring.evaluate_split`). The `protocol` of
    the score states the method and how much of the text the model has seen; `overlaps` has the
    details.

    Raises `ConfigError` for arguments that mean nothing, `CorpusError`, and `DivergenceError` if
    the model's output is not finite.
    """
    files = [text] if isinstance(text, str | Path) else list(text or ())
    if text is not None and text != () and not files:
        raise ConfigError("text names no files; give some, or omit it to score a split")
    if split is not None and split not in get_args(SplitName):
        raise ConfigError(f"split is {split!r}: should be one of {', '.join(get_args(SplitName))}")
    if rows < 1:
        raise ConfigError(f"rows is {rows}: should be at least 1")
    return evaluate_text(predictor, files, split, rows).score


class Evaluation(NamedTuple):
    """A text, its score, and the nats that the score sums."""

    text: ScoredText
    score: Score
    nats: Float[np.ndarray, " predictions"]
    """−ln p of every character but the first, in the order of the text."""
    stored_characters: int = 0
    """Number of characters of text in the file to which the adapted model was saved."""


def evaluate_text(
    predictor: Predictor,
    text: TextPaths = (),
    split: SplitName | None = None,
    rows: int = 1,
) -> Evaluation:
    """Score a model as `evaluate` does; return also the text and the nats of each character."""
    scored = find_text(predictor, text, split)
    nats = nats_of_each(predictor.model, scored.split.ids, rows)
    return Evaluation(scored, score_of_text(predictor, scored, nats, rows), nats)


def find_text(
    predictor: Predictor, text: TextPaths = (), split: SplitName | None = None
) -> ScoredText:
    """Find the text that `evaluate` scores."""
    return text_to_score(_checkpoint_of(predictor), text, split)


def score_of_text(
    predictor: Predictor,
    scored: ScoredText,
    nats: Float[np.ndarray, " predictions"],
    rows: int = 1,
    method: str | None = None,
) -> Score:
    """Return the score of a text from its nats, with protocol and overlaps.

    `method` describes how another model than that of the predictor computed the nats.

    Raises `CorpusError` if there is nothing to predict, and `DivergenceError` if the nats are not
    finite.
    """
    score = score_of_nats(predictor.model, scored.split, nats, rows).checked(scored.name)
    method = method or protocol(
        num_streams(len(scored.split), rows),
        predictor.model.precision,
        has_records=scored.split.boundary is not None,
    )
    return _with_protocol(score, method, scored, _checkpoint_of(predictor))


def evaluate_dynamically(
    predictor: Predictor,
    *,
    text: TextPaths = (),
    split: SplitName | None = None,
    save: str | Path | None = None,
) -> Evaluation:
    """Score a text while training on it: every character is scored before the model learns from it.

    The learning rate is the one with the lowest loss on the validation split of the training text.
    Before the test split, the model also learns from the end of the validation split, as from a
    text of its own. Both are left out if the scored text or the model contains that split. `save`
    is the path for the adapted model. This changes the predictor's model. Raises `CorpusError` also
    if the training text is missing.
    """
    checkpoint = _checkpoint_of(predictor)
    if save is not None:
        save = path_of_new(save, "--save", CheckpointError)
    scored = text_to_score(checkpoint, text, split)
    remedy = "omit --dynamic, which needs it"
    corpus = scored.corpus or training_corpus(scored.moved or checkpoint, remedy, remedy)
    validation = _new_validation(checkpoint, corpus, scored.split)
    evaluation = DynamicEvaluation(
        predictor.model,
        corpus.splits["train"].ids,
        rates_text=None if validation is None else validation.split.ids,
    )
    texts, method = [scored], "online: scored, then trained on"
    is_test = scored.name == "test" and (scored.corpus or scored.moved) is not None
    if is_test and validation is not None:
        texts.insert(0, validation)
        method += ", as the validation split before it"
    *_, nats = [evaluation.nats_of_each(one.split.ids) for one in texts]
    rates = evaluation.rates
    score = score_of_nats(predictor.model, scored.split, nats).checked(scored.name)
    note = f" (rate {rates.learning:g}, pull {rates.pull:g}, nearest neighbours)"
    score = _with_protocol(score, method, scored, checkpoint, note)
    if save is None:
        return Evaluation(scored, score, nats)
    adapted = _adapted(checkpoint, predictor.model, corpus, texts)
    write_checkpoint(save, adapted, is_new=True)
    return Evaluation(scored, score, nats, stored_characters(adapted))


def _new_validation(checkpoint: Checkpoint, corpus: Corpus, scored: Split) -> ScoredText | None:
    """Return the end of the validation split, unless the model or the scored text contains it."""
    split, config = corpus.splits["validation"], checkpoint.config.corpus
    if len(split) < 2:
        return None
    chosen_on = [one for one in records_of(corpus, config) if one.use == "chosen on"]
    followed = [one for one in checkpoint.provenance if one.use == "followed"]
    known = (
        *overlaps(chosen_on, scored, checkpoint.vocabulary),
        *overlaps(followed, split, checkpoint.vocabulary),
    )
    if known:
        return None
    end = split.part(max(0, len(split) - _VALIDATION_CHARACTERS), len(split))
    return replace(split_to_score(corpus, "validation", config), split=end)


def _adapted(
    checkpoint: Checkpoint, model: AnyModel, corpus: Corpus, texts: Sequence[ScoredText]
) -> Checkpoint:
    """Return the checkpoint with a model that has learnt from the texts, one after another."""
    vocabulary, seed = checkpoint.vocabulary, checkpoint.config.training.seed
    opening = Opening.of_passages(
        model, choose_passages(corpus.splits["train"].ids, vocabulary, seed)
    )
    records = [adaptation_record(one.title, one.paths, one.split, vocabulary) for one in texts]
    return replace(
        checkpoint,
        weights=tensors_to_save(model, checkpoint),
        opening_tensors=opening.tensors() if opening else {},
        provenance=(*checkpoint.provenance, *records),
        training_tensors={},
    )


def _checkpoint_of(predictor: Predictor) -> Checkpoint:
    assert predictor.checkpoint is not None, "a model in training is scored by the training loop"
    return predictor.checkpoint


def _with_protocol(
    score: Score, method: str, scored: ScoredText, checkpoint: Checkpoint, note: str = ""
) -> Score:
    note += scored.note
    records, vocabulary = checkpoint.provenance, checkpoint.vocabulary
    return with_warnings(score, method, records, scored.split, vocabulary, note)


def with_warnings(
    score: Score,
    method: str,
    records: Sequence[Record],
    split: Split,
    vocabulary: Vocabulary,
    note: str = "",
) -> Score:
    """Return a score with its overlaps, and with the protocol: method, note, then all warnings."""
    found = overlaps(records, split, vocabulary)
    warnings = score.unknown_note + caveats(records, found)
    return replace(score, method=method, protocol=method + note + warnings, overlaps=found)
