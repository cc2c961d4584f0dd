// Shares the characters of a text among threads by the hashes of their contexts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

#include "contexts.hpp"
#include "sharing.hpp"

namespace {

// One thread gets all characters of a part of a table, in the order of the text, so that the counts are
// the same for any number of threads.
class Partitions {
 public:
  struct Entry {
    uint64_t hash;
    uint32_t place;
  };

  Partitions(int64_t size, int64_t threads)
      : size_(size), threads_(threads), unsorted_(new Entry[size]), sorted_(new Entry[size]) {}

  // Calls visit(begin, end) with the entries of several parts at a time: those places from 0 to
  // size - 1 for which `is_due` holds. Throws `std::bad_alloc` if a call of `visit` did.
  template <class IsDue, class HashOf, class Visit>
  void visit(IsDue is_due, HashOf hash_of, Visit visit) {
    const auto begin_of = [this](int64_t slice) { return size_ * slice / SLICES; };
    share_out(SLICES, 1, threads_, [&](int64_t first, int64_t last) {
      for (int64_t slice = first; slice < last; ++slice) {
        Slice& own = slices_[slice];
        own = {};
        Entry* entry = &unsorted_[begin_of(slice)];
        for (int64_t place = begin_of(slice); place < begin_of(slice + 1); ++place) {
          if (!is_due(place)) continue;
          *entry = {hash_of(place), (uint32_t)place};
          ++own.positions[part_of(entry->hash)], ++own.size, ++entry;
        }
      }
    });
    int64_t sum = 0, ends[PARTS];
    for (int64_t part = 0; part < PARTS; ++part) {
      for (Slice& slice : slices_) {
        const int64_t position = sum;
        sum += slice.positions[part];
        slice.positions[part] = position;
      }
      ends[part] = sum;
    }
    share_out(SLICES, 1, threads_, [&](int64_t first, int64_t last) {
      for (int64_t slice = first; slice < last; ++slice) {
        const Entry* entry = &unsorted_[begin_of(slice)];
        for (int64_t i = 0; i < slices_[slice].size; ++i, ++entry)
          sorted_[slices_[slice].positions[part_of(entry->hash)]++] = *entry;
      }
    });
    std::atomic<bool> is_complete{true};
    share_out(PARTS, 1, threads_, [&](int64_t first, int64_t last) {
      const Entry* entries = sorted_.get();
      try {
        visit(entries + (first ? ends[first - 1] : 0), entries + ends[last - 1]);
      } catch (const std::bad_alloc&) {  // out of a thread, it would end the process
        is_complete = false;
      }
    });
    if (!is_complete) throw std::bad_alloc();
  }

  // Fetches from memory what a later entry needs.
  template <class Fetch>
  static void fetch_after(const Entry* entry, const Entry* end, Fetch fetch) {
    if (end - entry > AHEAD) fetch(entry[AHEAD].hash);
  }

 private:
  static constexpr int64_t SLICES = 32, AHEAD = 16;

  struct Slice {
    int64_t size = 0, positions[PARTS] = {};  // number of its entries, and where they go
  };

  const int64_t size_, threads_;
  std::unique_ptr<Entry[]> unsorted_, sorted_;
  Slice slices_[SLICES];
};

}  // namespace
