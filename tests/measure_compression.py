"""Measure how small `charlm compress` makes texts, beside xz, zstd and bzip2.

    python tests/measure_compression.py [--steps 1500] [--config quickstart] [--lines] TEXT...

Of each text, a network is trained on the first 90 % of the characters; the rest is compressed, and
decompressed again. With --lines, the lines are shuffled before, with seed 0: a list may be sorted.
The last columns are what the other programs need for the rest if they have read the first 90 %: the
size of both together less that of the first. TEXT may be the name of a built-in text.
"""

import argparse
import io
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import charlm
from charlm.corpus.builtin_texts import builtin_files
from charlm.portable import compression
from charlm.portable.checkpoint_network import read_network
from charlm.portable.network import IntegerNetwork

PROGRAMS = {
    "xz": ("xz", "-9e", "-c"),
    "zstd": ("zstd", "-19", "--long=27", "-q", "-c"),
    "bzip2": ("bzip2", "-9", "-c"),
}
TRAINING_SHARE = 0.9


def packed_size(program: str, data: bytes) -> int:
    """Return the size that a program makes of data."""
    return len(subprocess.run(PROGRAMS[program], input=data, stdout=-1, check=True).stdout)


def charlm_size(data: bytes, network: IntegerNetwork, *, with_model: bool) -> int:
    """Compress and decompress; return the compressed size."""
    packed, again = io.BytesIO(), io.BytesIO()
    list(compression.compress(io.BytesIO(data), packed, network, with_model=with_model))
    packed.seek(0)
    list(compression.decompress(packed, again, lambda _: network))
    assert again.getvalue() == data
    return packed.tell()


def main() -> None:
    """Print a row of a table for each text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--config", default="quickstart")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--lines", action="store_true")
    chosen = parser.parse_args()
    programs = [name for name in PROGRAMS if shutil.which(name)]
    columns = ["charlm", "with its model", *programs, *(f"{name}, after" for name in programs)]
    print("| text | bytes |", " | ".join(columns), "|", flush=True)
    settings = [
        f"training.steps={chosen.steps}",
        "training.budget=null",
        "ensemble.ngram_order=null",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.texts:
            paths = [Path(name)] if Path(name).exists() else builtin_files(name)
            text = "".join(path.read_bytes().decode("utf-8") for path in paths)
            if chosen.lines:
                lines = text.splitlines(keepends=True)
                random.Random(0).shuffle(lines)
                text = "".join(lines)
            cut = int(TRAINING_SHARE * len(text))
            begin, rest = text[:cut].encode(), text[cut:].encode()
            (training := Path(folder, "training.txt")).write_bytes(begin)
            run = charlm.train(
                chosen.config, text=training, runs=folder, settings=[*settings, *chosen.set]
            )
            network, _ = read_network(run.folder.best)
            sizes = [charlm_size(rest, network, with_model=one) for one in (False, True)]
            sizes += [packed_size(one, rest) for one in programs]
            sizes += [packed_size(one, begin + rest) - packed_size(one, begin) for one in programs]
            figures = " | ".join(f"{size:,}" for size in (len(rest), *sizes))
            print(f"| {Path(name).name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
