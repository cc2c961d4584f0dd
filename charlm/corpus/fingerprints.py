"""Digests that identify a text and its corpus, from the files and the settings that read them."""

import hashlib
import json
from collections.abc import Sequence

from charlm.config.schema import CorpusConfig
from charlm.corpus.file_digests import Digests
from charlm.corpus.files import find_files
from charlm.corpus.vocabulary import Vocabulary
from charlm.files.locations import cache_folder

_FORMAT_VERSION = 3
"""Version in every fingerprint; raise it when the same text and settings give other ids."""
_FIRST_NAMES = {"unify": "normalise"}
"""Names of settings in digests that are renamed in configs, so that no digest changes."""


def digest_of_text(paths: Sequence[str], config: CorpusConfig) -> str:
    """Return the digest, as in `Part.origin`, of files that are read with the settings `config`."""
    digests = Digests(cache_folder() / "corpora" / "file-digests.json")
    digest = digest_of_content(digests.of(find_files(paths)), config)
    digests.remember()
    return digest


def fingerprint_of(config: CorpusConfig, vocabulary: Vocabulary | None = None) -> str:
    """Return the fingerprint of the corpus that `build_corpus` would build."""
    digests = Digests(cache_folder() / "corpora" / "file-digests.json")
    groups = [
        find_files(config.paths, config.builtin),
        find_files(config.validation_paths),
        find_files(config.test_paths),
    ]
    contents = [digests.of(files) for files in groups]
    fingerprint = fingerprint_of_contents(contents, config, vocabulary)
    digests.remember()
    return fingerprint


def digest_of_content(content: str, config: CorpusConfig) -> str:
    """Return a digest of whole files and of the settings that decode them."""
    line_ends = _FIRST_NAMES.get(config.line_ends, config.line_ends)
    facts = [content, config.unit, config.encoding, line_ends, config.normal_form]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def fingerprint_of_contents(
    contents: list[str], config: CorpusConfig, vocabulary: Vocabulary | None
) -> str:
    """Return the fingerprint of a corpus; `contents` are the digests of its groups of files."""
    # The original defaults are omitted, so that neither a key that a later version adds nor a new
    # default changes a fingerprint.
    places = {"paths", "builtin", "validation_paths", "test_paths"}
    defaults = CorpusConfig().model_dump(mode="json") | {"newlines": "keep"}
    dumped = config.model_dump(mode="json", exclude=places)
    dumped["newlines"] = _FIRST_NAMES.get(config.line_ends, config.line_ends)
    settings = {key: value for key, value in dumped.items() if value != defaults[key]}
    facts = [
        _FORMAT_VERSION,
        contents,
        settings,
        vocabulary.to_json() if vocabulary else None,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
