"""Measure the search for copied spans, and the check of a text, on a file of at least 10 MB.

    python tests/measure_copying.py FILE

Prints the shortest of several times. The memory is that of Python and numpy, beyond the text.
"""

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from charlm.analysis.copying import longest_matches
from charlm.analysis.text_check import check_text
from charlm.corpus.vocabulary import code_points


def shortest(call: Callable[[], object], repetitions: int = 3) -> float:
    """Return the shortest time of several calls."""
    times = []
    for _ in range(repetitions):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def main(path: Path) -> None:
    """Print the times and the memory."""
    text = code_points(path.read_text("utf-8"))
    for size in (1_000_000, 10_000_000):
        training, query = text[: int(0.95 * size)], text[int(0.95 * size) : size]
        seconds = shortest(lambda: longest_matches(training, query))  # noqa: B023
        tracemalloc.start()
        longest_matches(training, query)
        peak = tracemalloc.get_traced_memory()[1] / size
        tracemalloc.stop()
        print(f"copied spans in {size:,} characters: {seconds:.2f} s, {peak:.1f} bytes a character")
    seconds = shortest(lambda: check_text([str(path)]), 1)
    print(f"data check of {len(text):,} characters: {seconds:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
