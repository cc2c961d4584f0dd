// Finds the contexts of the line above: what stands there at the place of the next character.
#pragma once

#include <cstdint>
#include <vector>

#include "words.hpp"

namespace {

// `charlm/models/ngrams/lines.py` describes the contexts.
class Lines {
 public:
  static constexpr int64_t WINDOW = 1024, CONTEXTS = 2;
  static constexpr int64_t STATES = 3;  // nothing stands above; the word differs so far; it agrees

  // `letters` as for `Words`; a negative letter ends a line.
  Lines(const int64_t* letters, int64_t vocabulary, int64_t boundary) : kinds_(vocabulary) {
    for (int64_t id = 0; id < vocabulary; ++id)
      kinds_[id] = id == boundary ? BEGIN : letters[id] < 0 ? END : letters[id] ? LETTER : BETWEEN;
  }

  // Writes the hashes of the contexts that end before `ids`, 0 if nothing stands above; returns the
  // state.
  int64_t find_keys(const int64_t* ids, uint64_t* keys) const {
    for (int64_t context = 0; context < CONTEXTS; ++context) keys[context] = 0;
    // The distances of the marks before this line and the line above; words that end in this line.
    int64_t end = 1, words = 0, offset = 0;
    Kind kind = BEGIN;
    for (; end <= WINDOW && (kind = kind_of(ids[-end])) >= BETWEEN; ++end)
      if (kind == BETWEEN && !words++) offset = end - 1;  // the place in its word
    if (end > WINDOW || kind != END) return 0;
    if (!words) offset = end - 1;
    int64_t start = end + 1;
    while (start <= WINDOW && kind_of(ids[-start]) >= BETWEEN) ++start;
    if (start > WINDOW) return 0;
    const int64_t *last = ids - end, *word = ids - start + 1;  // the line above; its word
    for (int64_t number = 0; number < words; ++word) {
      if (word >= last) return 0;
      number += kind_of(*word) == BETWEEN;
    }
    const int64_t* above = word + offset;
    if (above > last) return 0;
    int64_t equal = 0;
    while (equal < offset && word[equal] == ids[equal - offset]) ++equal;
    const bool agrees = equal == offset;
    const uint64_t hash = add_to_hash(add_to_hash(FIRST_HASH, *above + 1), agrees);
    keys[0] = add_to_hash(add_to_hash(hash, words), offset);
    keys[1] = add_to_hash(hash, ids[-1] + 1);
    return 1 + agrees;
  }

 private:
  // What an id is: before the text or its record, the end of a line, no letter, a letter.
  enum Kind : int8_t { BEGIN = -2, END, BETWEEN, LETTER };

  Kind kind_of(int64_t id) const { return id < 0 ? BEGIN : kinds_[id]; }

  std::vector<Kind> kinds_;
};

}  // namespace
