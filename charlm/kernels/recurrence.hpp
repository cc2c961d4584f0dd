// The recurrent cells of `charlm/models/cells/`, over a whole sequence, forward and backward.
//
// The columns of a batch are independent, so threads take groups of them through some time steps
// without waiting for each other. At each step, a small product multiplies the rows [x_t | h_{t-1}] of
// a few columns with the weights. The weights are packed so that the values of all gates of the same
// units are in registers at the same time, where the cell's equation is applied.
// Where a step is reset, the state before it counts as zero, and no gradient flows to it.
//
// Names and order of gates are those of the Python cells.
#pragma once

#include <utility>

#include "products.hpp"

// Arguments of a call, which Python fills in by ctypes. T steps, B columns, I inputs, H units; I and H are
// multiples of the vector's lanes. Pointers that a cell or a direction does not use are null.
struct Call {
  int64_t steps, batch, inputs, hidden, threads;
  const int64_t* lookup;       // (T, B): number of the row that is added to the gates; null: the first
  const float* rows;           // (any, G·H): projected symbols, or the bias
  const void* weights;         // packed [W_xh; W_hh] forward, W_hhᵀ backward
  void* operands;              // (T+1, B, I+H): [x_t | h_{t-1}], x_t given, h written here
  float* outputs;              // (T, B, H): h_t
  const float* first_hidden;   // (B, H): h_{-1}
  float* memory;               // (T+1, B, H): LSTM's C, the first given
  float* saved;                // (T, B, S·H): what the backward pass needs
  const float* d_outputs;      // (T, B, H)
  float* d_hidden;             // (B, H): in: of the last state, out: of the first state
  float* d_memory;             // (B, H): the same of LSTM's C
  void* d_recurrent;           // (T, B, G·H): of h_{t-1} W_hh
  void* d_projected;           // (T, B, G·H): of x_t W_xh + b_h, if it differs
  const float* gate;           // (any, H): factor of h_{t-1} before W_hh; the row of the symbol, or
                               // without `lookup`, of the place; null: none
  void* d_gate;                // (T, B, H)
  const uint8_t* resets;       // (T, B): where the state before the step counts as zero; null: nowhere
  const float* zeros;          // (H,): zeros, with `resets`
};

namespace {

// Where the equation of a cell reads and writes the values of LANES units of one column.
struct Forward {
  const float* row;      // of `rows`, G·H
  const vec* apart;      // x_t W_xh of the last gate, if the cell needs it separately
  const float* hidden;   // h_{t-1}
  const float* memory;   // C_{t-1}
  float* next_memory;    // C_t
  float* saved;          // S·H, or null
  int64_t unit, size;    // the first unit; H
};

struct Backward {
  const float* saved;
  const float* hidden;       // h_{t-1}
  const float* output;       // h_t
  const float* memory;       // C_{t-1}
  const float* next_memory;  // C_t
  float* d_memory;           // in: of C_t, out: of C_{t-1}
  int64_t unit, size;
};

struct LSTM {
  static constexpr int GATES = 4, SAVED = 4;
  static constexpr bool APART = false;

  INLINE vec forward(const vec (&sum)[GATES], const Forward& at) {
    const float* x = at.row + at.unit;
    const vec I = sigmoid(sum[0] + load(x));
    const vec F = sigmoid(sum[1] + load(x + at.size));
    const vec candidate = tanh(sum[2] + load(x + 2 * at.size));
    const vec O = sigmoid(sum[3] + load(x + 3 * at.size));
    const vec C = F * load(at.memory + at.unit) + I * candidate;
    store(at.next_memory + at.unit, C);
    if (at.saved) {
      float* s = at.saved + at.unit;
      store(s, I), store(s + at.size, F), store(s + 2 * at.size, candidate);
      store(s + 3 * at.size, O);
    }
    return O * tanh(C);
  }

