// The range decoder of charlm/portable/range_coder.py, and `NumpySteps.decode` of steps.py.

#pragma once

#include "integers.hpp"

struct RangeDecoder {
  const uint8_t* data;
  int64_t size;
  int64_t place;  // of the next byte; those after the end count as zeros
  uint64_t code, range;
};

constexpr uint64_t TOTAL = uint64_t{1} << TOTAL_BITS, SMALL_RANGE = uint64_t{1} << 40;
constexpr uint64_t FULL_RANGE = (uint64_t{1} << 48) - 1;
constexpr uint64_t DIGIT_BITS = 7, DIGIT_SIZE = TOTAL >> DIGIT_BITS, NUM_CODE_POINTS = 0x110000;

// Returns a number in the interval of the next symbol.
inline uint64_t target_of(const RangeDecoder& decoder) {
  return std::min(decoder.code / (decoder.range >> TOTAL_BITS), TOTAL - 1);
}

// Removes a decoded symbol, given its interval, which is not empty.
inline void remove_interval(RangeDecoder& decoder, uint64_t begin, uint64_t size) {
  const uint64_t step = decoder.range >> TOTAL_BITS;
  decoder.code -= step * begin;
  decoder.range = step * size;
  for (; decoder.range < SMALL_RANGE; ++decoder.place, decoder.range <<= 8) {
    const uint64_t byte = decoder.place < decoder.size ? decoder.data[decoder.place] : 0;
    decoder.code = (decoder.code << 8 | byte) & FULL_RANGE;
  }
}

inline uint64_t decoded_code_point(RangeDecoder& decoder) {
  uint64_t point = 0;
  for (int digits = 0; digits < 3; ++digits) {
    const uint64_t digit = target_of(decoder) / DIGIT_SIZE;
    remove_interval(decoder, digit * DIGIT_SIZE, DIGIT_SIZE);
    point = point << DIGIT_BITS | digit;
  }
  return point;
}

// Decodes `count` symbols into `decoded`, and reads each with the network. `alphabet` (vocabulary,) has
// the symbol of each id; a code point follows the id `unknown`, or none if that is -1. Returns the number
// of symbols, less than `count` if Unicode does not have a code point. On entry and on return,
// `frequencies` predict the next symbol.
inline int64_t decode_symbols(const IntegerNetwork& network, RangeDecoder& decoder,
                              const uint32_t* alphabet, int64_t unknown, uint32_t* decoded,
                              int64_t count, int64_t* frequencies) {
  for (int64_t place = 0; place < count; ++place) {
    // All frequencies sum to 2^24, so that the last symbol's interval contains what is left.
    const int64_t target = static_cast<int64_t>(target_of(decoder)), last = network.vocabulary - 1;
    int64_t symbol = 0, begin = 0;
    while (symbol < last && begin + frequencies[symbol] <= target) begin += frequencies[symbol++];
    remove_interval(decoder, begin, frequencies[symbol]);
    decoded[place] = alphabet[symbol];
    if (symbol == unknown) {
      const uint64_t point = decoded_code_point(decoder);
      if (point >= NUM_CODE_POINTS) return place;
      decoded[place] = static_cast<uint32_t>(point);
    }
    read_symbol(network, symbol, frequencies);
  }
  return count;
}
