"""Find the files of a text, with digests of their contents and with their encodings."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charlm.config.schema import CorpusConfig
from charlm.corpus.encodings import UNICODE, iconv_name, recognised_encoding
from charlm.corpus.file_digests import Digests
from charlm.corpus.files import find_files, is_standard_input
from charlm.errors import CorpusError
from charlm.files.locations import cache_folder

_MAX_RECORDED_FILES = 1000
"""Largest number of files whose encodings a run records."""


@dataclass(frozen=True)
class TextFiles:
    """The files of the training text and of separate splits, each with its encoding."""

    groups: tuple[list[Path], ...]
    contents: tuple[str, ...]
    """Digest of the contents of each group."""
    encodings: dict[Path, str]
    new_encodings: dict[Path, str]
    """Encodings that were recognised and are not those of the config."""
    config: CorpusConfig
    is_setting: bool = True
    """Whether errors name settings of the config as remedies."""

    def recorded(self) -> dict[str, str]:
        """Return the encodings to record in the config of a run: those that are not UTF-8."""
        if self.config.encoding != "auto":
            return self.config.encodings
        found = {
            str(path): encoding
            for path, encoding in self.encodings.items()
            if encoding != "utf-8" and not is_standard_input(path)
        }
        return found if len(found) <= _MAX_RECORDED_FILES else self.config.encodings

    def encoding_of(self, files: Sequence[Path]) -> str | list[str]:
        """Return the encoding of files, or the encodings if they have several."""
        names = [self.encodings[path] for path in files] or [_of_setting(self.config)]
        return names[0] if len(set(names)) == 1 else names


def text_files(
    config: CorpusConfig,
    places: Sequence[Sequence[str]],
    digests: Digests,
    report: Callable[[str], None] = lambda notice: None,
    *,
    is_setting: bool = True,
) -> TextFiles:
    """Find files, and recognise their encodings where the config does not name them.

    `places` are the paths of the training text, of validation and of test files. Messages say how
    to set an encoding, or how to convert a file if there is no setting (`is_setting`).
    """
    training, validation, test = places
    groups = (
        find_files(training, config.builtin, report, is_setting=is_setting),
        find_files(validation, report=report, is_setting=is_setting),
        find_files(test, report=report, is_setting=is_setting),
    )
    contents = tuple(digests.of(files) for files in groups)
    paths = list(dict.fromkeys(path for files in groups for path in files))
    if config.unit == "byte" or (config.encoding != "auto" and not config.encodings):
        encodings = dict.fromkeys(paths, _of_setting(config))
        return TextFiles(groups, contents, encodings, {}, config, is_setting)

    def remedy(path: Path, encoding: str) -> str:
        name = str(path)
        if is_standard_input(path) or not is_setting:
            source = "" if is_standard_input(path) else f" {shlex.quote(name)}"
            return f"convert it with `iconv -f {iconv_name(encoding)} -t utf-8{source}`"
        if len(paths) == 1:
            return f"give --text {shlex.quote(name)} --set corpus.encoding={encoding}"
        setting = json.dumps({**config.encodings, name: encoding}, ensure_ascii=False)
        return f"give --set {shlex.quote(f'corpus.encodings={setting}')}"

    encodings = {path: _encoding_of(path, config, digests, remedy) for path in paths}
    new = {
        path: encoding
        for path, encoding in encodings.items()
        if encoding != "utf-8" and config.encoding == "auto" and str(path) not in config.encodings
    }
    return TextFiles(groups, contents, encodings, new, config, is_setting)


def _encoding_of(
    path: Path, config: CorpusConfig, digests: Digests, remedy: Callable[[Path, str], str]
) -> str:
    """Return the encoding of a file: one in UTF-8 may have replaced one in a named encoding."""
    named = config.encodings.get(str(path))
    if named is None and config.encoding != "auto":
        return config.encoding
    try:
        found = digests.encoding_of(path, lambda: recognised_encoding(path, remedy))
    except CorpusError:
        if named is None:
            raise
        return named
    return named if named is not None and found not in UNICODE else found


def _of_setting(config: CorpusConfig) -> str:
    return "utf-8" if config.encoding == "auto" else config.encoding


def file_digests() -> Digests:
    """Return the digests of files that the cache remembers."""
    return Digests(cache_folder() / "corpora" / "file-digests.json")
