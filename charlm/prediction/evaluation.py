"""Evaluate a trained model on a text, and describe how the score was computed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from charlm.config.schema import TrainingConfig
from charlm.config.settings import TextPaths
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.overlaps import caveats, overlaps
from charlm.corpus.provenance import Record, adaptation_record, records_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.distributed.processes import Processes
from charlm.errors import CheckpointError
from charlm.files.atomic import check_is_new
from charlm.files.locations import from_user
from charlm.models.ensemble import AnyModel
from charlm.models.openings import Opening, choose_passages
from charlm.prediction.dynamic import DynamicEvaluation
from charlm.prediction.ngram_text import stored_characters, tensors_to_save
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.prediction.scored_text import ScoredText, held_out_split, text_to_score
from charlm.prediction.scoring import evaluate_split, num_streams, protocol
from charlm.prediction.timed_scoring import TimeLimit
from charlm.runs.checkpoint import Checkpoint, write_checkpoint
from charlm.runs.training_text import training_corpus

_EXACT_LIMIT_CHARACTERS = 250_000
"""After training, a longer held-out split is scored in several streams, like validation."""


def evaluate(
    predictor: Predictor,
    *,
    text: TextPaths = (),
    split: SplitName | None = None,
    rows: int = 1,
) -> Score:
    """Score a model on files, or on a split of its training text.

    The default is the test split, or the validation split if there is no test split; the same holds
    if the files are a copy of the training text. One row is exact. With more rows, the text is read
    in that many parallel streams (see `scoring.evaluate_split`). The `protocol` of the score states
    the method and how much of the text the model has seen; `overlaps` has the details.

    Raises `CorpusError`, and `DivergenceError` if the model's output is not finite.
    """
    return evaluate_text(predictor, text, split, rows)[1]


def evaluate_text(
    predictor: Predictor,
    text: TextPaths = (),
    split: SplitName | None = None,
    rows: int = 1,
) -> tuple[ScoredText, Score]:
    """Score a model as `evaluate` does; return the text, and the score."""
    checkpoint = _checkpoint_of(predictor)
    scored = text_to_score(checkpoint, text, split)
    score = evaluate_split(predictor.model, scored.split, rows).checked(scored.name)
    method = protocol(num_streams(len(scored.split), rows), predictor.model.precision)
    return scored, _with_protocol(score, method, scored, checkpoint)


def evaluate_dynamically(
    predictor: Predictor,
    *,
    text: TextPaths = (),
    split: SplitName | None = None,
    save: str | Path | None = None,
) -> tuple[ScoredText, Score, int]:
    """Score a text while training on it: every character is scored before the model learns from it.

    The learning rates are those with the lowest loss on the validation split of the training text,
    unless that split is scored. `save` is the path for the adapted model. This changes the
    predictor's model. Returns the text, the score, and how many characters of text the
    saved file contains (0 without `save`). Raises `CorpusError` also if the training text is
    missing.
    """
    checkpoint = _checkpoint_of(predictor)
    if save is not None:
        check_is_new(from_user(save), "--save", CheckpointError)
    scored = text_to_score(checkpoint, text, split)
    remedy = "omit --dynamic, which needs it"
    corpus = scored.corpus or training_corpus(scored.moved or checkpoint, remedy, remedy)
    records = records_of(corpus, checkpoint.config.corpus)
    known = overlaps(records, scored.split, checkpoint.vocabulary)
    is_validation = any(overlap.use == "chosen on" for overlap in known)
    rates_text = None if is_validation else corpus.splits["validation"].ids
    training_ids = corpus.splits["train"].ids
    evaluation = DynamicEvaluation(predictor.model, training_ids, rates_text=rates_text)
    score, rates = evaluation.score(scored.split).checked(scored.name), evaluation.rates
    note = f" (rate {rates.learning:g}, pull {rates.pull:g})"
    score = _with_protocol(score, "online: scored, then trained on", scored, checkpoint, note)
    if save is None:
        return scored, score, 0
    adapted = _adapted(checkpoint, predictor.model, corpus, scored)
    write_checkpoint(from_user(save), adapted, is_new=True)
    return scored, score, stored_characters(adapted)


def _adapted(
    checkpoint: Checkpoint, model: AnyModel, corpus: Corpus, scored: ScoredText
) -> Checkpoint:
    """Return the checkpoint with a model that has learnt from the scored text."""
    vocabulary, seed = checkpoint.vocabulary, checkpoint.config.training.seed
    opening = Opening.of_passages(
        model, choose_passages(corpus.splits["train"].ids, vocabulary, seed)
    )
    record = adaptation_record(scored.title, scored.paths, scored.split, vocabulary)
    return replace(
        checkpoint,
        weights=tensors_to_save(model, checkpoint),
        opening_tensors=opening.tensors() if opening else {},
        provenance=(*checkpoint.provenance, record),
        training_tensors={},
    )


def final_score(
    model: AnyModel,
    corpus: Corpus,
    training: TrainingConfig,
    records: Sequence[Record],
    processes: Processes | None = None,
    limit: TimeLimit | None = None,
) -> tuple[tuple[SplitName, Score] | None, str]:
    """Score the held-out split, if there is one; return its name and score, and the protocol.

    `records` describe the texts that the model has seen. A split that is too long for the `limit`
    is scored on characters spread evenly over it, and the protocol says so.
    """
    name = held_out_split(corpus)
    if name is None:
        return None, ""
    split, characters = corpus.splits[name], None
    streams = whole_streams(split, training)
    if limit is not None and len(split) > 1:
        rows = training.validation_rows
        streams, characters = limit.choose(model, split.ids, streams, rows, processes)
    score = evaluate_split(model, split, streams, processes, characters).checked(name)
    method = protocol(streams, model.precision)
    note = "" if limit is None else limit.note(score.characters, len(split) - 1)
    score = _with_warnings(score, method, records, split, corpus.vocabulary, note)
    return (name, score), score.protocol


def whole_streams(split: Split, training: TrainingConfig) -> int:
    """Return the number of streams in which the whole held-out split is scored after training."""
    if len(split) <= _EXACT_LIMIT_CHARACTERS:
        return 1
    return num_streams(len(split), training.validation_rows)


def _checkpoint_of(predictor: Predictor) -> Checkpoint:
    assert predictor.checkpoint is not None, "a model in training is scored by the training loop"
    return predictor.checkpoint


def _with_protocol(
    score: Score, method: str, scored: ScoredText, checkpoint: Checkpoint, note: str = ""
) -> Score:
    note += scored.note
    records, vocabulary = checkpoint.provenance, checkpoint.vocabulary
    return _with_warnings(score, method, records, scored.split, vocabulary, note)


def _with_warnings(
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