  // Returns the part of d_h that reaches h_{t-1} without the product: none here.
  INLINE vec backward(vec d_h, vec (&d_recurrent)[GATES], vec (&)[GATES], const Backward& at) {
    const float* s = at.saved + at.unit;
    const vec I = load(s), F = load(s + at.size), candidate = load(s + 2 * at.size);
    const vec O = load(s + 3 * at.size);
    const vec squashed = tanh(load(at.next_memory + at.unit));
    const vec d_C = load(at.d_memory + at.unit) + d_h * O * (1.0f - squashed * squashed);
    d_recurrent[0] = d_C * candidate * I * (1.0f - I);
    d_recurrent[1] = d_C * load(at.memory + at.unit) * F * (1.0f - F);
    d_recurrent[2] = d_C * I * (1.0f - candidate * candidate);
    d_recurrent[3] = d_h * squashed * O * (1.0f - O);
    store(at.d_memory + at.unit, d_C * F);
    return vec{};
  }
};

struct GRU {
  static constexpr int GATES = 3, SAVED = 4;
  static constexpr bool APART = true;  // the reset gate acts on H W_hh alone

  INLINE vec forward(const vec (&sum)[GATES], const Forward& at) {
    const float* x = at.row + at.unit;
    const vec R = sigmoid(sum[0] + load(x));
    const vec Z = sigmoid(sum[1] + load(x + at.size));
    const vec candidate = tanh(load(x + 2 * at.size) + *at.apart + R * sum[2]);
    if (at.saved) {
      float* s = at.saved + at.unit;
      store(s, R), store(s + at.size, Z), store(s + 2 * at.size, candidate);
      store(s + 3 * at.size, sum[2]);
    }
    return Z * load(at.hidden + at.unit) + (1.0f - Z) * candidate;
  }

  INLINE vec backward(vec d_h, vec (&d_recurrent)[GATES], vec (&d_projected)[GATES],
                      const Backward& at) {
    const float* s = at.saved + at.unit;
    const vec R = load(s), Z = load(s + at.size), candidate = load(s + 2 * at.size);
    const vec H_h = load(s + 3 * at.size);
    const vec d_candidate = d_h * (1.0f - Z) * (1.0f - candidate * candidate);
    d_projected[0] = d_recurrent[0] = d_candidate * H_h * R * (1.0f - R);
    d_projected[1] = d_recurrent[1] =
        d_h * (load(at.hidden + at.unit) - candidate) * Z * (1.0f - Z);
    d_projected[2] = d_candidate;
    d_recurrent[2] = d_candidate * R;
    return d_h * Z;
  }
};

template <bool RELU>
struct RNN {
  static constexpr int GATES = 1, SAVED = 0;
  static constexpr bool APART = false;

  INLINE vec forward(const vec (&sum)[GATES], const Forward& at) {
    const vec a = sum[0] + load(at.row + at.unit);
    if constexpr (RELU) return a > 0.0f ? a : vec{};
    return tanh(a);
  }

