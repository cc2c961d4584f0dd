"""How threads share work: every piece once, in its order, and none waits for a slow thread."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from support.kernels import needs_compiler

from charlm.kernels import compiler

pytestmark = needs_compiler

SOURCE = """
#include "sharing.hpp"

// Writes for each piece how many pieces of its chain were done before it; returns how many pieces
// the caller has done, which takes some milliseconds for each.
extern "C" int64_t share(int64_t chains, int64_t length, int64_t threads, int64_t milliseconds,
                         int64_t* before) {
  std::vector<std::atomic<int64_t>> done(chains);
  std::atomic<int64_t> by_caller{0};
  const auto caller = std::this_thread::get_id();
  share_chains(chains, length, threads, [&] {
    return [&](int64_t chain, int64_t step) {
      if (std::this_thread::get_id() == caller) {
        ++by_caller;
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
      }
      before[chain * length + step] = done[chain]++;
    };
  });
  return by_caller;
}

extern "C" int64_t bounds(int64_t size, int64_t block, int64_t threads, int64_t* begins) {
  const Chains chains(size, block, threads);
  for (int64_t chain = 0; chain <= chains.count; ++chain) begins[chain] = chains.begin(chain);
  return chains.count;
}

extern "C" void cover(int64_t size, int64_t tile, int64_t threads, int64_t* times) {
  share_out(size, tile, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++times[i];
  });
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Compile the headers with a few functions around it."""
    folder = tmp_path_factory.mktemp("threads")
    source, built = folder / "share.cpp", folder / "share.so"
    source.write_text(SOURCE)
    headers = Path(compiler.__file__).parent
    options = ["-std=c++17", "-O1", "-fPIC", "-shared", "-pthread", f"-I{headers}"]
    command = [*compiler._compiler(), *options, str(source), "-o", str(built)]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(built))
    found.share.restype = found.bounds.restype = ctypes.c_int64
    return found


def numbers(count: int) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * count)()


def arguments(*values: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(value) for value in values]


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("chains", "length"), [(1, 5), (3, 32), (12, 1), (5, 7)])
def test_each_piece_once_in_order(
    library: ctypes.CDLL, chains: int, length: int, threads: int
) -> None:
    before = numbers(chains * length)
    for _ in range(20):
        library.share(*arguments(chains, length, threads, 0), before)
        assert list(before) == list(range(length)) * chains


def test_a_slow_thread_does_less(library: ctypes.CDLL) -> None:
    """Others take over the chain of a thread that is slowed down, once it has done its piece."""
    before = numbers(3 * 40)
    assert library.share(*arguments(3, 40, 2, 5), before) < 40
    assert list(before) == list(range(40)) * 3


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [0, 1, 5, 32, 40, 64, 1000])
def test_chains_and_pieces_cover_all(library: ctypes.CDLL, size: int, threads: int) -> None:
    """Chains and pieces are ranges that cover the elements once; chains begin at whole blocks."""
    begins = numbers(40)
    count = library.bounds(*arguments(size, 6, threads), begins)
    found = list(begins)[: count + 1]
    assert found[0] == 0
    assert found[-1] == size
    assert found == sorted(set(found)) or size == 0
    if size >= 6 * 2 * threads > 12:
        assert count > threads
        assert all(begin % 6 == 0 for begin in found[:-1])
    times = numbers(max(1, size))
    library.cover(*arguments(size, 48, threads), times)
    assert list(times)[:size] == [1] * size
