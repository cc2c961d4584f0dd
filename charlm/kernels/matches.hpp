// Finds where the last characters stood before: the match model of PAQ and lpaq (Mahoney, 2005).
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <new>
#include <vector>

#include "words.hpp"

namespace {

// Returns the length of the longest context, up to `most`, within the text and within a record.
inline int64_t longest_context(const int64_t* ids, int64_t most, int64_t boundary) {
  int64_t length = 0;
  while (length < most && ids[-length - 1] >= 0)
    if (ids[-++length] == boundary) break;
  return length;
}

// `charlm/models/ngrams/matches.py` describes the model. A table has the latest position after each
// context of one length; what tells two contexts apart is the text, not their hash.
class Matches {
 public:
  static constexpr int64_t WINDOW = 32, KEYS = 2;

  explicit Matches(int64_t boundary) : boundary_(boundary), text_(WINDOW, -1) {}

  // What follows the latest context that was equal: the symbol, and how many characters were equal.
  struct Match {
    int64_t symbol = 0, length = 0;  // length 0: there is none

    int64_t row() const {
      return std::upper_bound(STEPS, std::end(STEPS), length) - STEPS;
    }
  };

  // Writes the hash of the context of each length.
  void find_keys(const int64_t* ids, uint64_t* keys) const {
    for (int64_t number = 0; number < KEYS; ++number) keys[number] = hash(ids, LENGTHS[number]);
  }

  void fetch(const uint64_t* keys) const {
    for (int64_t number = 0; number < KEYS; ++number) tables_[number].fetch(keys[number]);
  }

  // Makes the context before `ids` the end of the stored text; call it before the first `add` of
  // characters that stand one after another.
  void follow(const int64_t* ids) {
    const int64_t length = longest_context(ids, WINDOW, boundary_);
    const bool begins = length < WINDOW && !(length && ids[-length] == boundary_);
    const int64_t compared = length + begins;  // the mark before the text, too
    if (std::equal(ids - compared, ids, text_.end() - compared)) return;
    text_.push_back(-1);
    text_.insert(text_.end(), ids - length, ids);
  }

  void add(const int64_t* ids, int64_t symbol, const uint64_t* keys) {
    if (text_.size() > UINT32_MAX) throw std::bad_alloc();
    const int64_t length = longest_context(ids, LENGTHS[KEYS - 1], boundary_);
    for (int64_t number = 0; number < KEYS && LENGTHS[number] <= length; ++number) {
      Table& table = tables_[number];
      table.reserve(text_.data(), LENGTHS[number]);
      uint32_t& position = table.places[table.find(text_.data(), ids, LENGTHS[number], keys[number])];
      table.used += !position;
      position = (uint32_t)text_.size();
    }
    text_.push_back((int32_t)symbol);
  }

  Match find(const int64_t* ids, const uint64_t* keys) const {
    const int64_t most = longest_context(ids, WINDOW, boundary_);
    for (int64_t number = KEYS - 1; number >= 0; --number) {
      int64_t length = LENGTHS[number];
      if (length > most) continue;
      const Table& table = tables_[number];
      const int64_t position = table.places[table.find(text_.data(), ids, length, keys[number])];
      if (!position) continue;
      while (length < most && text_[position - length - 1] == ids[-length - 1]) ++length;
      return {text_[position], length};
    }
    return {};
  }

 private:
  static constexpr int64_t LENGTHS[KEYS] = {6, 12};
  static constexpr int64_t STEPS[] = {6, 8, 10, 12, 14, 16, 20, 26, 32};  // lengths of new rows

  template <class Id>
  static uint64_t hash(const Id* ids, int64_t length) {
    uint64_t sum = FIRST_HASH;
    for (int64_t distance = 1; distance <= length; ++distance)
      sum = add_to_hash(sum, (int64_t)ids[-distance] + 1);
    return sum;
  }

  struct Table {
    std::vector<uint32_t> places = std::vector<uint32_t>(1 << 12);  // 0: a free place
    size_t used = 0;

    void fetch(uint64_t key) const { __builtin_prefetch(&places[key & (places.size() - 1)]); }

    // Returns the place of a context, or the free place for it.
    template <class Id>
    size_t find(const int32_t* text, const Id* ids, int64_t length, uint64_t key) const {
      const size_t mask = places.size() - 1;
      size_t place = key & mask;
      while (places[place] && !std::equal(ids - length, ids, text + places[place] - length))
        place = (place + 1) & mask;
      return place;
    }

    // Makes room for one more context: at least a quarter of the places stays free.
    void reserve(const int32_t* text, int64_t length) {
      if ((used + 1) * 4 <= places.size() * 3) return;
      std::vector<uint32_t> old(2 * places.size());
      old.swap(places);
      for (uint32_t position : old) {
        const int32_t* ids = text + position;
        if (position) places[find(text, ids, length, hash(ids, length))] = position;
      }
    }
  };

  const int64_t boundary_;
  std::vector<int32_t> text_;  // -1 before each of its texts
  Table tables_[KEYS];
};

}  // namespace
