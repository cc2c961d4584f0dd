// Stores contexts, the characters that followed each of them, and how often, in few bytes.
//
// A context takes 64 bits of a table: 32 bits of its hash, and 32 bits for its followers. Most
// contexts have one follower, which is stored there; the others have a block in the table's pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace {

// Returns zeros, which `std::free` frees.
template <class Number>
Number* make_array(uint64_t size) {
  auto* numbers = static_cast<Number*>(std::calloc(size, sizeof(Number)));
  if (!numbers) throw std::bad_alloc();
  return numbers;
}

// A table has parts, by the highest bits of the hash. Each grows by itself, and threads count in
// different parts without a lock.
constexpr int PART_BITS = 8;
constexpr int64_t PARTS = 1 << PART_BITS;

inline int64_t part_of(uint64_t hash) { return hash >> (64 - PART_BITS); }

// Returns the bits of a hash that distinguish the contexts of one part.
inline uint32_t check_of(uint64_t hash) { return hash >> (32 - PART_BITS); }

// Returns the first of `room` places at which to look for a context.
inline uint32_t home_of(uint32_t check, uint32_t room) { return (uint64_t)check * room >> 32; }

// Whether at least 3 of 16 places are free after one more is used.
inline bool has_room(uint32_t used, uint32_t room) {
  return (uint64_t)(used + 1) * 16 <= (uint64_t)room * 13;
}

// Number of places after the next growth: by a quarter, so that few are free.
inline uint32_t larger(uint32_t room) { return std::max(4u, room + room / 4); }

template <class Part>
std::unique_ptr<Part[], void (*)(Part*)> make_parts() {
  return {make_array<Part>(PARTS), [](Part* parts) {
            for (int64_t part = 0; part < PARTS; ++part) parts[part].free();
            std::free(parts);
          }};
}

struct Follower {
  uint32_t symbol, count;
};

// The contexts of one length, or of one kind of words.
class Contexts {
 public:
  explicit Contexts(int64_t vocabulary) : parts_(make_parts<Part>()) {
    while (count_bits_ > 1 && (vocabulary - 1) >> (31 - count_bits_)) --count_bits_;
  }

  // The followers of a context; none if it was not counted.
  struct Found {
    uint32_t followers = 0;
    const uint32_t* pool = nullptr;

    explicit operator bool() const { return followers; }
  };

  void fetch(uint64_t hash) const {
    const Part& part = parts_[part_of(hash)];
    if (part.room) __builtin_prefetch(part.places + home_of(check_of(hash), part.room));
  }

  Found find(uint64_t hash) const {
    const Part& part = parts_[part_of(hash)];
    if (!part.room) return {};
    const uint32_t followers = (uint32_t)part.places[part.find(check_of(hash))];
    const Found found{followers, part.pool};
    if (followers & IN_POOL) __builtin_prefetch(found.pool + (followers & ~IN_POOL));
    return found;
  }

  // Writes all followers, in an order that depends on what was counted; returns how many they are.
  // Free places between them are written, too, and then overwritten, because a branch would be slow.
  int64_t collect(const Found& found, std::vector<Follower>& to) const {
    if (!found) return 0;
    if (to.empty()) to.resize(1);
    if (!(found.followers & IN_POOL)) {
      to[0] = {symbol_of(found.followers), count_of(found.followers)};
      return 1;
    }
    const uint32_t* block = found.pool + (found.followers & ~IN_POOL);
    const uint32_t size = *block & ~WIDE, end = size > FEW ? room_for(size) : size;
    const bool is_wide = *block++ & WIDE;
    if (to.size() <= end) to.resize(end + 1);
    Follower* next = to.data();
    for (uint32_t i = 0; i < end; ++i) {
      *next = is_wide ? Follower{block[2 * i], block[2 * i + 1]}
                      : Follower{symbol_of(block[i]), count_of(block[i])};
      next += next->count > 0;
    }
    return size;
  }

