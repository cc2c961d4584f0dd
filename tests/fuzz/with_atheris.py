"""The same hostile input, led by atheris to lines of charlm that it has not yet reached.

`pip install -e '.[fuzz]'`, then `python tests/fuzz/with_atheris.py try_config_text 10000`; further
options are libFuzzer's. hypothesis makes an input of the bytes that atheris gives, so that both
try the same kinds of input, and hold them to the same law.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["charlm"]):
    from targets import FOLDER, Targets
    from test_hostile import NAMES, TRIED, attempts

from charlm.kernels import compiler


def main(name: str, inputs: int, options: list[str]) -> None:
    """Try this many inputs on a target; what breaks the law ends with a traceback and a status."""
    if name not in NAMES:
        sys.exit(f"{name}: no such target; choose one of {', '.join(NAMES)}")
    compiler.library()  # before the cache is another, where nothing is built
    folder = Path(tempfile.mkdtemp(prefix="charlm-fuzz-"))
    os.environ["CHARLM_CACHE"] = str(folder / FOLDER / "cache")
    (folder / FOLDER).mkdir(parents=True)
    os.chdir(folder / FOLDER)
    attempt = attempts(Targets(folder), name, inputs=1, start=0).hypothesis.fuzz_one_input

    def one(data: bytes) -> None:
        attempt(data)
        if TRIED.total() >= inputs:  # libFuzzer counts bytes that make no input, too
            print(f"{name}: {TRIED.total():,} inputs tried", flush=True)
            os.chdir("/")
            shutil.rmtree(folder)
            os._exit(0)

    atheris.Setup([sys.argv[0], "-len_control=0", "-max_len=2048", *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
