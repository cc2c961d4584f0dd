"""Write a list of names as makemore divides it, and print the commands that measure charlm on it.

makemore (Andrej Karpathy) holds out 1,000 names at random. Equal names may stand on both sides, as
they do in its list. Here, 1,000 more names are for validation: makemore has none, and chooses by
the held-out names. `python -m charlm.bench.names names.txt FOLDER` writes the files.
"""

import random
import shlex
import sys
from pathlib import Path

HELD_OUT = 1000
"""Number of names in the test split, and in the validation split."""


def divide(names: list[str], seed: int = 0) -> dict[str, list[str]]:
    """Return the names of each split."""
    shuffled = names.copy()
    random.Random(seed).shuffle(shuffled)
    return {
        "test": shuffled[:HELD_OUT],
        "validation": shuffled[HELD_OUT : 2 * HELD_OUT],
        "train": shuffled[2 * HELD_OUT :],
    }


def main(source: str, folder: str) -> None:
    """Write the splits of a list to a folder; print how many test names are known, and commands."""
    names = Path(source).read_text("utf-8").split()
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    splits = divide(names)
    for split, chosen in splits.items():
        (target / f"{split}.txt").write_text("".join(f"{name}\n" for name in chosen), "utf-8")
    known = sum(name in {*splits["train"]} for name in splits["test"])
    files = [
        f"--set=corpus.{split}_paths={target / f'{split}.txt'}" for split in ("validation", "test")
    ]
    command = ["charlm", "train", str(target / "train.txt"), "--records", "lines", *files]
    print(f"{known} of {HELD_OUT} test names stand in the training split, too")
    print("makemore's protocol:", shlex.join([*command, "--auto", "--budget", "1m"]))
    honest = ["charlm", "train", source, "--records", "lines", "--auto", "--budget", "1m"]
    print("no name on both sides:", shlex.join(honest))


if __name__ == "__main__":
    main(*sys.argv[1:])