  INLINE vec backward(vec d_h, vec (&d_recurrent)[GATES], vec (&)[GATES], const Backward& at) {
    const vec H = load(at.output + at.unit);
    d_recurrent[0] = RELU ? (H > 0.0f ? d_h : vec{}) : d_h * (1.0f - H * H);
    return vec{};
  }
};

constexpr int64_t PIECES = 32;  // of a sequence: many, so that no thread waits long for another

INLINE const float* gate_row(const Call& call, int64_t place) {
  return call.gate + (call.lookup ? call.lookup[place] : place) * call.hidden;
}

INLINE bool is_reset(const Call& call, int64_t place) { return call.resets && call.resets[place]; }

// Returns the hidden states (B, H) before step t, whether they are reset or not.
INLINE const float* hidden_row(const Call& call, int64_t t) {
  return t ? call.outputs + (t - 1) * call.batch * call.hidden : call.first_hidden;
}

INLINE const float* hidden_before(const Call& call, int64_t t, int64_t b) {
  return is_reset(call, t * call.batch + b) ? call.zeros : hidden_row(call, t) + b * call.hidden;
}

INLINE const float* memory_before(const Call& call, int64_t place) {
  return is_reset(call, place) ? call.zeros : call.memory + place * call.hidden;
}

// Stops the gradients of the state before step t in the columns that are reset.
inline void reset_gradients(const Call& call, int64_t t, int64_t begin, int64_t end) {
  for (int64_t b = begin; b < end; ++b) {
    if (!call.resets[t * call.batch + b]) continue;
    std::fill_n(call.d_hidden + b * call.hidden, call.hidden, 0);
    if (call.d_memory) std::fill_n(call.d_memory + b * call.hidden, call.hidden, 0);
  }
}

// Multiplies h_{t-1} by the gate of a step, and writes the operand of the product.
template <class Product>
void gate_hidden(const Call& call, int64_t t, int64_t begin, int64_t end) {
  const int64_t H = call.hidden, width = call.inputs + H;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t place = t * call.batch + b;
    const float *gate = gate_row(call, place), *hidden = hidden_before(call, t, b);
    auto* operand = static_cast<typename Product::type*>(call.operands) + place * width + call.inputs;
    for (int64_t i = 0; i < H; i += LANES) Product::put(operand + i, load(gate + i) * load(hidden + i));
  }
}

// Back-propagates through the gate: `d_hidden` first holds the gradient of the gated hidden state,
// and that of h_{t-1} after it.
template <class Product>
void gate_backward(const Call& call, int64_t t, int64_t begin, int64_t end) {
  const int64_t H = call.hidden;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t place = t * call.batch + b;
    const float *gate = gate_row(call, place), *hidden = hidden_before(call, t, b);
    auto* d_gate = static_cast<typename Product::type*>(call.d_gate) + place * H;
    float* d_hidden = call.d_hidden + b * H;
    for (int64_t i = 0; i < H; i += LANES) {
      const vec d = load(d_hidden + i);
      Product::put(d_gate + i, d * load(hidden + i));
      store(d_hidden + i, d * load(gate + i));
    }
  }
}

// Computes the time steps from `first_step` to `last_step` of the columns from begin to end.
template <class Cell, class Product>
void forward_columns(const Call& call, int64_t first_step, int64_t last_step, int64_t begin,
                     int64_t end) {
  using Element = typename Product::type;
  constexpr int G = Cell::GATES;
  constexpr int U = G == 1 ? PANEL : 1;  // vectors of units in a panel; one gives too few sums
  const int64_t B = call.batch, H = call.hidden, width = call.inputs + H;
  auto* operands = static_cast<Element*>(call.operands);
  auto* weights = static_cast<const Element*>(call.weights);

  for (int64_t t = first_step; t < last_step; ++t) {
    const float* before = hidden_row(call, t);
    const uint8_t* resets = call.resets ? call.resets + t * B : nullptr;
    // The operand of the next step is zeroed where it is written. A loop over the rows before the
    // product made the compiler give up registers: the forward pass took twice as long.
    const uint8_t* next_resets = call.resets && t + 1 < call.steps ? resets + B : nullptr;
    const Element* rows = operands + t * B * width;
    Element* next = operands + (t + 1) * B * width + call.inputs;
    if (call.gate) gate_hidden<Product>(call, t, begin, end);
    for (int64_t first_unit = 0; first_unit < H; first_unit += U * LANES) {
      const Element* panel = weights + first_unit * G * width;
      in_blocks<rows_at_once(U * G)>(begin, end, [&](int64_t first, auto count) {
        constexpr int R = decltype(count)::value;
        vec sum[R][U * G] = {}, apart[R] = {};
        const Element* row = rows + first * width;
        if constexpr (Cell::APART) {
          Product::template multiply<R, G>(sum, row, width, panel, call.inputs);
          for (int r = 0; r < R; ++r) std::swap(apart[r], sum[r][G - 1]);
          Product::template multiply<R, G>(sum, row + call.inputs, width,
                                           panel + call.inputs * G * LANES, H);
        } else {
          Product::template multiply<R, U * G>(sum, row, width, panel, width);
        }
        for (int r = 0; r < R; ++r) {
          const int64_t b = first + r, place = t * B + b;
          const int64_t symbol = call.lookup ? call.lookup[place] : 0;
          Forward at = {
              call.rows + symbol * G * H,
              &apart[r],
              resets && resets[b] ? call.zeros : before + b * H,
              resets && resets[b] ? call.zeros : call.memory + place * H,
              call.memory + (place + B) * H,
              call.saved ? call.saved + place * Cell::SAVED * H : nullptr,
              first_unit,
              H,
          };
          for (int u = 0; u < U && at.unit < H; ++u, at.unit += LANES) {
            vec gates[G];
            std::copy_n(sum[r] + u * G, G, gates);
            const vec h = Cell::forward(gates, at);
            store(call.outputs + place * H + at.unit, h);
            Product::put(next + b * width + at.unit, next_resets && next_resets[b] ? vec{} : h);
          }
        }
      });
    }
  }
}

