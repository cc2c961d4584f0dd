// Finds where the last characters stood before: the match model of PAQ and lpaq (Mahoney, 2005).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <new>
#include <vector>

#include "partitions.hpp"
#include "words.hpp"

namespace {

// Returns the length of the longest context, up to `most`, within the text and within a record.
inline int64_t longest_context(const int64_t* ids, int64_t most, int64_t boundary) {
  int64_t length = 0;
  while (length < most && ids[-length - 1] >= 0)
    if (ids[-++length] == boundary) break;
  return length;
}

// Stores the counted ids plus one, in 1, 2 or 4 bytes each, as the vocabulary needs.
class StoredText {
 public:
  explicit StoredText(int64_t vocabulary)
      : width_(vocabulary < 1 << 8 ? 1 : vocabulary < 1 << 16 ? 2 : 4) {}

  int64_t size() const { return bytes_.size() / width_; }

  int64_t operator[](int64_t place) const {
    const uint8_t* bytes = &bytes_[place * width_];
    if (width_ == 1) return *bytes - 1;
    if (width_ == 2) return read<uint16_t>(bytes) - 1;
    return (int64_t)read<uint32_t>(bytes) - 1;
  }

  void append(const int64_t* ids, int64_t size) {
    const size_t wanted = bytes_.size() + size * width_;
    if (wanted > bytes_.capacity()) bytes_.reserve(wanted + bytes_.size() / 8);
    for (int64_t i = 0; i < size; ++i) {
      const uint64_t number = ids[i] + 1;
      if (width_ == 1) write<uint8_t>(number);
      else if (width_ == 2) write<uint16_t>(number);
      else write<uint32_t>(number);
    }
  }

  // Whether the last ids before a place are those before `ids`.
  template <class Ids>
  bool has(const Ids& ids, int64_t place, int64_t length) const {
    for (int64_t distance = 1; distance <= length; ++distance)
      if ((*this)[place - distance] != ids[-distance]) return false;
    return true;
  }

 private:
  template <class Number>
  static Number read(const uint8_t* bytes) {
    Number number;
    std::memcpy(&number, bytes, sizeof number);
    return number;
  }

  template <class Number>
  void write(Number number) {
    bytes_.resize(bytes_.size() + sizeof number);
    std::memcpy(bytes_.data() + bytes_.size() - sizeof number, &number, sizeof number);
  }

  const int64_t width_;
  std::vector<uint8_t> bytes_;
};

// `charlm/models/ngrams/matches.py` describes the model. A table has the latest position after each
// context of one length; what tells two contexts apart is the text, not their hash.
class Matches {
 public:
  static constexpr int64_t WINDOW = 32, KEYS = 2;

  Matches(int64_t boundary, int64_t vocabulary) : boundary_(boundary), text_(vocabulary) {
    const std::vector<int64_t> before(WINDOW, -1);
    text_.append(before.data(), WINDOW);
  }

  // What follows the latest context that was equal: the symbol, and how many characters were equal.
  struct Match {
    int64_t symbol = 0, length = 0;  // length 0: there is none

    int64_t row() const {
      return std::upper_bound(STEPS, std::end(STEPS), length) - STEPS;
    }
  };

  // Writes the hash of the context of each length.
  void find_keys(const int64_t* ids, uint64_t* keys) const {
    for (int64_t number = 0; number < KEYS; ++number) keys[number] = hash_of(ids, LENGTHS[number]);
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
    if (text_.has(ids, text_.size(), compared)) return;
    const int64_t mark = -1;
    text_.append(&mark, 1);
    text_.append(ids - length, length);
  }

  void add(const int64_t* ids, int64_t symbol, const uint64_t* keys) {
    text_.append(&symbol, 1);
    check_size();
    const int64_t length = longest_context(ids, LENGTHS[KEYS - 1], boundary_);
    for (int64_t number = 0; number < KEYS && LENGTHS[number] <= length; ++number)
      tables_[number].set(text_, LENGTHS[number], keys[number], text_.size() - 1);
  }

