"""Find the text to score: a split of the training text, at its old or new path, or another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from charlm.checkpoint import Checkpoint
from charlm.config import CorpusConfig
from charlm.config_file import absolute
from charlm.corpus import Corpus, Part, PartName, cached_corpus
from charlm.corpus_builder import build_corpus, digest_of_text, encode_files
from charlm.errors import CorpusError
from charlm.file_search import find_files
from charlm.provenance import name_of, name_of_part


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
    corpus = _training_corpus_at(checkpoint, paths)
    name = name_of(files)
    if corpus is None and part is not None:
        raise CorpusError(
            f"--part {part} needs the training text, and {name} is another text; omit --part, or "
            "name the training text"
        )
    if corpus is not None and (part is not None or held_out_part(corpus) is not None):
        found = _part_of(corpus, part, checkpoint.config.corpus)
        note = f"; {name} is the training text: its {found.name} split is scored"
        return replace(found, note=note)
    config, vocabulary = checkpoint.config.corpus, checkpoint.vocabulary
    other = encode_files(paths, config, vocabulary)
    return ScoredText(", ".join(map(str, files)), other.parts["test"], name, paths)


def _training_corpus_at(checkpoint: Checkpoint, paths: tuple[str, ...]) -> Corpus | None:
    """Return the training text from other paths; None if their content is another text."""
    config = checkpoint.config
    if "-" in paths:  # standard input can be read only once: treat it as another text
        return None
    digest = digest_of_text(paths, config.corpus)
    own = [one for one in checkpoint.provenance if one.use == "learnt from" and not one.through]
    if digest not in {record.digest for record in own}:
        return None
    place = config.corpus.model_copy(update={"paths": paths, "builtin": None})
    config = config.model_copy(update={"corpus": place})
    corpus = _build(replace(checkpoint, config=config))
    return corpus if corpus.fingerprint == checkpoint.fingerprint else None


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


def training_corpus(
    checkpoint: Checkpoint, remedy: str = "or name a copy of it with --text"
) -> Corpus:
    """Return the corpus of a checkpoint's run, from the cache or from its files.

    Raises `CorpusError` if the files are missing or have changed; `remedy` ends the message.
    """
    config = checkpoint.config
    if "-" in (*config.corpus.paths, *config.corpus.validation_paths, *config.corpus.test_paths):
        if (cached := cached_corpus(checkpoint.fingerprint)) is not None:
            return cached
        raise CorpusError(
            "the text came from standard input and is no longer in the cache; name it with --text"
        )
    try:
        corpus = _build(checkpoint)
    except CorpusError:
        for paths in (
            config.corpus.paths,
            config.corpus.validation_paths,
            config.corpus.test_paths,
        ):
            _check_found(paths, remedy)
        raise
    if corpus.fingerprint != checkpoint.fingerprint:
        where = ", ".join(config.corpus.paths) or config.corpus.builtin
        raise CorpusError(
            f"{where}: the text has changed since the model was trained on it; restore it, {remedy}"
        )
    return corpus


def _check_found(paths: Sequence[str], remedy: str) -> None:
    try:
        find_files(paths)
    except CorpusError as reason:
        raise CorpusError(f"{reason}, {remedy}") from None


def _build(checkpoint: Checkpoint) -> Corpus:
    was_given = checkpoint.config.training.start_from is not None
    return build_corpus(checkpoint.config.corpus, checkpoint.vocabulary if was_given else None)
