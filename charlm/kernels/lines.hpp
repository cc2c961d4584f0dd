// Finds the contexts of the line above: what stands there at the position of the next character.
#pragma once

#include <cstdint>
#include <vector>

#include "words.hpp"

namespace {

// `charlm/models/ngrams/lines.py` describes the contexts.
class Lines {
 public:
  static constexpr int64_t WINDOW = 1024, CONTEXTS = 3;
  static constexpr int64_t STATES = 3;  // nothing stands above; the field so far differs; is equal

  // `letters` as for `Words`; −1 ends a line, −2 ends a field.
  Lines(const int64_t* letters, int64_t vocabulary, int64_t boundary) : kinds_(vocabulary, OTHER) {
    for (int64_t id = 0; id < vocabulary; ++id) {
      if (letters[id] == -1) kinds_[id] = LINE_END;
      if (letters[id] == -2) kinds_[id] = FIELD_END;
      if (id == boundary) kinds_[id] = BEGIN;
    }
  }

  // Writes the hashes of the contexts that end before `ids`, 0 if nothing stands above. Returns the
  // state.
  int64_t find_keys(const int64_t* ids, uint64_t* keys) const {
    for (int64_t context = 0; context < CONTEXTS; ++context) keys[context] = 0;
    int64_t mark = 1, fields = 0;  // distance of the id before this line; fields that end in it
    int64_t offset = 0;            // characters so far in the last field
    for (; mark <= WINDOW; ++mark) {
      const Kind kind = kind_of(ids[-mark]);
      if (kind <= LINE_END) break;
      if (kind != FIELD_END) continue;
      if (!fields) offset = mark - 1;
      ++fields;
    }
    if (!fields) offset = mark - 1;
    const int64_t* above = find_place(ids, mark, fields, offset);
    if (!above) return 0;
    const int64_t* two_above = find_place(ids, mark, fields, offset);
    bool agrees = true;
    for (int64_t distance = 1; distance <= offset && agrees; ++distance)
      agrees = above[-distance] == ids[-distance];
    const uint64_t hash = add_to_hash(add_to_hash(FIRST_HASH, *above + 1), agrees);
    keys[0] = add_to_hash(add_to_hash(hash, fields), offset);
    keys[1] = add_to_hash(hash, ids[-1] + 1);
    keys[2] = add_to_hash(hash, two_above ? *two_above + 1 : 0);
    return 1 + agrees;
  }

 private:
  // What an id is: before the text or its record, the end of a line or of a field, another symbol.
  enum Kind : int8_t { BEGIN, LINE_END, FIELD_END, OTHER };

  Kind kind_of(int64_t id) const { return id < 0 ? BEGIN : kinds_[id]; }

  // Returns the character at this field and offset in the line that ends `mark` characters before
  // `ids`, or null. Sets `mark` to the distance of the id before that line.
  const int64_t* find_place(const int64_t* ids, int64_t& mark, int64_t fields,
                            int64_t offset) const {
    if (mark > WINDOW || kind_of(ids[-mark]) != LINE_END) return nullptr;
    const int64_t* end = ids - mark;
    do ++mark;
    while (mark <= WINDOW && kind_of(ids[-mark]) > LINE_END);
    if (mark > WINDOW) return nullptr;
    const int64_t* field = ids - mark + 1;
    for (; fields > 0; ++field) {
      if (field >= end) return nullptr;
      if (kind_of(*field) == FIELD_END) --fields;
    }
    return field + offset <= end ? field + offset : nullptr;
  }

  std::vector<Kind> kinds_;
};

}  // namespace
