"""Large files in constant memory, and many models between processes; long tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.integer_networks import SHAPES, VOCABULARY, random_ids, random_model, rounded
from support.node import DECOMPRESS, run_scripts
from test_compression import compressed

from charlm.export.integer_data import packed_network
from charlm.portable.model_bytes import to_bytes

SMALL_BYTES = 2_000_000
LARGE_BYTES = int(os.environ.get("CHARLM_LARGE_BYTES", "10_000_000"))
"""`CHARLM_LARGE_BYTES=100_000_000` tests 100 MB: 210 and 172 s of processor time."""
LARGE = """
import resource, sys, time
from charlm.portable import compression
from charlm.portable.model_bytes import from_bytes

network = from_bytes(open("network", "rb").read())
begin = time.perf_counter()
with open(sys.argv[2], "rb") as source, open(sys.argv[3], "xb") as target:
    find_network = (network,) if sys.argv[1] == "compress" else (lambda _: network,)
    for _ in getattr(compression, sys.argv[1])(source, target, *find_network):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, time.perf_counter() - begin)
"""
_RUN = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
"""A small process in between: a child's peak on Linux begins with the memory of its parent."""
DECOMPRESS_ALL = """
import io, pathlib
from charlm.kernels.compiler import library
from charlm.portable import compression

assert library() is None
for packed in sorted(pathlib.Path().glob("*.charlm")):
    target = io.BytesIO()
    with packed.open("rb") as source:
        list(compression.decompress(source, target, lambda _: None))
    assert target.getvalue() == packed.with_suffix(".txt").read_bytes(), packed
"""


@pytest.mark.long
def test_large_files_in_constant_memory(tmp_path: Path) -> None:
    """Repeated text comes back, with no more memory than a file of 2 MB takes."""
    model = random_model("gru")  # 24 units
    (tmp_path / "network").write_bytes(to_bytes(rounded(model)))
    text = VOCABULARY.decode(random_ids(VOCABULARY, 50_000)).encode()
    peaks = {}
    for size in (SMALL_BYTES, LARGE_BYTES):
        with (tmp_path / f"{size}").open("wb") as file:
            for begin in range(0, size, len(text)):
                file.write(text[: size - begin])
        names = {"compress": (f"{size}", f"{size}.charlm"), "decompress": (f"{size}.charlm", "new")}
        for command, both in names.items():
            line = [sys.executable, "-c", _RUN, sys.executable, "-c", LARGE, command, *both]
            done = subprocess.run(line, cwd=tmp_path, check=True, stdout=subprocess.PIPE)
            megabytes, seconds = map(float, done.stdout.split())
            peaks[command, size] = megabytes
            print(f"{command} {size:,} bytes: {megabytes:.0f} MB, {seconds:.0f} s")
        compare = ["cmp", f"{size}", "new"]
        subprocess.run(compare, cwd=tmp_path, check=True)
        for name in (f"{size}", f"{size}.charlm", "new"):
            (tmp_path / name).unlink()
    for command in ("compress", "decompress"):
        assert peaks[command, LARGE_BYTES] < peaks[command, SMALL_BYTES] + 20


@pytest.mark.long
def test_files_go_between_processes(tmp_path: Path) -> None:
    """200 models and texts compressed here decompress in numpy in another process, and in node."""
    source, tasks, texts = np.random.default_rng(0), [], []
    for number in range(200):
        shape = list(SHAPES)[number % len(SHAPES)]
        network = rounded(
            random_model(shape, seed=number, scale=float(2.0 ** source.uniform(-2, 5)))
        )
        ids = random_ids(VOCABULARY, int(source.integers(0, 400)), number)
        text = VOCABULARY.decode(ids).encode() + source.bytes(number % 7)
        (tmp_path / f"{number:03}.charlm").write_bytes(compressed(text, network, with_model=True))
        (tmp_path / f"{number:03}.txt").write_bytes(text)
        file = list(compressed(text, network))
        tasks.append({"network": packed_network(network), "file": file})
        texts.append(list(text))
    environment = os.environ | {"CHARLM_KERNELS": "off", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", DECOMPRESS_ALL]
    subprocess.run(line, cwd=tmp_path, check=True, env=environment)
    assert json.dumps(run_scripts(tmp_path, DECOMPRESS, tasks)) == json.dumps(texts)
