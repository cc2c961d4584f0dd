"""Texts by name: built-in ones, and those of `data/corpora.yaml`, which charlm downloads once."""

import re
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, model_validator

from charlm.corpus.builtin_texts import BUILTIN, builtin_files
from charlm.corpus.downloads import sha256_of, transfer, unpack_member
from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import sync, sync_folder
from charlm.files.build_folder import building_folder
from charlm.files.cache_record import check_claim, claim, make_folder, record_locked
from charlm.files.locations import ANOTHER_CACHE, cache_folder, from_user, shipped
from charlm.files.strict_yaml import YAMLError, parse_yaml
from charlm.files.untrusted import InvalidDataError, read_bounded
from charlm.suggestions import did_you_mean


class DownloadableText(BaseModel):
    """A text that charlm downloads: an entry of `data/corpora.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    address: str
    size: NonNegativeInt
    """Number of bytes at the address."""
    sha256: str
    licence: str
    member: str | None = None
    """Name of the text in the zip archive at the address; None if the text itself is there."""
    member_size: NonNegativeInt | None = None
    """Number of bytes of the unpacked text."""

    @model_validator(mode="after")
    def _check_member(self) -> "DownloadableText":
        if (self.member is None) != (self.member_size is None):
            raise ValueError("member and member_size should be set together")
        return self

    @property
    def text_size(self) -> int:
        """Number of bytes of the text itself."""
        return self.size if self.member_size is None else self.member_size


def catalogue() -> dict[str, DownloadableText]:
    """Return the downloadable texts by name."""
    path = shipped("data") / "corpora.yaml"
    try:
        entries = parse_yaml(read_bounded(path, 1).decode())
        if type(entries) is not dict:
            raise InvalidDataError("it has no entries")
        texts = {name: DownloadableText.model_validate(entry) for name, entry in entries.items()}
    except (OSError, UnicodeDecodeError, YAMLError, ValidationError, InvalidDataError) as reason:
        why = " ".join(str(reason).split())
        raise CorpusError(
            f"{path}: not a valid catalogue ({why:.300}); reinstall charlm-rnn"
        ) from None
    for name in texts:  # it becomes a file name
        if not (isinstance(name, str) and re.fullmatch(r"[\w-]{1,60}", name)):
            raise CorpusError(f"{path}: {name!r:.60} is not a valid name of a text; rename it")
    return texts


def entry_of(name: str) -> DownloadableText:
    """Return the entry of a text; raises `CorpusError` for an unknown name."""
    if name not in (known := catalogue()):
        hint = did_you_mean(name, known) or f"known texts are {', '.join(known)}"
        raise CorpusError(f"{name}: unknown text; {hint}")
    return known[name]


def download_path(name: str) -> Path:
    """Return the path of a downloaded text, whether or not it exists."""
    return cache_folder() / "texts" / f"{name}.txt"


def files_of(name: str) -> list[Path]:
    """Return the files of a text; raises `CorpusError` if it is unknown or not downloaded."""
    if name in BUILTIN:
        return builtin_files(name)
    if name not in (known := catalogue()):
        names = [*BUILTIN, *known]
        hint = did_you_mean(name, names) or f"known texts are {', '.join(names)}"
        raise CorpusError(f"corpus.builtin {name!r}: unknown text; {hint}")
    path, remedy = download_path(name), f"get it with `charlm data get {name}`"
    if not path.exists():
        raise CorpusError(f"{name}: not downloaded yet; {remedy}")
    with file_errors("be read", path, remedy, CorpusError):
        size = path.stat().st_size
        is_whole = size == known[name].text_size
        if is_whole and known[name].member is None:  # an archive has no digest of its text
            is_whole = sha256_of(path) == known[name].sha256
    if not is_whole:
        raise CorpusError(f"{path}: {size:,} bytes, changed since the download; {remedy} again")
    return [path]


def get(
    name: str, source: Path | None = None, on_bytes: Callable[[int], object] = lambda size: None
) -> Path:
    """Download a text (or take it from a file or folder), check it, and keep it in the cache.

    `on_bytes` receives the size of each piece. A transfer that fails or has the wrong size or
    SHA-256 leaves nothing behind. Raises `CorpusError`.
    """
    entry, target = entry_of(name), download_path(name)
    origin = str(_local_file(from_user(source), entry, name)) if source else entry.address
    with (
        file_errors("be written", target, ANOTHER_CACHE, CorpusError),
        building_folder(cache_folder()) as folder,
    ):
        with record_locked():  # refuse before a long download
            make_folder(target.parent)
            check_claim(target)
        arrived = folder / "arrived"
        transfer(origin, arrived, entry.size, on_bytes)
        _check(arrived, entry, origin)
        if entry.member is not None:
            arrived = unpack_member(arrived, entry.member, entry.text_size, origin)
        sync(arrived)
        with record_locked():
            make_folder(target.parent)  # the cache may have been cleared meanwhile
            claim(target)
            arrived.replace(target)
            sync_folder(target.parent)
    return target


def _local_file(source: Path, entry: DownloadableText, name: str) -> Path:
    with file_errors("be read", source, "check the path", CorpusError):
        if not source.is_dir():
            return source
        for path in sorted(source.iterdir()):
            is_candidate = path.is_file() and path.stat().st_size == entry.size
            if is_candidate and sha256_of(path) == entry.sha256:
                return path
    raise CorpusError(
        f"{source}: no file here is {name} ({entry.size:,} bytes, SHA-256 {entry.sha256[:12]}…); "
        f"download it from {entry.address}"
    )


def _check(path: Path, entry: DownloadableText, origin: str) -> None:
    if (size := path.stat().st_size) != entry.size:
        or_more = " or more" if size > entry.size else ""
        raise CorpusError(
            f"{origin}: received {size:,} bytes{or_more} instead of {entry.size:,}; nothing was "
            "kept, try again or download it elsewhere"
        )
    if (digest := sha256_of(path)) != entry.sha256:
        raise CorpusError(
            f"{origin}: not the expected text (SHA-256 {digest[:12]}… instead of "
            f"{entry.sha256[:12]}…); nothing was kept, download it elsewhere and pass it with "
            "--from"
        )
