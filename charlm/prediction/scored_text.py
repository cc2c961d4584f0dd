"""Find the text to score: a split of the training text, at its old or new path, or another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from charlm.config.load import absolute
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus, digest_of_text, encode_files
from charlm.corpus.corpus import Corpus, Part, PartName, cached_corpus
from charlm.corpus.files import find_files
from charlm.corpus.overlaps import overlaps
from charlm.corpus.provenance import Record, name_of, name_of_part
from charlm.errors import CorpusError
from charlm.runs.checkpoint import Checkpoint

_COPY = "name a copy of it with --text"
_GROUPS = ("paths", "validation_paths", "test_paths")
_MOSTLY = 0.5
"""Fraction of a text from the training text, from which it is named as a version of that text."""


@dataclass(frozen=True)
class ScoredText:
    """A text to score, and how it was found."""

    name: str
    part: Part
    title: str
    """Name without folders, for the record in a model that is adapted to it."""
    paths: tuple[str, ...] = ()
    """Paths of a text that is not a split of the training text."""
    corpus: Corpus | None = None
    """The training text, if this is a split of it."""
    note: str = ""
    """Text to append to the protocol of the score."""


def text_to_score(
    checkpoint: Checkpoint, text: str | Path | Iterable[str | Path], part: PartName | None
) -> ScoredText:
    """Find the text that `charlm eval` scores: `text`, or a split of the training text.

    If `text` has the content of the training text, a split of it is scored. Raises `CorpusError`.
    """
    files = [text] if isinstance(text, str | Path) else list(text)
    if not files:
        return _part_of(training_corpus(checkpoint), part, checkpoint.config.corpus)
    paths = tuple(absolute(str(path), Path.cwd()) for path in files)
    name, moved = name_of(files), at_paths(checkpoint, files)
    if moved is None and part is not None:
        raise _not_the_training_text(checkpoint, paths, name, part)
    corpus = None if moved is None else _corpus_of(moved, _COPY)
    if corpus is not None and moved is not None and corpus.fingerprint != moved.fingerprint:
        if part is not None:
            raise _changed(corpus, moved, _COPY)
        corpus = None
    if corpus is not None and (part is not None or held_out_part(corpus) is not None):
        found = _part_of(corpus, part, checkpoint.config.corpus)
        note = f"; {name} is the training text: its {found.name} split is scored"
        return replace(found, note=note)
    config, vocabulary = checkpoint.config.corpus, checkpoint.vocabulary
    other = encode_files(paths, config, vocabulary)
    return ScoredText(", ".join(map(str, files)), other.parts["test"], name, paths)


def at_paths(checkpoint: Checkpoint, files: Sequence[str | Path]) -> Checkpoint | None:
    """Return the checkpoint with other paths of its training text; None if it is another text."""
    config, paths = checkpoint.config, tuple(absolute(str(path), Path.cwd()) for path in files)
    if not paths or "-" in paths:  # standard input can be read only once: treat it as another text
        return None
    digest = digest_of_text(paths, config.corpus)
    if digest not in {one.digest for one in _own(checkpoint) if one.use == "learnt from"}:
        return None
    place = config.corpus.model_copy(update={"paths": paths, "builtin": None})
    return replace(checkpoint, config=config.model_copy(update={"corpus": place}))


def _own(checkpoint: Checkpoint) -> list[Record]:
    """Return the records of the run's own texts."""
    return [one for one in checkpoint.provenance if not one.through]


def _not_the_training_text(
    checkpoint: Checkpoint, paths: Sequence[str], name: str, part: PartName
) -> CorpusError:
    """Return the error for `--part` with another text, or with a changed training text."""
    config = checkpoint.config.corpus
    new = "omit --part to score all of it as a new text"
    if {Path(path).resolve() for path in paths} == {Path(path).resolve() for path in config.paths}:
        return CorpusError(
            f"{name} has changed since the model was trained on it; {new}, or restore it"
        )
    if "-" not in paths:
        learnt = [one for one in _own(checkpoint) if one.use == "learnt from"]
        text = encode_files(paths, config, checkpoint.vocabulary).parts["test"]
        found = overlaps(learnt, text, checkpoint.vocabulary)
        if any(one.share >= _MOSTLY for one in found):
            return CorpusError(
                f"{name} repeats the training text, but differs from it; {new}, or name the "
                "training text as it was"
            )
    return CorpusError(
        f"--part {part} needs the training text, and {name} is another text; omit --part, or "
        "name the training text"
    )


def _part_of(corpus: Corpus, part: PartName | None, config: CorpusConfig) -> ScoredText:
    name = part or held_out_part(corpus)
    if name is None or not len(corpus.parts[name]):
        raise CorpusError(
            f"the training text has no {part or 'held-out'} split; name a text to score with --text"
        )
    title = f"the {name} split of {name_of_part(name, config)}"
    return ScoredText(name, corpus.parts[name], title, corpus=corpus)


def held_out_part(corpus: Corpus) -> PartName | None:
    """Return the split to score a model on: test, else validation, else None."""
    names: tuple[PartName, ...] = ("test", "validation")
    return next((name for name in names if len(corpus.parts[name])), None)


def training_corpus(checkpoint: Checkpoint, remedy: str = _COPY) -> Corpus:
    """Return the corpus of a checkpoint's run, from the cache or from its files.

    Raises `CorpusError` if the files are missing or have changed; `remedy` ends the message if
    they are those of `corpus.paths`.
    """
    corpus = _corpus_of(checkpoint, remedy)
    if corpus.fingerprint != checkpoint.fingerprint:
        raise _changed(corpus, checkpoint, remedy)
    return corpus


def _corpus_of(checkpoint: Checkpoint, remedy: str) -> Corpus:
    """Return the corpus of a checkpoint's paths, which may have changed since."""
    config = checkpoint.config.corpus
    if "-" in (*config.paths, *config.validation_paths, *config.test_paths):
        if (cached := cached_corpus(checkpoint.fingerprint)) is not None:
            return cached
        raise CorpusError(
            "the text came from standard input and is no longer in the cache; name it with --text"
        )
    was_given = checkpoint.config.training.start_from is not None
    try:
        return build_corpus(config, checkpoint.vocabulary if was_given else None)
    except CorpusError:
        for key in _GROUPS:
            _check_found(getattr(config, key), _remedy_for(key, remedy))
        raise


def _check_found(paths: Sequence[str], remedy: str) -> None:
    try:
        find_files(paths)
    except CorpusError as reason:
        joined = " If not, " if str(reason).endswith("?") else ", or "
        raise CorpusError(f"{reason}{joined}{remedy}") from None


def _remedy_for(key: str, remedy: str) -> str:
    """Return how to give the new path of a group of files: `remedy` is that for `corpus.paths`."""
    return remedy if key == "paths" else f"resume the run with --set corpus.{key}=FILE"


def _changed(corpus: Corpus, checkpoint: Checkpoint, remedy: str) -> CorpusError:
    """Return the error for files that have changed; the record of a text has its digest."""
    config, known = checkpoint.config.corpus, {one.digest for one in _own(checkpoint)}
    key = "paths"
    if corpus.parts["train"].origin.digest in known:
        if config.validation_paths and corpus.parts["validation"].origin.digest not in known:
            key = "validation_paths"
        elif config.test_paths:
            key = "test_paths"
    where = ", ".join(getattr(config, key)) or config.builtin
    return CorpusError(
        f"{where}: the text has changed since the model was trained on it; restore it, or "
        f"{_remedy_for(key, remedy)}"
    )