  // Counts a symbol after a context; returns whether it is the first time. Adds to `looks` how many
  // followers it has examined.
  bool count(uint64_t hash, uint32_t symbol, int64_t& looks) {
    Part& part = parts_[part_of(hash)];
    const uint32_t check = check_of(hash);
    uint32_t place = part.room ? part.find(check) : 0;
    if (!part.room || !part.places[place]) {
      if (!has_room(part.used, part.room)) part.grow();
      place = part.find(check);
      part.places[place] = (uint64_t)check << 32 | packed(symbol, 1);
      ++part.used;
      return true;
    }
    const uint32_t followers = (uint32_t)part.places[place];
    if (!(followers & IN_POOL)) {
      ++looks;
      const bool is_new = symbol_of(followers) != symbol;
      if (!is_new && count_of(followers) < most()) {
        ++part.places[place];
        return false;
      }
      const uint32_t kind = is_new ? 0 : WIDE;
      const uint32_t block = part.allocate(numbers_of(1 | kind));
      part.pool[block] = kind;
      part.place_block(place, block);
      add(part, block, symbol_of(followers), count_of(followers), looks);
    }
    uint32_t block = part.block_at(place);
    uint32_t* words = part.pool + block;
    if (uint32_t* known = find(words, symbol, looks)) {
      if (*words & WIDE) {
        ++known[1];
      } else if (count_of(*known) < most()) {
        ++*known;
      } else {
        block = move(part, place, *words & ~WIDE, true, looks);
        ++find(part.pool + block, symbol, looks)[1];
      }
      return false;
    }
    const uint32_t size = *words & ~WIDE;
    if (room_for(size) != room_for(size + 1))
      block = move(part, place, size + 1, *words & WIDE, looks);
    add(part, block, symbol, 1, looks);
    return true;
  }

 private:
  static constexpr uint32_t IN_POOL = 1u << 31;  // the other bits are the position of the block
  static constexpr uint32_t WIDE = 1u << 31;     // a block whose followers take two numbers each
  static constexpr uint32_t FEW = 8;

  struct Part {
    uint64_t* places;     // the check, then the followers of a context; 0: a free place
    uint32_t* pool;       // blocks: their number of followers, then these, then free places
    uint32_t room, used;  // places
    uint32_t pool_room, pool_used, pool_left;  // numbers; `pool_left`: of blocks that have moved

    void free() { std::free(places), std::free(pool); }

    uint32_t find(uint32_t check) const {
      uint32_t place = home_of(check, room);
      while (places[place] && places[place] >> 32 != check)
        if (++place == room) place = 0;
      return place;
    }

    void grow() {
      const Part old = *this;
      places = make_array<uint64_t>(larger(room));
      room = larger(room);
      for (uint32_t i = 0; i < old.room; ++i)
        if (const uint64_t word = old.places[i]) places[find(word >> 32)] = word;
      std::free(old.places);
    }

    uint32_t block_at(uint32_t place) const { return (uint32_t)places[place] & ~IN_POOL; }

    void place_block(uint32_t place, uint32_t block) {
      places[place] = places[place] >> 32 << 32 | IN_POOL | block;
    }

    // Returns the position of free numbers, all zero. It may move all other blocks: where a full pool
    // grows, they move together.
    uint32_t allocate(uint32_t size) {
      if ((uint64_t)pool_used + size > pool_room) {
        const uint64_t kept = (uint64_t)pool_used - pool_left + size, wanted = kept + kept / 4;
        if (wanted >= IN_POOL) throw std::bad_alloc();
        uint32_t* old = pool;
        pool = make_array<uint32_t>(wanted);
        pool_room = wanted, pool_used = pool_left = 0;
        for (uint32_t place = 0; place < room; ++place) {
          if (!(places[place] & IN_POOL)) continue;
          const uint32_t* block = old + block_at(place);
          std::copy_n(block, numbers_of(*block), pool + pool_used);
          place_block(place, pool_used);
          pool_used += numbers_of(*block);
        }
        std::free(old);
      }
      pool_used += size;
      return pool_used - size;
    }
  };