  // Adds characters that stand one after another.
  void add_all(const int64_t* ids, int64_t size, Partitions& partitions) {
    const int64_t start = text_.size();
    text_.append(ids, size);
    check_size();
    for (int64_t number = 0; number < KEYS; ++number) {
      const int64_t length = LENGTHS[number];
      Table& table = tables_[number];
      partitions.visit(
          [&](int64_t i) { return longest_context(ids + i, length, boundary_) == length; },
          [&](int64_t i) { return hash_of(ids + i, length); },
          [&](const auto* begin, const auto* end) {
            for (; begin != end; ++begin) {
              Partitions::fetch_after(begin, end, [&](uint64_t hash) { table.fetch(hash); });
              table.set(text_, length, begin->hash, start + begin->place);
            }
          });
    }
  }

  Match find(const int64_t* ids, const uint64_t* keys) const {
    const int64_t most = longest_context(ids, WINDOW, boundary_);
    for (int64_t number = KEYS - 1; number >= 0; --number) {
      int64_t length = LENGTHS[number];
      if (length > most) continue;
      const Table& table = tables_[number];
      const int64_t position = table.find(text_, ids, length, keys[number]);
      if (!position) continue;
      while (length < most && text_[position - length - 1] == ids[-length - 1]) ++length;
      return {text_[position], length};
    }
    return {};
  }

 private:
  static constexpr int64_t LENGTHS[KEYS] = {6, 12};
  static constexpr int64_t STEPS[] = {6, 8, 10, 12, 14, 16, 20, 26, 32};  // lengths of new rows

  void check_size() const {
    if (text_.size() > UINT32_MAX) throw std::bad_alloc();
  }

  // The ids before a place of the stored text.
  struct Before {
    const StoredText& text;
    int64_t place;

    int64_t operator[](int64_t distance) const { return text[place + distance]; }
  };

  class Table {
   public:
    Table() : parts_(make_parts<Part>()) {}

    void fetch(uint64_t hash) const {
      const Part& part = parts_[part_of(hash)];
      if (part.room) __builtin_prefetch(part.places + home_of(check_of(hash), part.room));
    }

    // Returns the latest position after a context; 0: there is none.
    int64_t find(const StoredText& text, const int64_t* ids, int64_t length, uint64_t hash) const {
      const Part& part = parts_[part_of(hash)];
      return part.room ? part.places[part.find(text, ids, length, check_of(hash))] : 0;
    }

    // Stores a position after a context, which ends there in the text.
    void set(const StoredText& text, int64_t length, uint64_t hash, int64_t position) {
      Part& part = parts_[part_of(hash)];
      if (!has_room(part.used, part.room)) part.grow(text, length);
      const Before ids{text, position};
      uint32_t& place = part.places[part.find(text, ids, length, check_of(hash))];
      part.used += !place;
      place = (uint32_t)position;
    }

   private:
    struct Part {
      uint32_t* places;  // 0: a free place
      uint32_t room, used;

      void free() { std::free(places); }

      template <class Ids>
      uint32_t find(const StoredText& text, const Ids& ids, int64_t length, uint32_t check) const {
        uint32_t place = home_of(check, room);
        while (places[place] && !text.has(ids, places[place], length))
          if (++place == room) place = 0;
        return place;
      }

      void grow(const StoredText& text, int64_t length) {
        const Part old = *this;
        places = make_array<uint32_t>(larger(room));
        room = larger(room);
        for (uint32_t i = 0; i < old.room; ++i) {
          const uint32_t position = old.places[i];
          if (!position) continue;
          const Before ids{text, position};
          places[find(text, ids, length, check_of(hash_of(ids, length)))] = position;
        }
        std::free(old.places);
      }
    };

    std::unique_ptr<Part[], void (*)(Part*)> parts_;
  };

  const int64_t boundary_;
  StoredText text_;  // -1 before each of its texts
  Table tables_[KEYS];
};

}  // namespace
