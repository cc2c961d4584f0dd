// Integer networks: the steps of charlm/portable/steps.py, number for number.

#pragma once

#include <algorithm>
#include <cstdint>

struct IntegerLayer {
  // Transposed: the weights of a column are contiguous. W_xh is null in the lowest layer; W_xg and
  // b_g are null without a gate, and W_xg in the lowest layer.
  const int16_t *W_hh, *W_xh, *W_xg;
  const int32_t *b_h, *b_g;
  int64_t sum_bits, gate_bits;
  int64_t *hidden, *memory;
};

struct IntegerNetwork {
  int64_t cell, hidden_size, vocabulary, num_layers, operand_bits, logit_bits;
  int64_t boundary;   // the id before which the state begins anew, or -1
  int64_t sharpness;  // log2(e) / temperature, with 20 bits
  const int32_t *rows, *gate_rows;  // each symbol's sums in the lowest layer
  const IntegerLayer* layers;
  const int16_t* W_hq;  // transposed
  const int32_t* b_q;
  const int64_t *sigmoid, *tanh, *power;  // tables
  int16_t* operand;                       // (hidden_size,)
  int16_t* below;                         // (hidden_size,): the operand of the layer below
  int64_t* sums;                          // (2, 4 * hidden_size)
};

enum IntegerCell { INTEGER_RNN, INTEGER_RELU, INTEGER_GRU, INTEGER_LSTM };

constexpr int64_t STEP_BITS = 9, HALF = 16 << STEP_BITS, VALUE_BITS = 15, STATE_BITS = 15;
constexpr int64_t MEMORY_BITS = 16, MAX_MEMORY = 1 << 30, MAX_RELU_OPERAND = (1 << 15) - 1;
constexpr int64_t TOTAL_BITS = 24, EXPONENT_BITS = 20, POWER_STEP_BITS = 12, MAX_SHIFT = 40;

// Divides by 2^bits and rounds to the nearest integer, halves up.
inline int64_t shifted(int64_t number, int64_t bits) {
  return bits <= 0 ? number * (int64_t{1} << -bits) : (number + (int64_t{1} << (bits - 1))) >> bits;
}

inline int64_t looked_up(const int64_t* table, int64_t sum, int64_t bits) {
  return table[std::clamp(shifted(sum, bits - STEP_BITS) + HALF, int64_t{0}, 2 * HALF - 1)];
}

// Sets sums to operand · W, whose columns are contiguous. The rounding of the weights keeps every
// partial sum below 2^31.
inline void integer_product(const int16_t* operand, int64_t size, const int16_t* W, int64_t columns,
                            int64_t* sums) {
  for (int64_t column = 0; column < columns; ++column) {
    const int16_t* weights = W + column * size;
    int32_t sum = 0;
    for (int64_t row = 0; row < size; ++row)
      sum += static_cast<int32_t>(operand[row]) * weights[row];
    sums[column] = sum;
  }
}

inline void write_operand(const IntegerNetwork& network, const IntegerLayer& layer,
                          const int64_t* gate, int16_t* operand) {
  for (int64_t unit = 0; unit < network.hidden_size; ++unit) {
    const int64_t hidden = layer.hidden[unit];
    if (gate)
      operand[unit] = static_cast<int16_t>(
          shifted(hidden * looked_up(network.sigmoid, gate[unit], layer.gate_bits),
                  STATE_BITS + VALUE_BITS - 1 - network.operand_bits));
    else if (network.cell == INTEGER_RELU)
      operand[unit] = static_cast<int16_t>(hidden);
    else
      operand[unit] = static_cast<int16_t>(shifted(hidden, STATE_BITS - network.operand_bits));
  }
}

inline void advance_units(const IntegerNetwork& network, const IntegerLayer& layer,
                          const int64_t* inputs, const int64_t* recurrent) {
  const int64_t size = network.hidden_size, bits = layer.sum_bits, one = 1 << VALUE_BITS;
  for (int64_t unit = 0; unit < size; ++unit) {
    int64_t& hidden = layer.hidden[unit];
    auto sum = [&](int64_t gate) { return inputs[gate * size + unit] + recurrent[gate * size + unit]; };
    switch (network.cell) {
      case INTEGER_RNN:
        hidden = looked_up(network.tanh, sum(0), bits);
        break;
      case INTEGER_RELU:
        hidden = std::clamp(shifted(sum(0), bits - network.operand_bits), int64_t{0}, MAX_RELU_OPERAND);
        break;
      case INTEGER_GRU: {
        const int64_t R = looked_up(network.sigmoid, sum(0), bits);
        const int64_t Z = looked_up(network.sigmoid, sum(1), bits);
        const int64_t from_state = shifted(R * recurrent[2 * size + unit], VALUE_BITS);
        const int64_t candidate = looked_up(network.tanh, inputs[2 * size + unit] + from_state, bits);
        hidden = shifted(Z * hidden + (one - Z) * candidate, VALUE_BITS);
        break;
      }
      default: {
        const int64_t I = looked_up(network.sigmoid, sum(0), bits);
        const int64_t F = looked_up(network.sigmoid, sum(1), bits);
        const int64_t candidate = looked_up(network.tanh, sum(2), bits);
        const int64_t O = looked_up(network.sigmoid, sum(3), bits);
        int64_t& memory = layer.memory[unit];
        const int64_t added = shifted(I * candidate, VALUE_BITS - MEMORY_BITS);
        memory = std::clamp(shifted(F * memory + added, VALUE_BITS), -MAX_MEMORY, MAX_MEMORY);
        hidden = shifted(O * looked_up(network.tanh, memory, MEMORY_BITS), VALUE_BITS);
      }
    }
  }
}