  static uint32_t room_for(uint32_t size) {
    if (size <= FEW) return (size + 1) & ~1u;
    uint32_t room = 2 * FEW;
    while ((uint64_t)size * 4 > (uint64_t)room * 3) room *= 2;
    return room;
  }

  // Returns how many numbers a block takes, given its first one.
  static uint32_t numbers_of(uint32_t first) {
    return 1 + room_for(first & ~WIDE) * (first & WIDE ? 2 : 1);
  }

  uint32_t most() const { return (1u << count_bits_) - 1; }
  uint32_t packed(uint32_t symbol, uint32_t count) const { return symbol << count_bits_ | count; }
  uint32_t symbol_of(uint32_t follower) const { return follower >> count_bits_; }
  uint32_t count_of(uint32_t follower) const { return follower & most(); }

  // Returns a follower in a block, null if it is not there. More than FEW are in a hash table.
  uint32_t* find(uint32_t* block, uint32_t symbol, int64_t& looks) const {
    const uint32_t size = *block & ~WIDE, step = *block & WIDE ? 2 : 1;
    uint32_t* followers = block + 1;
    if (size > FEW) {
      uint32_t* place = place_of(followers, room_for(size), step, symbol, looks);
      return place[step - 1] ? place : nullptr;
    }
    for (uint32_t i = 0; i < size; ++i, followers += step)
      if (++looks, (step == 2 ? *followers : symbol_of(*followers)) == symbol) return followers;
    return nullptr;
  }

  // Returns the place of a symbol, or the free place for it, in the hash table of a block.
  uint32_t* place_of(uint32_t* followers, uint32_t room, uint32_t step, uint32_t symbol,
                     int64_t& looks) const {
    uint32_t place = symbol * 0x9e3779b1u >> (32 - __builtin_ctz(room));
    const auto is_other = [&](const uint32_t* follower) {
      return follower[step - 1] && (step == 2 ? *follower : symbol_of(*follower)) != symbol;
    };
    while (++looks, is_other(followers + step * place)) place = (place + 1) & (room - 1);
    return followers + step * place;
  }

  // Adds a follower that a block does not have, and has room for.
  void add(Part& part, uint32_t block, uint32_t symbol, uint32_t count, int64_t& looks) const {
    uint32_t* words = part.pool + block;
    const uint32_t size = ++*words & ~WIDE, step = *words & WIDE ? 2 : 1;
    uint32_t* follower = size > FEW ? place_of(words + 1, room_for(size), step, symbol, looks)
                                    : words + 1 + (size - 1) * step;
    if (step == 2) follower[0] = symbol, follower[1] = count;
    else *follower = packed(symbol, count);
  }

  // Moves a block to where there is room for a number of followers; returns its new position.
  uint32_t move(Part& part, uint32_t place, uint32_t size, bool is_wide, int64_t& looks) const {
    const uint32_t block = part.allocate(numbers_of(size | (is_wide ? WIDE : 0)));
    const uint32_t old = part.block_at(place);
    uint32_t* words = part.pool + block;
    const uint32_t old_size = part.pool[old] & ~WIDE;
    // The number of followers decides where they are: it is as if they were all there already.
    *words = size | (is_wide ? WIDE : 0);
    uint32_t* free = words + 1;
    const uint32_t step = is_wide ? 2 : 1;
    std::vector<Follower> followers;
    collect({old | IN_POOL, part.pool}, followers);
    followers.resize(old_size);
    for (const Follower& own : followers) {
      uint32_t* follower = free;
      if (size > FEW) follower = place_of(words + 1, room_for(size), step, own.symbol, looks);
      if (is_wide) follower[0] = own.symbol, follower[1] = own.count;
      else *follower = packed(own.symbol, own.count);
      free += step;
    }
    *words = old_size | (is_wide ? WIDE : 0);
    part.pool_left += numbers_of(part.pool[old]);
    part.place_block(place, block);
    return block;
  }

  int count_bits_ = 31;
  std::unique_ptr<Part[], void (*)(Part*)> parts_;
};

}  // namespace
