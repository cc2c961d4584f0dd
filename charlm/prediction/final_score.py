"""Score the held-out split at the end of training, in the time that is left for it."""

from collections.abc import Sequence

from charlm.config.schema import TrainingConfig
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.provenance import Record
from charlm.distributed.processes import Processes
from charlm.models.ensemble import AnyModel
from charlm.prediction.evaluation import with_warnings
from charlm.prediction.perplexity import Score
from charlm.prediction.reading import RECORD_STREAMS, num_streams
from charlm.prediction.scored_text import held_out_split
from charlm.prediction.scoring import evaluate_split, protocol
from charlm.prediction.timed_scoring import TimeLimit

_EXACT_LIMIT_CHARACTERS = 250_000
"""A longer held-out split is scored in several streams, like validation."""


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
    is scored on characters spread evenly over it, and the protocol states this.
    """
    name = held_out_split(corpus)
    if name is None:
        return None, ""
    split, characters = corpus.splits[name], None
    has_records = split.boundary is not None
    streams = whole_streams(split, training)
    if limit is not None and len(split) > 1:
        rows = training.validation_rows
        streams, characters = limit.choose(model, split.ids, streams, rows, processes)
    if has_records:
        streams = 1  # exact: evaluate_split reads many streams
    score = evaluate_split(model, split, streams, processes, characters).checked(name)
    method = protocol(streams, model.precision, has_records=has_records)
    note = "" if limit is None else limit.note(score.characters, len(split) - 1)
    score = with_warnings(score, method, records, split, corpus.vocabulary, note)
    return (name, score), score.protocol


def whole_streams(split: Split, training: TrainingConfig) -> int:
    """Return the number of streams in which the whole held-out split is scored after training."""
    if split.boundary is not None:
        return RECORD_STREAMS
    if len(split) <= _EXACT_LIMIT_CHARACTERS:
        return 1
    return num_streams(len(split), training.validation_rows)
