// The characters that have followed contexts, and how often.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

// A character that has followed a context, and how often.
struct Follower {
  int32_t symbol;
  uint32_t count;
};

struct Context {
  uint64_t key = 0;     // hash of its characters; 0: a free place
  int64_t block = 0;    // position of its followers
  uint32_t total = 0;   // sum of the counts of its followers
  uint32_t seen[3] = {};  // number of followers counted once, twice, more often

  uint32_t size() const { return seen[0] + seen[1] + seen[2]; }  // number of followers
};

// The followers of every context: one block per context, in the order of their first occurrence.
// A block holds a power of two of them and is replaced by one of twice the size when it is full.
// After more than FEW followers, the block has a hash table of twice the size with the position of
// each symbol, so that a lookup takes the same time in a large alphabet as in a small one.
class Followers {
 public:
  const Follower* of(const Context& context) const { return &store_[context.block]; }

  // Returns null for a symbol that has not followed the context.
  Follower* find(const Context& context, int64_t symbol) {
    const uint32_t size = context.size();
    Follower* block = store_.data() + context.block;
    if (size <= FEW) {
      for (uint32_t i = 0; i < size; ++i)
        if (++looks, block[i].symbol == symbol) return block + i;
      return nullptr;
    }
    const uint32_t room = room_for(size);
    const int32_t number = *place_of(block, room, symbol);
    return number ? block + number - 1 : nullptr;
  }

  // Adds a symbol that has not followed the context so far; the caller updates `seen`.
  void add(Context& context, int64_t symbol) {
    const uint32_t size = context.size(), room = size ? room_for(size) : 0;
    if (size == room) {
      const uint32_t larger = std::max(1u, 2 * room);
      const int64_t block = allocate(larger);
      if (size) {
        std::copy_n(&store_[context.block], size, &store_[block]);
        free_[log2(room)].push_back(context.block);
      }
      context.block = block;
      if (larger > FEW)
        for (uint32_t i = 0; i < size; ++i) enter(&store_[block], larger, i);
    }
    Follower* block = &store_[context.block];
    block[size] = {(int32_t)symbol, 1};
    if (room_for(size + 1) > FEW) enter(block, room_for(size + 1), size);
  }

  int64_t looks = 0;  // number of followers examined so far

 private:
  static constexpr uint32_t FEW = 8;

  static int log2(uint32_t power) { return __builtin_ctz(power); }
  static uint32_t room_for(uint32_t size) {
    return size < 2 ? 1 : 1u << (32 - __builtin_clz(size - 1));
  }

  // Returns the place of a symbol's number, from 1 on, in the table of a block; or its free place, 0.
  int32_t* place_of(Follower* block, uint32_t room, int64_t symbol) {
    auto* table = reinterpret_cast<int32_t*>(block + room);
    const uint32_t mask = 2 * room - 1;
    uint32_t place = ((uint32_t)symbol * 0x9e3779b1u) >> (31 - log2(room));
    while (++looks, table[place] && block[table[place] - 1].symbol != symbol)
      place = (place + 1) & mask;
    return table + place;
  }

  void enter(Follower* block, uint32_t room, uint32_t number) {
    *place_of(block, room, block[number].symbol) = (int32_t)number + 1;
  }

  int64_t allocate(uint32_t room) {
    const int64_t size = room > FEW ? 2 * (int64_t)room : room;
    auto& freed = free_[log2(room)];
    int64_t block = (int64_t)store_.size();
    if (freed.empty()) {
      store_.resize(store_.size() + size);
    } else {
      block = freed.back();
      freed.pop_back();
      std::fill_n(&store_[block], size, Follower{});
    }
    return block;
  }

  std::vector<Follower> store_;
  std::vector<int64_t> free_[32];  // blocks, by the logarithm of their size
};

}  // namespace