// Sets `frequencies` to each symbol's share of 2^24 (charlm/portable/frequencies.py).
inline void share_out_frequencies(const IntegerNetwork& network, int64_t* frequencies) {
  const int64_t size = network.vocabulary;
  const int64_t likeliest = std::max_element(frequencies, frequencies + size) - frequencies;
  const int64_t largest = frequencies[likeliest];
  int64_t total = 0, rest = int64_t{1} << TOTAL_BITS;
  for (int64_t symbol = 0; symbol < size; ++symbol) {
    const int64_t exponent = (largest - frequencies[symbol]) * network.sharpness >> network.logit_bits;
    const int64_t fraction =
        (exponent & ((1 << EXPONENT_BITS) - 1)) >> (EXPONENT_BITS - POWER_STEP_BITS);
    frequencies[symbol] = network.power[fraction] >> std::min(exponent >> EXPONENT_BITS, MAX_SHIFT);
    total += frequencies[symbol];
  }
  // Vector instructions divide several doubles at once, but no 64-bit integers. The integer part is
  // exact: if dividend and divisor sum to less than 2^53, rounding never reaches the next integer.
  const double shared = static_cast<double>(rest - size), divisor = static_cast<double>(total);
  for (int64_t symbol = 0; symbol < size; ++symbol) {
    const double dividend = static_cast<double>(frequencies[symbol]) * shared;
    frequencies[symbol] = 1 + static_cast<int64_t>(dividend / divisor);
    rest -= frequencies[symbol];
  }
  frequencies[likeliest] += rest;
}

// Advances the state by one symbol, and sets the frequencies of the next one.
inline void read_symbol(const IntegerNetwork& network, int64_t symbol, int64_t* frequencies) {
  const int64_t size = network.hidden_size;
  const int64_t gates = network.cell == INTEGER_LSTM ? 4 : network.cell == INTEGER_GRU ? 3 : 1;
  if (symbol == network.boundary)
    for (int64_t number = 0; number < network.num_layers; ++number) {
      std::fill_n(network.layers[number].hidden, size, 0);
      std::fill_n(network.layers[number].memory, size, 0);
    }
  int64_t *inputs = network.sums, *recurrent = network.sums + 4 * size;
  for (int64_t number = 0; number < network.num_layers; ++number) {
    const IntegerLayer& layer = network.layers[number];
    const int64_t* gate = nullptr;
    if (number > 0 && layer.b_g) {
      integer_product(network.below, size, layer.W_xg, size, recurrent);
      for (int64_t unit = 0; unit < size; ++unit) recurrent[unit] += layer.b_g[unit];
      gate = recurrent;
    } else if (layer.b_g) {
      std::copy_n(network.gate_rows + symbol * size, size, recurrent);
      gate = recurrent;
    }
    write_operand(network, layer, gate, network.operand);
    if (number == 0) {
      std::copy_n(network.rows + symbol * gates * size, gates * size, inputs);
    } else {
      integer_product(network.below, size, layer.W_xh, gates * size, inputs);
      for (int64_t column = 0; column < gates * size; ++column) inputs[column] += layer.b_h[column];
    }
    integer_product(network.operand, size, layer.W_hh, gates * size, recurrent);
    advance_units(network, layer, inputs, recurrent);
    write_operand(network, layer, nullptr, network.below);
  }
  integer_product(network.below, size, network.W_hq, network.vocabulary, frequencies);
  for (int64_t each = 0; each < network.vocabulary; ++each) frequencies[each] += network.b_q[each];
  share_out_frequencies(network, frequencies);
}

// Sets begin and size of each symbol's interval, as predicted before it, and reads it. On entry and
// on return `frequencies` predict the next symbol.
inline void read_intervals(const IntegerNetwork& network, const int64_t* symbols, int64_t count,
                           int64_t* begins, int64_t* sizes, int64_t* frequencies) {
  for (int64_t place = 0; place < count; ++place) {
    const int64_t symbol = symbols[place];
    begins[place] = 0;
    for (int64_t each = 0; each < symbol; ++each) begins[place] += frequencies[each];
    sizes[place] = frequencies[symbol];
    read_symbol(network, symbol, frequencies);
  }
}
