// Finds the contexts of words: the letters of the word that is being written, and words before it.
#pragma once

#include <cstdint>
#include <vector>

namespace {

constexpr uint64_t FIRST_HASH = 0x9e3779b97f4a7c15u;  // of the empty context, odd

inline uint64_t add_to_hash(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0xbf58476d1ce4e5b9u;
  return hash ^ hash >> 29;
}

// Returns the hash of the last ids before `ids`.
template <class Ids>
uint64_t hash_of(const Ids& ids, int64_t length) {
  uint64_t hash = FIRST_HASH;
  for (int64_t distance = 1; distance <= length; ++distance)
    hash = add_to_hash(hash, ids[-distance] + 1);
  return hash;
}

// `charlm/models/ngrams/words.py` describes the contexts.
class Words {
 public:
  static constexpr int64_t WINDOW = 64, CONTEXTS = 4;

  // `letters` has the letter that each symbol stands for; 0 or less if it is no letter.
  Words(const int64_t* letters, int64_t vocabulary, int64_t boundary)
      : boundary_(boundary), letters_(letters, letters + vocabulary) {}

  // Writes the hashes of the contexts that end before `ids`.
  void find_keys(const int64_t* ids, uint64_t* keys) const {
    uint64_t words[3] = {};  // of this word and the two before it; 0: there is none
    int64_t before = 1, limit = 0;
    while (limit < WINDOW && ids[-limit - 1] >= 0 && ids[-limit - 1] != boundary_) ++limit;
    for (int number = 0; number < 3; ++number) {
      if (number) while (before <= limit && letters_[ids[-before]] <= 0) ++before;
      for (; before <= limit && letters_[ids[-before]] > 0; ++before)
        words[number] = words[number] * 0x94d049bb133111ebu + letters_[ids[-before]];
    }
    for (int64_t context = 0; context < CONTEXTS; ++context) {
      const uint64_t hash = add_to_hash((2 * context + 3) * 0xd6e8feb86659fd93u, words[0]);
      const uint64_t last = context & 1 ? words[1] : 0, second = context & 2 ? words[2] : 0;
      keys[context] = add_to_hash(add_to_hash(hash, last), second);
    }
  }

 private:
  const int64_t boundary_;
  const std::vector<int64_t> letters_;
};

}  // namespace
