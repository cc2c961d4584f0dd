"""Texts by name: built-in ones, and well-known ones that charlm downloads once."""

import hashlib
import re
import sysconfig
from collections.abc import Callable
from pathlib import Path

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from charlm.corpus.downloads import sha256_of, taken_out, transfer
from charlm.errors import CorpusError, file_errors
from charlm.files.atomic import sync, sync_folder, write_whole
from charlm.files.build_folder import building_folder
from charlm.files.cache_record import check_claim, claim, make_folder, record_locked
from charlm.files.locations import ANOTHER_CACHE, cache_folder, from_user, shipped
from charlm.files.strict_yaml import YAMLError, parse_yaml
from charlm.files.untrusted import InvalidDataError, read_bounded
from charlm.suggestions import did_you_mean

BUILTIN = {
    "python-docs": "the Python language reference that comes with the interpreter",
    "python-stdlib": "the sources of Python's standard library",
    "lyrics-zh": "Chinese lyrics written for charlm",
}
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3"}


class DownloadableText(BaseModel):
    """An entry of `data/corpora.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    address: str
    size: NonNegativeInt
    """Bytes at the address."""
    sha256: str
    licence: str
    member: str | None = None
    """The file inside, where a zip archive lies at the address."""
    member_size: NonNegativeInt | None = None
    """Bytes of that file."""

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> "DownloadableText":
        if (self.member is None) != (self.member_size is None):
            raise ValueError("a member has a member_size")
        return self

    @property
    def text_size(self) -> int:
        """Bytes of the text itself."""
        return self.size if self.member_size is None else self.member_size


def catalogue() -> dict[str, DownloadableText]:
    """Return the downloadable texts by name."""
    path = shipped("data") / "corpora.yaml"
    try:
        entries = parse_yaml(read_bounded(path, 1).decode())
        if type(entries) is not dict:
            raise InvalidDataError("it has no entries")
        texts = {name: DownloadableText.model_validate(entry) for name, entry in entries.items()}
    except (
        OSError,
        UnicodeDecodeError,
        YAMLError,
        ValidationError,
        InvalidDataError,
    ) as reason:
        why = " ".join(str(reason).split())
        raise CorpusError(
            f"{path}: not a catalogue ({why:.300}); install charlm-rnn anew"
        ) from None
    for name in texts:  # it becomes the name of a file
        if not (isinstance(name, str) and re.fullmatch(r"[\w-]{1,60}", name)):
            raise CorpusError(f"{path}: {name!r:.60} is no name of a text; rename it")
    return texts


def entry_of(name: str) -> DownloadableText:
    """Return the entry of a text; raises `CorpusError` for an unknown name."""
    if name not in (known := catalogue()):
        hint = did_you_mean(name, known) or f"known are {', '.join(known)}"
        raise CorpusError(f"{name}: unknown text; {hint}")
    return known[name]


def downloaded(name: str) -> Path:
    """Return the path of the downloaded text `name`, also before the download."""
    return cache_folder() / "texts" / f"{name}.txt"


def files_of(name: str) -> list[Path]:
    """Return the files of a text; raises `CorpusError` if it is unknown or not downloaded."""
    if name == "python-docs":
        return [_python_docs()]
    if name == "python-stdlib":
        return _python_stdlib()
    if name == "lyrics-zh":
        return [shipped("data") / "lyrics-zh.txt"]
    if name not in (known := catalogue()):
        names = [*BUILTIN, *known]
        hint = did_you_mean(name, names) or f"known are {', '.join(names)}"
        raise CorpusError(f"corpus.builtin {name!r}: unknown text; {hint}")
    path, remedy = downloaded(name), f"get it with `charlm data get {name}`"
    if not path.exists():
        raise CorpusError(f"{name}: not on this machine yet; {remedy}")
    with file_errors("be read", path, remedy, CorpusError):
        size = path.stat().st_size
        is_whole = size == known[name].text_size
        if is_whole and known[name].member is None:  # of archives, their digest alone is known
            is_whole = sha256_of(path) == known[name].sha256
    if not is_whole:
        raise CorpusError(f"{path}: {size:,} bytes, and not what was downloaded; {remedy} again")
    return [path]


def get(
    name: str, source: Path | None = None, on_bytes: Callable[[int], object] = lambda size: None
) -> Path:
    """Download a text (or take it from a file or folder), check it, and keep it in the cache.

    `on_bytes` receives the size of each piece. Nothing remains of a transfer that breaks off or
    does not have the right size and SHA-256. Raises `CorpusError`.
    """
    entry, target = entry_of(name), downloaded(name)
    where = str(_local_file(from_user(source), entry, name)) if source else entry.address
    with (
        file_errors("be written", target, ANOTHER_CACHE, CorpusError),
        building_folder(cache_folder()) as folder,
    ):
        with record_locked():  # refuse before a long download
            make_folder(target.parent)
            check_claim(target)
        arrived = folder / "arrived"
        transfer(where, arrived, entry.size, on_bytes)
        _check(arrived, entry, where)
        if entry.member is not None:
            arrived = taken_out(arrived, entry.member, entry.text_size, where)
        sync(arrived)
        with record_locked():
            make_folder(target.parent)  # the cache may have been cleared meanwhile
            claim(target)
            arrived.replace(target)
            sync_folder(target.parent)
    return target


def _python_docs() -> Path:
    from pydoc_data import topics  # noqa: PLC0415 - half a megabyte that only this text needs

    text = "\n".join(topics.topics[key] for key in sorted(topics.topics)).encode()
    path = cache_folder() / "texts" / f"python-docs-{hashlib.sha256(text).hexdigest()[:12]}.txt"
    with file_errors("be read", path, ANOTHER_CACHE, CorpusError):
        is_here = path.exists() and path.read_bytes() == text
    if not is_here:
        with file_errors("be written", path, ANOTHER_CACHE, CorpusError), record_locked():
            make_folder(path.parent)
            claim(path)
            write_whole(path, text)
    return path


def _python_stdlib() -> list[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(
        path
        for path in library.rglob("*.py")
        if not _NOT_LIBRARY.intersection(path.relative_to(library).parts)
    )
    if not files:
        raise CorpusError(f"python-stdlib: no sources in {library}; name a text with --text")
    return files


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
        f"fetch it from {entry.address}"
    )


def _check(path: Path, entry: DownloadableText, where: str) -> None:
    if (size := path.stat().st_size) != entry.size:
        or_more = " or more" if size > entry.size else ""
        raise CorpusError(
            f"{where}: {size:,} bytes{or_more} arrived instead of {entry.size:,}; nothing was "
            "kept, try again or fetch it elsewhere"
        )
    if (digest := sha256_of(path)) != entry.sha256:
        raise CorpusError(
            f"{where}: SHA-256 is {digest[:12]}… instead of {entry.sha256[:12]}…: not the text "
            "that charlm knows; nothing was kept, fetch it elsewhere and give --from"
        )
