"""Find the text to score: a split of the training text, at its old or new path, or another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from charlm.config.paths import absolute
from charlm.config.schema import CorpusConfig
from charlm.config.settings import TextPaths
from charlm.corpus.builder import encode_files
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.overlaps import overlaps
from charlm.corpus.provenance import name_of, name_of_split
from charlm.errors import CorpusError
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.training_text import (
    TEXT_OPTION,
    changed_text_error,
    corpus_at_paths,
    moved_text,
    run_records,
    training_corpus,
)

_VERSION_SHARE = 0.5
"""Fraction of a text from the training text, from which it is named as a version of that text."""


@dataclass(frozen=True)
class ScoredText:
    """A text to score, and how it was found."""

    name: str
    split: Split
    title: str
    """Name without folders, for the record in a model that is adapted to it."""
    paths: tuple[str, ...] = ()
    """Paths of a text that is not a split of the training text."""
    corpus: Corpus | None = None
    """The training text, if this is a split of it."""
    moved: Checkpoint | None = None
    """The checkpoint with new paths of this text, if it is a separate file of a split."""
    note: str = ""
    """Text to append to the protocol of the score."""


def text_to_score(checkpoint: Checkpoint, text: TextPaths, split: SplitName | None) -> ScoredText:
    """Find the text that `charlm eval` scores: `text`, or a split of the training text.

    If `text` has the content of the training text, a split of it is scored; if it has that of a
    separate file of a split, that split. Raises `CorpusError`.
    """
    files = [text] if isinstance(text, str | Path) else list(text)
    config = checkpoint.config.corpus
    if not files:
        corpus = training_corpus(checkpoint, TEXT_OPTION, TEXT_OPTION)
        return split_to_score(corpus, split, config)
    paths = tuple(absolute(str(path), Path.cwd()) for path in files)
    name, found = name_of(files), moved_text(checkpoint, files)
    if found is None:
        if split is not None:
            raise _not_the_training_text(checkpoint, paths, name, split)
    elif found[0] != "train" and split in (None, found[0]):
        return _separate_split(checkpoint, found, paths, name)
    elif scored := _split_at(found[1], split, config):
        is_own = found[0] == "train"
        what = "training text: its" if is_own else f"{found[0]} text of the run: the run's"
        note = f"; {name} is the {what} {scored.name} split is scored"
        return replace(scored, note=note)
    other = encode_files(paths, config, checkpoint.vocabulary)
    return ScoredText(", ".join(map(str, files)), other, name, paths)


def split_to_score(corpus: Corpus, split: SplitName | None, config: CorpusConfig) -> ScoredText:
    """Return a split to score, by default the held-out one; raises `CorpusError` if it is empty."""
    name = split or held_out_split(corpus)
    if name is None or not len(corpus.splits[name]):
        raise CorpusError(
            f"the training text has no {split or 'held-out'} split; name a text to score with "
            "--text, or score the training split with --split train"
        )
    title = f"the {name} split of {name_of_split(name, config)}"
    return ScoredText(name, corpus.splits[name], title, corpus=corpus)


def _separate_split(
    checkpoint: Checkpoint, found: tuple[SplitName, Checkpoint], paths: Sequence[str], name: str
) -> ScoredText:
    """Return the split that a separate file is, for which the other files are not needed."""
    split_name, moved = found
    split = encode_files(paths, checkpoint.config.corpus, checkpoint.vocabulary)
    title, note = (
        f"the {split_name} split of {name}",
        f"; {name} is the {split_name} text of the run",
    )
    return ScoredText(split_name, split, title, note=note, moved=moved)


def _split_at(
    moved: Checkpoint, split: SplitName | None, config: CorpusConfig
) -> ScoredText | None:
    """Return a split of a text that may have moved; None if there is nothing held out in it."""
    corpus = corpus_at_paths(moved, TEXT_OPTION, TEXT_OPTION)
    if corpus.fingerprint != moved.fingerprint:
        if split is None:
            return None
        raise changed_text_error(corpus, moved, TEXT_OPTION, TEXT_OPTION)
    if split is None and held_out_split(corpus) is None:
        return None
    return split_to_score(corpus, split, config)


def _not_the_training_text(
    checkpoint: Checkpoint, paths: Sequence[str], name: str, split: SplitName
) -> CorpusError:
    """Return the error for `--split` with another text, or with a changed training text."""
    config = checkpoint.config.corpus
    remedy = "omit --split to score all of it as a new text"
    places = (config.paths, config.validation_paths, config.test_paths)
    if _resolved(paths) in map(_resolved, places):
        return CorpusError(
            f"{name} has changed since the model was trained on it; {remedy}, or restore it"
        )
    if "-" not in paths:
        learnt = [record for record in run_records(checkpoint) if record.use == "learnt from"]
        text = encode_files(paths, config, checkpoint.vocabulary)
        found = overlaps(learnt, text, checkpoint.vocabulary)
        if any(overlap.share >= _VERSION_SHARE for overlap in found):
            return CorpusError(
                f"{name} repeats the training text, but differs from it; {remedy}, or name the "
                "training text as it was"
            )
    return CorpusError(
        f"--split {split} needs the training text, and {name} is another text; omit --split, or "
        "name the training text"
    )


def _resolved(paths: Sequence[str]) -> set[Path]:
    return {Path(path).resolve() for path in paths}


def held_out_split(corpus: Corpus) -> SplitName | None:
    """Return the split to score a model on: test, else validation, else None."""
    names: tuple[SplitName, ...] = ("test", "validation")
    return next((name for name in names if len(corpus.splits[name])), None)
