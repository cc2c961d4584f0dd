"""Find the training text of a checkpoint: in the cache, at its paths, or at new paths."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from charlm.config.paths import absolute
from charlm.config.settings import TextPaths
from charlm.corpus.builder import build_corpus
from charlm.corpus.cache import cached_corpus
from charlm.corpus.corpus import Corpus, SplitName
from charlm.corpus.files import find_files
from charlm.corpus.fingerprints import digest_of_text, fingerprint_of
from charlm.corpus.provenance import Record, name_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError
from charlm.runs.checkpoint import Checkpoint

TEXT_OPTION = "name a copy of it with --text"
"""Remedy for a missing training text, where `--text` takes its new path."""
_PATH_KEYS: dict[SplitName, str] = {
    "train": "paths",
    "validation": "validation_paths",
    "test": "test_paths",
}


def training_corpus(
    checkpoint: Checkpoint, remedy: str = TEXT_OPTION, split_remedy: str = ""
) -> Corpus:
    """Return the corpus of a checkpoint's run, from the cache or from its files.

    Raises `CorpusError` if the files are missing or have changed; `remedy` ends the message if
    they are those of `corpus.paths`, and `split_remedy` if they are those of another split
    (default: resume the run with their new path).
    """
    corpus = corpus_at_paths(checkpoint, remedy, split_remedy)
    if corpus.fingerprint != checkpoint.fingerprint:
        raise changed_text_error(corpus, checkpoint, remedy, split_remedy)
    return corpus


def searched_corpus(
    checkpoint: Checkpoint, moved: TextPaths = (), remedy: str = TEXT_OPTION
) -> Corpus:
    """Return the corpus of a model; `moved` is the path of its training text, if it has moved.

    Raises `CorpusError` if it is missing, has changed, or is another text; `remedy` ends the first
    two messages.
    """
    if not (files := listed(moved)):
        return training_corpus(checkpoint, remedy)
    found = with_paths(checkpoint, files)
    if found is None:
        raise CorpusError(
            f"{name_of(files)} is not the training text of the model; name a copy of that with "
            "--text"
        )
    return training_corpus(found, remedy)


def corpus_at_paths(checkpoint: Checkpoint, remedy: str, split_remedy: str = "") -> Corpus:
    """Return the corpus of a checkpoint's paths, which may have changed since."""
    config = checkpoint.config.corpus
    if "-" in (*config.paths, *config.validation_paths, *config.test_paths):
        if (cached := cached_corpus(checkpoint.fingerprint)) is not None:
            return cached
        raise CorpusError(
            "the text came from standard input and is no longer in the cache; name it with --text"
        )
    try:
        return build_corpus(config, _initial_vocabulary(checkpoint))
    except CorpusError:
        for key in _PATH_KEYS.values():
            _check_found(getattr(config, key), _remedy_for(key, remedy, split_remedy))
        raise


def _initial_vocabulary(checkpoint: Checkpoint) -> Vocabulary | None:
    """Return the vocabulary of the checkpoint if it is not from the text alone."""
    is_fine_tuned = checkpoint.config.training.start_from is not None
    return checkpoint.vocabulary if is_fine_tuned else None


def _check_found(paths: Sequence[str], remedy: str) -> None:
    try:
        find_files(paths, is_setting=False)
    except CorpusError as reason:
        conjunction = " If not, " if str(reason).endswith("?") else ", or "
        raise CorpusError(f"{reason}{conjunction}{remedy}") from None


def _remedy_for(key: str, remedy: str, split_remedy: str) -> str:
    """Return how to set the new path of missing files; `remedy` is for those of `corpus.paths`."""
    if key == "paths":
        return remedy
    return split_remedy or f"resume the run with --set corpus.{key}=FILE"


def changed_text_error(
    corpus: Corpus, checkpoint: Checkpoint, remedy: str, split_remedy: str = ""
) -> CorpusError:
    """Return the error for files that have changed; the record of a text has its digest."""
    config = checkpoint.config.corpus
    digests = {record.digest for record in run_records(checkpoint)}
    key = "paths"
    if corpus.splits["train"].origin.digest in digests:
        if config.validation_paths and corpus.splits["validation"].origin.digest not in digests:
            key = "validation_paths"
        elif config.test_paths:
            key = "test_paths"
    paths = ", ".join(getattr(config, key)) or config.builtin
    return CorpusError(
        f"{paths}: the text has changed since the model was trained on it; restore it, or "
        f"{_remedy_for(key, remedy, split_remedy)}"
    )


def with_paths(checkpoint: Checkpoint, files: Sequence[str | Path]) -> Checkpoint | None:
    """Return the checkpoint with other paths of one of its texts; None if it is another text."""
    moved = moved_text(checkpoint, files)
    return moved[1] if moved is not None else None


def moved_text(
    checkpoint: Checkpoint, files: Sequence[str | Path]
) -> tuple[SplitName, Checkpoint] | None:
    """Find which text of the run some files are, by content; return None for another text.

    "train" is the text of `corpus.paths`; the other names are those of separate files. With the
    name, return the checkpoint with the new paths.
    """
    config, paths = checkpoint.config, tuple(absolute(str(path), Path.cwd()) for path in files)
    if not paths or "-" in paths:  # standard input can be read only once: treat it as another text
        return None
    digest = digest_of_text(paths, config.corpus)
    for name, key in _PATH_KEYS.items():
        changes = {key: paths, "builtin": None} if name == "train" else {key: paths}
        if name == "train" or getattr(config.corpus, key):
            moved = replace(checkpoint, config=config.replace(corpus=changes))
            if digest in _digests(checkpoint, name) or _is_same_text(moved, name):
                return name, moved
    return None


def _digests(checkpoint: Checkpoint, name: SplitName) -> set[str]:
    """Return the digests of the text of a split, from the checkpoint and the cache."""
    uses = {"train": ["learnt from"], "validation": ["chosen on", "fitted on"]}.get(name, [])
    digests = {record.digest for record in run_records(checkpoint) if record.use in uses}
    if name == "test" and (cached := cached_corpus(checkpoint.fingerprint)) is not None:
        digests.add(cached.splits[name].origin.digest)
    return digests


def _is_same_text(moved: Checkpoint, name: SplitName) -> bool:
    """Return whether the corpus has the fingerprint of the run with this text as its test text.

    The checkpoint has no digest of the test text alone.
    """
    config = moved.config.corpus
    if name != "test" or "-" in (*config.paths, *config.validation_paths):
        return False
    with suppress(CorpusError):  # another file is missing, too
        return fingerprint_of(config, _initial_vocabulary(moved)) == moved.fingerprint
    return False


def run_records(checkpoint: Checkpoint) -> list[Record]:
    """Return the records of the run's own texts."""
    return [record for record in checkpoint.provenance if not record.through]


def listed(text: TextPaths) -> list[str]:
    """Return the paths of a text, one or several, as strings."""
    return [str(path) for path in ([text] if isinstance(text, str | Path) else text)]
