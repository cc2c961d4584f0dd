"""What a hostile file may cost: the memory of a process that does nothing but read it."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from charlm.runs.checkpoint_header import FORMAT_VERSION

if sys.platform == "win32":
    pytest.skip("Windows has no module `resource`", allow_module_level=True)

MEMORY = 64 << 20
"""Bytes that a process may take to read one file, beyond those of its start."""
_READ = """
import json, os, resource, sys
from pathlib import Path
from charlm.runs.checkpoint import read_checkpoint
from charlm.config.schema import CorpusConfig
from charlm.config.load import load_config
from charlm.corpus.builder import build_corpus
from charlm.errors import CharlmError

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

def build(path):
    about = {"NFC": {"normal_form": "NFC"}, "utf-7": {"encoding": "utf-7"}}.get(path.stem, {})
    build_corpus(CorpusConfig(paths=(str(path),), **about))

read = {".yaml": load_config, ".gz": build}
for path in sorted(Path(sys.argv[1]).iterdir()):
    if child := os.fork():  # each file by itself: a heap keeps what the files before it left
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{path.name}: not read")
        continue
    before, said = peak(), None
    try:
        read.get(path.suffix, read_checkpoint)(path)
    except CharlmError as error:
        said = str(error)
    print(json.dumps([path.name, said, peak() - before]), flush=True)
    os._exit(0)
"""
_RUN = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
"""A small process in between: a child's peak on Linux begins with the memory of its parent."""
ABOUT = 9_390_000
"""Bytes of a header, a little less than the most that is read of one."""


def of_lists(size: int) -> str:
    return "[" + "[]," * (size // 3) + "[]]"


def with_size(header: str) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode()


def around(metadata: str) -> str:
    """Return a header whose metadata say this of the checkpoint."""
    return json.dumps({"__metadata__": {"charlm": metadata}})


BOMBS: dict[str, Callable[[int], str]] = {
    "lists": of_lists,
    "names": lambda size: "[" + ",".join(f'"{n:07}"' for n in range(size // 10)) + "]",
    "a name beyond ASCII": lambda size: '["\\ud83d\\ude00' + "x" * (size - 20) + '"]',
    "all code points": lambda _: json.dumps(
        {"sha256": "", "format_version": FORMAT_VERSION, "vocabulary": list(range(0x110000))}
    ),
}


MORE_BOMBS: dict[str, Callable[[int], str]] = {
    "sections": lambda size: of_lists(size).replace("[]", "{}"),
    "numbers": lambda size: "[" + "257," * (size // 4) + "0]",
    "zeros": lambda size: "[" + "0," * (size // 2) + "0]",
}


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


HUGE = '{"x":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}'
HEADERS = {
    "claims 2**62 bytes": (1 << 62).to_bytes(8, "little") + b"{}",
    "is a million deep": with_size(deep(1_000_000)),
    "has metadata a million deep": with_size(around(deep(1_000_000))),
    "claims a tensor of 2**62 bytes": with_size(HUGE),
}
ALIASES = [
    "a0: &a0 [x, x]",
    *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)),
]


@pytest.mark.parametrize("bombs", [BOMBS, pytest.param(MORE_BOMBS, marks=pytest.mark.long)])
def test_bombs_are_refused_in_little_memory(
    tmp_path: Path, bombs: dict[str, Callable[[int], str]]
) -> None:
    """Configs and checkpoints that expand without end are refused in little memory."""
    for name, bomb in bombs.items():
        (tmp_path / f"{name}.yaml").write_text(bomb(1_000_000)[: 1 << 20], "utf-8")
        (tmp_path / f"{name} in the header").write_bytes(with_size(bomb(ABOUT)))
        (tmp_path / f"{name} in the metadata").write_bytes(with_size(around(bomb(ABOUT))))
    for name, header in HEADERS.items():
        (tmp_path / f"a header that {name}").write_bytes(header)
    for name, use in {"one": "training: *a11", "a section": "training: {x: *a11}"}.items():
        (tmp_path / f"aliases, {name}.yaml").write_text("\n".join([*ALIASES, use]))
    refused = read_in_little_memory(tmp_path)
    assert len(refused) == 3 * len(bombs) + len(HEADERS) + 2
    assert all(refused.values()), refused
    assert all("alias" in said for name, said in refused.items() if "alias" in name), refused


def test_gzip_bombs_are_streamed(tmp_path: Path) -> None:
    """A gzipped file that expands a thousandfold is read in little memory.

    So it is where text must wait for what follows: in a normal form and in UTF-7's numbers.
    """
    for name, begin, character in (("plain", "", "a"), ("NFC", "", "あ"), ("utf-7", "+", "A")):
        path = tmp_path / f"{name}.gz"
        with gzip.open(path, "wb", compresslevel=6) as file:
            file.write(begin.encode())
            for _ in range(80):
                file.write(character.encode() * ((1 << 20) // len(character.encode())))
        assert path.stat().st_size * 900 < 80 << 20
    for name, said in read_in_little_memory(tmp_path).items():
        assert said is None or ("corpus.encoding" in said and name == "utf-7.gz")


def read_in_little_memory(folder: Path) -> dict[str, Any]:
    """Return what is said of each file by processes that read one each."""
    with TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, sys.executable, "-c", _READ, str(folder)],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "CHARLM_CACHE": cache},
        )
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert max(peak for *_, peak in read) < MEMORY, [f"{n}: {p >> 20} MB" for n, _, p in read]
    return {name: said for name, said, _ in read}
