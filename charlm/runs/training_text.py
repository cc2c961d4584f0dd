"""Find the training text of a checkpoint: in the cache, at its paths, or at new paths."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from charlm.config.paths import absolute
from charlm.corpus.builder import build_corpus, digest_of_text
from charlm.corpus.corpus import Corpus, cached_corpus
from charlm.corpus.files import find_files
from charlm.corpus.provenance import Record
from charlm.errors import CorpusError
from charlm.runs.checkpoint import Checkpoint

TEXT_OPTION = "name a copy of it with --text"
"""Remedy for a missing training text, where `--text` takes its new path."""
_PATH_KEYS = ("paths", "validation_paths", "test_paths")


def training_corpus(checkpoint: Checkpoint, remedy: str = TEXT_OPTION) -> Corpus:
    """Return the corpus of a checkpoint's run, from the cache or from its files.

    Raises `CorpusError` if the files are missing or have changed; `remedy` ends the message if
    they are those of `corpus.paths`.
    """
    corpus = corpus_at_paths(checkpoint, remedy)
    if corpus.fingerprint != checkpoint.fingerprint:
        raise changed_text_error(corpus, checkpoint, remedy)
    return corpus


def corpus_at_paths(checkpoint: Checkpoint, remedy: str) -> Corpus:
    """Return the corpus of a checkpoint's paths, which may have changed since."""
    config = checkpoint.config.corpus
    if "-" in (*config.paths, *config.validation_paths, *config.test_paths):
        if (cached := cached_corpus(checkpoint.fingerprint)) is not None:
            return cached
        raise CorpusError(
            "the text came from standard input and is no longer in the cache; name it with --text"
        )
    is_fine_tuned = checkpoint.config.training.start_from is not None
    try:
        return build_corpus(config, checkpoint.vocabulary if is_fine_tuned else None)
    except CorpusError:
        for key in _PATH_KEYS:
            _check_found(getattr(config, key), _remedy_for(key, remedy))
        raise


def _check_found(paths: Sequence[str], remedy: str) -> None:
    try:
        find_files(paths)
    except CorpusError as reason:
        conjunction = " If not, " if str(reason).endswith("?") else ", or "
        raise CorpusError(f"{reason}{conjunction}{remedy}") from None


def _remedy_for(key: str, remedy: str) -> str:
    """Return how to set the new path of missing files; `remedy` is for those of `corpus.paths`."""
    return remedy if key == "paths" else f"resume the run with --set corpus.{key}=FILE"


def changed_text_error(corpus: Corpus, checkpoint: Checkpoint, remedy: str) -> CorpusError:
    """Return the error for files that have changed; the record of a text has its digest."""
    config = checkpoint.config.corpus
    digests = {record.digest for record in run_records(checkpoint)}
    key = "paths"
    if corpus.parts["train"].origin.digest in digests:
        if config.validation_paths and corpus.parts["validation"].origin.digest not in digests:
            key = "validation_paths"
        elif config.test_paths:
            key = "test_paths"
    paths = ", ".join(getattr(config, key)) or config.builtin
    return CorpusError(
        f"{paths}: the text has changed since the model was trained on it; restore it, or "
        f"{_remedy_for(key, remedy)}"
    )


def with_paths(checkpoint: Checkpoint, files: Sequence[str | Path]) -> Checkpoint | None:
    """Return the checkpoint with other paths of its training text; None if it is another text."""
    config, paths = checkpoint.config, tuple(absolute(str(path), Path.cwd()) for path in files)
    if not paths or "-" in paths:  # standard input can be read only once: treat it as another text
        return None
    digest = digest_of_text(paths, config.corpus)
    records = run_records(checkpoint)
    if digest not in {record.digest for record in records if record.use == "learnt from"}:
        return None
    config = config.replace(corpus={"paths": paths, "builtin": None})
    return replace(checkpoint, config=config)


def run_records(checkpoint: Checkpoint) -> list[Record]:
    """Return the records of the run's own texts."""
    return [record for record in checkpoint.provenance if not record.through]
