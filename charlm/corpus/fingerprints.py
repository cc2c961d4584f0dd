"""Digests that identify a text and its corpus, from the files and the settings that read them."""

import hashlib
import json
from collections.abc import Sequence

from charlm.config.schema import CorpusConfig
from charlm.corpus.text_files import TextFiles, file_digests, text_files
from charlm.corpus.vocabulary import Vocabulary

_FORMAT_VERSION = 3
"""Version in every fingerprint; raise it when the same text and settings give different ids."""
_FIRST_NAMES = {"unify": "normalise"}
"""Original names of renamed settings, which digests keep, so that no digest changes."""


def digest_of_text(paths: Sequence[str], config: CorpusConfig) -> str:
    """Return the digest, as in `Split.origin`, of files read with the settings `config`."""
    digests = file_digests()
    without_builtin = config.replace(paths=tuple(paths), builtin=None)
    files = text_files(without_builtin, (paths, (), ()), digests, is_setting=False)
    digest = digests_of_groups(files)[0]
    digests.remember()
    return digest


def fingerprint_of(config: CorpusConfig, vocabulary: Vocabulary | None = None) -> str:
    """Return the fingerprint of the corpus that `build_corpus` would build."""
    digests = file_digests()
    places = config.paths, config.validation_paths, config.test_paths
    fingerprint = fingerprint_of_files(text_files(config, places, digests), vocabulary)
    digests.remember()
    return fingerprint


def digests_of_groups(files: TextFiles) -> list[str]:
    """Return digests of whole groups of files and of the settings that decode them."""
    config = files.config
    line_ends = _FIRST_NAMES.get(config.line_ends, config.line_ends)
    facts: list[list[object]] = [
        [content, config.unit, files.encoding_of(group), line_ends, config.normal_form]
        for group, content in zip(files.groups, files.contents, strict=True)
    ]
    if config.has_records:  # the positions of records depend on the settings of the split, too
        added: list[object] = [config.records, config.column]
        is_divided = config.split[0] < 1 and not (config.validation_paths or config.test_paths)
        added += [config.split, config.split_seed] if is_divided else []
        facts = [[*one, *added] for one in facts]
    return [hashlib.sha256(json.dumps(one).encode()).hexdigest() for one in facts]


def fingerprint_of_files(files: TextFiles, vocabulary: Vocabulary | None) -> str:
    """Return the fingerprint of a corpus, from its files and every setting that changes the ids."""
    # The original defaults are omitted, so that neither a key that a later version adds nor a new
    # default changes a fingerprint.
    config = files.config
    places = {"paths", "builtin", "validation_paths", "test_paths", "encodings"}
    first_defaults = {"newlines": "keep", "encoding": "utf-8"}
    defaults = CorpusConfig().model_dump(mode="json") | first_defaults
    dumped = config.model_dump(mode="json", exclude=places)
    dumped["newlines"] = _FIRST_NAMES.get(config.line_ends, config.line_ends)
    dumped["encoding"] = files.encoding_of([path for group in files.groups for path in group])
    settings = {key: value for key, value in dumped.items() if value != defaults[key]}
    facts = [
        _FORMAT_VERSION,
        files.contents,
        settings,
        vocabulary.to_json() if vocabulary else None,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
