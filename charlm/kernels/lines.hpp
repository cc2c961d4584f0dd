// Finds the contexts of the line above: what stands there at the place of the next character.
#pragma once

#include <cstdint>

#include "words.hpp"

namespace {

// `charlm/models/ngrams/lines.py` describes the contexts.
class Lines {
 public:
  static constexpr int64_t WINDOW = 1024, CONTEXTS = 2;
  static constexpr int64_t STATES = 3;  // nothing stands above; the word differs so far; it agrees

  // `letters` as for `Words`; a negative letter ends a line.
  Lines(const int64_t* letters, int64_t vocabulary, int64_t boundary)
      : boundary_(boundary), letters_(letters, letters + vocabulary) {}

  // Writes the hashes of the contexts that end before `ids`; returns the state.
  int64_t find_keys(const int64_t* ids, uint64_t* keys) const {
    for (int64_t context = 0; context < CONTEXTS; ++context) keys[context] = 0;
    int64_t end = 1, words = 0, offset = 0;  // of this line's start; places in this line
    for (; !ends_line(ids, end); ++end)
      if (!letters_[ids[-end]] && !words++) offset = end - 1;
    if (!words) offset = end - 1;
    if (!is_line_end(ids, end)) return 0;
    int64_t start = end + 1;
    while (!ends_line(ids, start)) ++start;
    if (start > WINDOW) return 0;
    const int64_t* word = ids - start + 1;  // the word of the line above with the same number
    for (int64_t number = 0; number < words; ++word) {
      if (word >= ids - end) return 0;
      number += !letters_[*word];
    }
    const int64_t* above = word + offset;
    if (above > ids - end) return 0;
    int64_t equal = 0;
    while (equal < offset && word[equal] == ids[equal - offset]) ++equal;
    const bool agrees = equal == offset;
    const uint64_t hash = add_to_hash(add_to_hash(FIRST_HASH, *above + 1), agrees);
    keys[0] = add_to_hash(add_to_hash(hash, words), offset);
    keys[1] = add_to_hash(hash, ids[-1] + 1);
    return 1 + agrees;
  }

 private:
  bool is_line_end(const int64_t* ids, int64_t distance) const {
    const int64_t id = distance > WINDOW ? -1 : ids[-distance];
    return id >= 0 && id != boundary_ && letters_[id] < 0;
  }

  // Whether no line continues before this distance: it is a line's end, the record's, or too far.
  bool ends_line(const int64_t* ids, int64_t distance) const {
    if (distance > WINDOW) return true;
    const int64_t id = ids[-distance];
    return id < 0 || id == boundary_ || letters_[id] < 0;
  }

  const int64_t boundary_;
  const std::vector<int64_t> letters_;
};

}  // namespace