// Back-propagates through the time steps from `last_step` to `first_step`.
template <class Cell, class Product>
void backward_columns(const Call& call, int64_t first_step, int64_t last_step, int64_t begin,
                      int64_t end) {
  using Element = typename Product::type;
  constexpr int G = Cell::GATES;
  const int64_t B = call.batch, H = call.hidden;
  auto* weights = static_cast<const Element*>(call.weights);
  auto* d_recurrent = static_cast<Element*>(call.d_recurrent);
  auto* d_projected = static_cast<Element*>(call.d_projected);

  for (int64_t t = last_step - 1; t >= first_step; --t) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t place = t * B + b;
      const Backward column = {
          call.saved + place * Cell::SAVED * H,
          hidden_before(call, t, b),
          call.outputs + place * H,
          memory_before(call, place),
          call.memory + (place + B) * H,
          call.d_memory + b * H,
          0,
          H,
      };
      for (int64_t unit = 0; unit < H; unit += LANES) {
        Backward at = column;
        at.unit = unit;
        float* d_hidden = call.d_hidden + b * H + unit;
        vec d_r[G], d_p[G] = {};
        const vec d_h = load(d_hidden) + load(call.d_outputs + place * H + unit);
        store(d_hidden, Cell::backward(d_h, d_r, d_p, at));
        for (int g = 0; g < G; ++g) {
          Product::put(d_recurrent + place * G * H + g * H + unit, d_r[g]);
          if (d_projected) Product::put(d_projected + place * G * H + g * H + unit, d_p[g]);
        }
      }
    }
    add_product<Product>(d_recurrent + t * B * G * H, G * H, G * H, weights, call.d_hidden, H,
                         begin, end);
    if (call.gate) gate_backward<Product>(call, t, begin, end);
    if (call.resets) reset_gradients(call, t, begin, end);
  }
}

template <class Cell, class Product>
void run(const Call& call, bool is_backward) {
  const Chains columns(call.batch, ROWS, call.threads);
  const int64_t steps = call.steps, pieces = std::min(steps, PIECES);
  share_chains(columns.count, pieces, call.threads, [&] {
    return [&](int64_t chain, int64_t piece) {
      const int64_t begin = columns.begin(chain), end = columns.begin(chain + 1);
      const auto step = [&](int64_t number) { return steps * number / pieces; };
      if (is_backward)
        backward_columns<Cell, Product>(call, step(pieces - 1 - piece), step(pieces - piece), begin,
                                        end);
      else forward_columns<Cell, Product>(call, step(piece), step(piece + 1), begin, end);
    };
  });
}

}  // namespace
