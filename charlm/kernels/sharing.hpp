// Work that threads share: the columns of a batch, or the tiles of a matrix.
//
// No thread has a fixed share: each takes a small piece of work whenever it has finished one, so that
// a thread that is slow, because another program uses its core, does less. Which thread computes a
// piece changes no result.
#pragma once

#include <vector>

#include "threads.hpp"

namespace {

// Chains of steps 0 … length, which threads do in the order of each chain.
class ChainQueue {
 public:
  ChainQueue(int64_t count, int64_t length) : length_(length), unfinished_(count), chains_(count) {}

  // Calls work(chain, step) for the free chain that is furthest behind, until nothing is left to do.
  // If every chain has its thread, this one waits until another has finished a step, and takes over
  // its chain: the other is slower, since it was still computing.
  template <class Work>
  void take(Work work) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Chain* chosen = nullptr;
      for (Chain& chain : chains_)
        if (chain.is_free && chain.next < (chosen ? chosen->next : length_)) chosen = &chain;
      if (!chosen) {
        if (waiting_ >= unfinished_) return;
        wait_for_chain(lock);
        if (unfinished_ == 0) return;
        continue;
      }
      chosen->is_free = false;
      lock.unlock();
      work(chosen - chains_.data(), chosen->next);
      lock.lock();
      chosen->is_free = true;
      if (++chosen->next == length_) {
        if (--unfinished_ == 0) freed_.notify_all();
      } else if (waiting_ > 0) {
        --waiting_, ++given_;
        freed_.notify_one();
        return;
      }
    }
  }

 private:
  struct Chain {
    int64_t next = 0;
    bool is_free = true;
  };

  void wait_for_chain(std::unique_lock<std::mutex>& lock) {
    const auto may_continue = [this] { return given_ > 0 || unfinished_ == 0; };
    ++waiting_;
    lock.unlock();
    spin_until(may_continue);
    lock.lock();
    sleep_until(may_continue, freed_, lock);
    if (given_ > 0) --given_;
  }

  std::mutex mutex_;  // held only to choose a chain
  std::condition_variable freed_;
  const int64_t length_;
  int64_t waiting_ = 0;
  std::atomic<int64_t> unfinished_, given_{0};
  std::vector<Chain> chains_;
};

// Does the steps 0 … length of each chain. Each thread calls make_work() once, for a function
// work(chain, step) with buffers of its own.
template <class MakeWork>
void share_chains(int64_t count, int64_t length, int64_t threads, MakeWork make_work) {
  threads = std::min(count, threads);
  if (threads <= 1) {
    auto work = make_work();
    for (int64_t chain = 0; chain < count; ++chain)
      for (int64_t step = 0; step < length; ++step) work(chain, step);
    return;
  }
  ChainQueue chains(count, length);
  team().run(threads, [&] { chains.take(make_work()); });
}

// Calls work(begin, end) for pieces of 0 … size, several per thread; a piece of less than `tile` is
// inefficient.
template <class Work>
void share_out(int64_t size, int64_t tile, int64_t threads, Work work) {
  constexpr int64_t PIECES = 8;  // per thread
  const auto share = [size](int64_t among) { return (size + among - 1) / among; };
  if (threads <= 1 || size <= 1) return work(0, size);
  const int64_t piece = std::max(share(PIECES * threads), std::min(tile, share(threads)));
  share_chains(share(piece), 1, threads, [&] {
    return [&](int64_t i, int64_t) { work(i * piece, std::min(size, (i + 1) * piece)); };
  });
}

// Chains that take the elements 0 … size, in blocks that are computed at once: more chains than
// threads, so that a thread that is free finds one, but few, because each of them reads the weights.
struct Chains {
  int64_t size, block, count;
  bool has_blocks;

  Chains(int64_t size, int64_t block, int64_t threads) : size(size), block(block) {
    const int64_t wanted = threads + (threads + 1) / 2;
    has_blocks = (size + block - 1) / block >= wanted;
    count = threads <= 1 ? 1 : has_blocks ? wanted : std::max<int64_t>(1, std::min(size, threads));
  }

  // Returns the first element of a chain: that of the chain after the last one is `size`.
  int64_t begin(int64_t chain) const {
    if (!has_blocks) return size * chain / count;
    const int64_t blocks = (size + block - 1) / block;
    return std::min(size, blocks * chain / count * block);
  }
};

}  // namespace
