"""A trained model at work: load a checkpoint, score a text, continue a text."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from charlm.config.load import make_config
from charlm.config.schema import Config, TrainingConfig
from charlm.corpus.corpus import Corpus, Part, PartName
from charlm.corpus.decoding import as_read
from charlm.corpus.overlaps import caveats, overlaps
from charlm.corpus.provenance import Record, followed, records_of
from charlm.corpus.vocabulary import Ids, Vocabulary, bytes_of
from charlm.distributed.processes import Processes
from charlm.errors import CheckpointError, VocabularyError
from charlm.files.atomic import check_is_new
from charlm.files.locations import from_user
from charlm.models.ensemble import AnyModel
from charlm.models.language_model import choose_device
from charlm.models.openings import Opening, choose_passages
from charlm.prediction.dynamic import DynamicEvaluation, Rates
from charlm.prediction.generation import (
    StreamDecoder,
    first_ids,
    generate_ids,
    own_generators,
    until,
)
from charlm.prediction.kept_text import count_again, kept_characters, tensors_to_save
from charlm.prediction.scored_text import held_out_part, text_to_score, training_corpus
from charlm.prediction.scoring import Score, effective_rows, evaluate_part, protocol
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.folder import checkpoint_to_use, newest_run

_EXACT_LIMIT = 250_000
"""A longer held-out part is scored at the end in several rows, as validation is."""


_LOSSLESS = "surrogateescape"
"""Error handler that preserves bytes that are not UTF-8 in a text (PEP 383)."""


@dataclass(frozen=True)
class Predictor:
    """A model with the vocabulary and config that it was trained with."""

    model: AnyModel
    vocabulary: Vocabulary
    config: Config
    checkpoint: Checkpoint | None = None
    """The checkpoint from which the model was loaded."""
    path: Path | None = None
    opening: Opening | None = None
    """Initial state of text without a prefix; None: a newline after the zero state."""

    def describe(self) -> str:
        """Return the path, and how many characters of the training text the checkpoint contains."""
        kept = kept_characters(self.checkpoint) if self.checkpoint is not None else 0
        holding = f" (contains {kept:,} characters of its training text)" if kept else ""
        return f"{self.path}{holding}"

    @property
    def prefix(self) -> str:
        """The prefix of its config, without characters that it does not know."""
        prefix = self.config.generation.prefix
        if self.vocabulary.unit == "byte":  # it knows all bytes, also those that are not UTF-8
            return prefix
        return self.vocabulary.decode(self.vocabulary.encode_text(prefix, unknown="skip"))


def load(
    path: str | Path | None = None,
    *,
    runs: str | Path = "runs",
    device: str = "auto",
    text: str | Path | Iterable[str | Path] = (),
) -> Predictor:
    """Load a checkpoint, or the best one of a run's folder, or of the newest run below `runs`.

    It needs only the checkpoint; an ensemble with `ensemble.keep_text: false` also needs its
    training text: `text` gives its path if it has moved; another text is ignored.
    Raises `CheckpointError`, `RunError`, and `CorpusError` for that text.
    """
    runs = from_user(runs)
    source = from_user(path) if path is not None else newest_run(runs).folder
    file = checkpoint_to_use(source, runs)
    checkpoint = read_checkpoint(file)
    model = checkpoint.make_model(choose_device(device))
    files = [text] if isinstance(text, str | Path) else list(text)
    count_again(model, checkpoint, file, files)
    model.precision = checkpoint.config.training.product_precision
    try:
        opening = checkpoint.make_opening(model)
    except CheckpointError as reason:
        raise CheckpointError(f"{file}: {reason}") from None
    return Predictor(model, checkpoint.vocabulary, checkpoint.config, checkpoint, file, opening)


def evaluate(
    predictor: Predictor,
    *,
    text: str | Path | Iterable[str | Path] = (),
    part: PartName | None = None,
    rows: int = 1,
) -> Score:
    """Score a model on files, or on a split of its training text.

    The default is the test split, or the validation split if there is no test split; the same holds
    if the files are a copy of the training text. One row is exact; see `evaluator.evaluate_part`.
    The `protocol` of the score describes the method and how much of the text the model has seen;
    `overlaps` lists the latter. Raises `CorpusError`, and `DivergenceError` if the model's output
    is not finite.
    """
    return score_text(predictor, text, part, rows)[1]


def score_text(
    predictor: Predictor,
    text: str | Path | Iterable[str | Path] = (),
    part: PartName | None = None,
    rows: int = 1,
) -> tuple[str, Score]:
    """Score a model as `evaluate` does; return the name of the text, and the score."""
    checkpoint = predictor.checkpoint
    assert checkpoint is not None, "a model in training scores its own parts"
    scored = text_to_score(checkpoint, text, part)
    score = evaluate_part(predictor.model, scored.part, rows).checked(scored.name)
    how = protocol(effective_rows(len(scored.part), rows), predictor.model.precision)
    return scored.name, _explained(score, how + scored.note, checkpoint, scored.part)


def evaluate_dynamically(
    predictor: Predictor,
    *,
    text: str | Path | Iterable[str | Path] = (),
    part: PartName | None = None,
    save: str | Path | None = None,
) -> tuple[str, Score, Rates]:
    """Score a text while learning from it: each character before anything is learnt from it.

    The text that the model was trained on is needed. How fast to learn is tried out on its
    validation part, unless that is what is scored. `save` is where to write the model as the text
    has left it. The predictor's model is changed. Returns what was scored, and the rates, too.
    """
    checkpoint = predictor.checkpoint
    assert checkpoint is not None, "a model in training scores its own parts"
    if save is not None:
        check_is_new(from_user(save), "--save", CheckpointError)
    scored = text_to_score(checkpoint, text, part)
    corpus = scored.corpus or training_corpus(checkpoint, "omit --dynamic, which needs it")
    config, vocabulary = checkpoint.config, checkpoint.vocabulary
    own = records_of(corpus, config.corpus)
    is_tried_on = any(one.use == "chosen on" for one in overlaps(own, scored.part, vocabulary))
    tried_on = None if is_tried_on else corpus.parts["validation"].ids
    evaluation = DynamicEvaluation(predictor.model, corpus.parts["train"].ids, tried_on=tried_on)
    score, rates = evaluation.score(scored.part).checked(scored.name), evaluation.rates
    how = f"online: scored, then trained on (rate {rates.learning:g}, pull {rates.pull:g})"
    score = _explained(score, how + scored.note, checkpoint, scored.part)
    if save is not None:
        model, seed = predictor.model, config.training.seed
        passages = choose_passages(corpus.parts["train"].ids, vocabulary, seed)
        opening = Opening.of_passages(model, passages)
        read = followed(scored.title, scored.paths, scored.part, vocabulary)
        adapted = replace(
            checkpoint,
            weights=tensors_to_save(model, checkpoint),
            opening_tensors=opening.tensors() if opening else {},
            provenance=(*checkpoint.provenance, read),
            training_tensors={},
        )
        write_checkpoint(from_user(save), adapted, is_new=True)
    return scored.name, score, rates


def _explained(score: Score, how: str, checkpoint: Checkpoint, part: Part) -> Score:
    """Return a score with its protocol and with the overlaps of its text."""
    records = checkpoint.provenance
    found = overlaps(records, part, checkpoint.vocabulary)
    said = score.unknown_note + caveats(records, found)
    return replace(score, protocol=how + said, overlaps=found)


def final_score(
    model: AnyModel,
    corpus: Corpus,
    training: TrainingConfig,
    records: Sequence[Record],
    processes: Processes | None = None,
) -> tuple[tuple[PartName, Score] | None, str]:
    """Score the held-out split, if there is one; return its name and score, and the protocol.

    `records` describe the texts that the model has seen.
    """
    name = held_out_part(corpus)
    if name is None:
        return None, ""
    part, rows = corpus.parts[name], 1
    if len(part) > _EXACT_LIMIT:
        rows = effective_rows(len(part), training.validation_rows)
    score = evaluate_part(model, part, rows, processes).checked(name)
    said = score.unknown_note + caveats(records, overlaps(records, part, corpus.vocabulary))
    return (name, score), protocol(rows, model.precision) + said


def generate(
    predictor: Predictor,
    prefix: str | None = None,
    *,
    seed: int | None = None,
    stop: str | None = None,
    unknown: Literal["error", "skip", "map"] = "error",
    **settings: Any,
) -> Iterator[str]:
    """Yield the continuation of `prefix` as it comes, piece by piece.

    `settings` are keys of the config's `generation` section (`length`, `temperature`, `top_k`,
    `top_p`, `min_p`, `greedy`); what is not given, the prefix too, is taken from the model's own
    config. The text ends before `stop`, if that comes. Raises `VocabularyError` for a prefix with
    unknown characters, unless they are to be skipped or mapped to the unknown symbol, and
    `ConfigError` for bad settings.
    """
    steps = _samples(predictor, prefix, 1, seed, unknown, settings)
    decoder = StreamDecoder(predictor.vocabulary)
    pieces = _decoded(steps, decoder)
    return until(pieces, stop) if stop else pieces


def generate_many(
    predictor: Predictor,
    prefix: str | None = None,
    *,
    num_samples: int,
    seed: int | None = None,
    stop: str | None = None,
    unknown: Literal["error", "skip", "map"] = "error",
    **settings: Any,
) -> list[str]:
    """Return several continuations of `prefix`, drawn side by side; see `generate`."""
    steps = list(_samples(predictor, prefix, num_samples, seed, unknown, settings))
    texts = [predictor.vocabulary.decode(sample) for sample in zip(*steps, strict=True)]
    return [text.partition(stop)[0] if stop else text for text in texts]


def generate_bytes(
    predictor: Predictor,
    prefix: bytes | None = None,
    *,
    seed: int | None = None,
    stop: bytes | None = None,
    unknown: Literal["error", "skip", "map"] = "error",
    **settings: Any,
) -> Iterator[bytes]:
    """Yield the continuation of `prefix` in bytes; see `generate`.

    The bytes of a byte model, and those of its prefix, need not be UTF-8. For a character model,
    both are UTF-8.
    """
    begin = None if prefix is None else _as_text(predictor, prefix)
    steps = _samples(predictor, begin, 1, seed, unknown, settings)
    pieces = map(predictor.vocabulary.decode_bytes, steps)
    return until(pieces, stop) if stop else pieces


def generate_many_bytes(
    predictor: Predictor,
    prefix: bytes | None = None,
    *,
    num_samples: int,
    seed: int | None = None,
    stop: bytes | None = None,
    unknown: Literal["error", "skip", "map"] = "error",
    **settings: Any,
) -> list[bytes]:
    """Return several continuations of `prefix`, drawn side by side; see `generate_bytes`."""
    begin = None if prefix is None else _as_text(predictor, prefix)
    steps = list(_samples(predictor, begin, num_samples, seed, unknown, settings))
    texts = map(predictor.vocabulary.decode_bytes, zip(*steps, strict=True))
    return [text.partition(stop)[0] if stop else text for text in texts]


def prefix_as_read(
    predictor: Predictor,
    prefix: bytes | None = None,
    unknown: Literal["error", "skip", "map"] = "error",
) -> bytes:
    """Return the prefix as the model reads it: without skipped unknown characters."""
    text = None if prefix is None else _as_text(predictor, prefix)
    return predictor.vocabulary.decode_bytes(_prefix_ids(predictor, text, unknown))


def _as_text(predictor: Predictor, prefix: bytes) -> str:
    """Decode a prefix; for a byte model, encoding it again gives the same bytes."""
    try:
        return prefix.decode(
            "utf-8", _LOSSLESS if predictor.vocabulary.unit == "byte" else "strict"
        )
    except UnicodeDecodeError as reason:
        raise VocabularyError(
            f"the prefix: byte {reason.start} is not UTF-8; a character model needs UTF-8, so "
            "convert the prefix"
        ) from None


def _prefix_ids(
    predictor: Predictor, prefix: str | None, unknown: Literal["error", "skip", "map"]
) -> Ids:
    begin = predictor.prefix if prefix is None else as_read(prefix, predictor.config.corpus)
    if predictor.vocabulary.unit == "byte":
        return np.frombuffer(bytes_of(begin), np.uint8)
    return predictor.vocabulary.encode_text(begin, unknown)


def _samples(
    predictor: Predictor,
    prefix: str | None,
    num_samples: int,
    seed: int | None,
    unknown: Literal["error", "skip", "map"],
    settings: dict[str, Any],
) -> Iterator[list[int]]:
    """Return an iterator of steps, each with the next id of every sample."""
    base = predictor.config.generation.model_dump()
    keys = base | {key: value for key, value in settings.items() if value is not None}
    config = make_config({"generation": keys}, "generate").generation
    vocabulary = predictor.vocabulary
    ids = _prefix_ids(predictor, prefix, unknown)
    model, opening = predictor.model, predictor.opening
    seed = secrets.randbits(63) if seed is None else seed % 2**63
    if len(ids) or opening is None:
        opening = Opening.of_prefix(model, ids if len(ids) else first_ids(vocabulary))
    else:
        opening = opening.for_samples(seed, num_samples)
    generators = own_generators(seed, num_samples)
    steps = generate_ids(model, opening, config, generators, forbidden=vocabulary.unknown_id)
    return (step.tolist() for step in steps)


def _decoded(steps: Iterator[list[int]], decoder: StreamDecoder) -> Iterator[str]:
    for step in steps:
        if piece := decoder.decode(step):
            yield piece
    if rest := decoder.decode([], final=True):
        yield rest
