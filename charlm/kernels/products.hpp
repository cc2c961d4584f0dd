// Vectors of floats, and products of rows with packed weights.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "sharing.hpp"

namespace {

// ---- vectors of floats, as wide as the processor's registers ----

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 24;
#elif defined(__AVX2__)
constexpr int LANES = 8, REGISTERS = 12;
#else
constexpr int LANES = 4, REGISTERS = 24;
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float* from) { vec v; std::memcpy(&v, from, sizeof v); return v; }
INLINE void store(float* to, vec v) { std::memcpy(to, &v, sizeof v); }

// eˣ = 2ⁿ·eʳ with |r| ≤ ln 2 / 2: the power 2ⁿ, and eʳ − 1 to the last bits.
struct Exponential {
  vec power, rest;
};

INLINE Exponential exponential(vec x) {
  x = x < -87.0f ? vec{} - 87.0f : x;
  x = x > 87.0f ? vec{} + 87.0f : x;
  const vec scaled = x * 1.44269504f;
  const ivec n = __builtin_convertvector(scaled + (scaled < 0.0f ? vec{} - 0.5f : vec{} + 0.5f), ivec);
  const vec whole = __builtin_convertvector(n, vec);
  const vec r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  vec p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r;
  return {(vec)((n + 127) << 23), p};
}

INLINE vec exp(vec x) {
  const Exponential e = exponential(x);
  return e.power * e.rest + e.power;
}

INLINE vec expm1(vec x) {  // exact near zero, too
  const Exponential e = exponential(x);
  return e.power * e.rest + (e.power - 1.0f);
}

INLINE vec sigmoid(vec x) { return 1.0f / (2.0f + expm1(-x)); }

INLINE vec tanh(vec x) {
  x = x < -10.0f ? vec{} - 10.0f : x;
  x = x > 10.0f ? vec{} + 10.0f : x;
  const vec t = expm1(2.0f * x);
  return t / (t + 2.0f);
}

// ---- products: rows of operands times a panel of packed weights ----

// A panel holds WIDTH vectors of columns: for each k (or pair of k), one vector after another. The
// first P of them are multiplied. The operands of one row are `next` apart, or pairs of them are.
constexpr int PANEL = 4;  // vectors in a panel of a matrix

struct Float32 {
  using type = float;
  static constexpr int STEP = 1;

  template <int R, int P, int WIDTH = P>
  INLINE void multiply(vec (&sum)[R][P], const float* rows, int64_t stride, const float* panel,
                       int64_t size, int64_t next = STEP) {
    for (int64_t k = 0; k < size; ++k, rows += next, panel += WIDTH * LANES) {
      vec w[P];
      for (int p = 0; p < P; ++p) w[p] = load(panel + p * LANES);
      for (int r = 0; r < R; ++r)
        for (int p = 0; p < P; ++p) sum[r][p] += rows[r * stride] * w[p];
    }
  }
  INLINE vec get(const float* from) { return load(from); }
  INLINE void put(float* to, vec v) { store(to, v); }
  INLINE float from_float(float value) { return value; }
};

// bfloat16 is the upper half of a float; products are exact, and their sums are in float32.
struct BFloat16 {
  using type = uint16_t;
  static constexpr int STEP = 2;

  template <int R, int P, int WIDTH = P>
  INLINE void multiply(vec (&sum)[R][P], const uint16_t* rows, int64_t stride,
                       const uint16_t* panel, int64_t size, int64_t next = STEP) {
    for (int64_t k = 0; k < size; k += 2, rows += next, panel += 2 * WIDTH * LANES) {
      uvec w[P];
      for (int p = 0; p < P; ++p) std::memcpy(&w[p], panel + 2 * p * LANES, sizeof w[p]);
      for (int r = 0; r < R; ++r) {
        uint32_t pair;
        std::memcpy(&pair, rows + r * stride, sizeof pair);
        for (int p = 0; p < P; ++p) sum[r][p] = multiply_add(sum[r][p], pair, w[p]);
      }
    }
  }
  INLINE vec multiply_add(vec sum, uint32_t pair, uvec weights) {
#if defined(__AVX512BF16__)
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)pair),
                                 (__m512bh)weights);
#else
    const uvec x = uvec{} + pair;
    sum += (vec)(x << 16) * (vec)(weights << 16);
    return sum + (vec)(x & 0xffff0000u) * (vec)(weights & 0xffff0000u);
#endif
  }
  INLINE vec get(const uint16_t* from) {
    halves narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    return (vec)(__builtin_convertvector(narrow, uvec) << 16);
  }
  INLINE void put(uint16_t* to, vec v) {  // rounded to nearest, ties to even
    const uvec bits = (uvec)v;
    const uvec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const halves narrow = __builtin_convertvector(rounded, halves);
    std::memcpy(to, &narrow, sizeof narrow);
  }
  INLINE uint16_t from_float(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
};

// The number of columns of the batch to multiply at once; their sums fill the registers.
constexpr int rows_at_once(int vectors) { return std::min(16, REGISTERS / vectors); }

// Calls work(first, std::integral_constant<int, rows>) for blocks of columns from begin to end.
template <int R, class Work>
INLINE void in_blocks(int64_t begin, int64_t end, Work work) {
  for (; end - begin >= R; begin += R) work(begin, std::integral_constant<int, R>{});
  if constexpr (R > 1) {
    if (begin < end) in_blocks<(R > 8 ? 8 : R > 4 ? 4 : R > 2 ? 2 : 1)>(begin, end, work);
  }
}

constexpr int ROWS = rows_at_once(PANEL);
constexpr int TILE = 8 * ROWS;  // rows of a product that are multiplied by all panels

// The same as add_product, for the first P vectors of one panel: the columns from `column` on.
template <class Product, bool ADD, int P>
INLINE void add_panel(const typename Product::type* rows, int64_t stride, int64_t size,
                      const typename Product::type* panel, float* to, int64_t columns,
                      int64_t column, int64_t begin, int64_t end) {
  in_blocks<rows_at_once(P)>(begin, end, [&](int64_t first, auto count) {
    constexpr int R = decltype(count)::value;
    vec sum[R][P] = {};
    Product::template multiply<R, P, PANEL>(sum, rows + first * stride, stride, panel, size);
    for (int r = 0; r < R; ++r) {
      float* row = to + (first + r) * columns + column;
      for (int p = 0; p < P; ++p, row += LANES) {
        const int64_t left = columns - column - p * LANES;
        if (left >= LANES) store(row, ADD ? load(row) + sum[r][p] : sum[r][p]);
        else for (int64_t i = 0; i < left; ++i) row[i] = (ADD ? row[i] : 0) + sum[r][p][i];
      }
    }
  });
}

// Computes to[r] += rows[r] · W for the rows from begin to end, or = without ADD. W is packed in
// panels of four vectors; the last one may be only partly used. A tile of rows is multiplied by all
// panels before the next one, so that its results are in few pages.
template <class Product, bool ADD = true>
void add_product(const typename Product::type* rows, int64_t stride, int64_t size,
                 const typename Product::type* weights, float* to, int64_t columns, int64_t begin,
                 int64_t end) {
  for (int64_t tile = begin; tile < end; tile += TILE)
    for (int64_t column = 0; column < columns; column += PANEL * LANES) {
      const auto add = [&](auto vectors) {
        add_panel<Product, ADD, decltype(vectors)::value>(rows, stride, size,
                                                          weights + column * size, to, columns,
                                                          column, tile, std::min(end, tile + TILE));
      };
      if (columns - column > 2 * LANES) add(std::integral_constant<int, PANEL>{});
      else if (columns - column > LANES) add(std::integral_constant<int, 2>{});
      else add(std::integral_constant<int, 1>{});
    }
}

// Computes sums[lookup[r]] += rows[r], or sums[0] without `lookup`, in the columns from begin to end.
template <class Product>
void sum_rows(const typename Product::type* rows, const int64_t* lookup, int64_t num_rows,
              int64_t columns, float* sums, int64_t begin, int64_t end) {
  for (int64_t r = 0; r < num_rows; ++r) {
    const auto* row = rows + r * columns;
    float* sum = sums + (lookup ? lookup[r] * columns : 0);
    for (int64_t i = begin; i < end; i += LANES) store(sum + i, load(sum + i) + Product::get(row + i));
  }
}

// Packs a matrix given by its strides: panel j, vector p holds the columns from
// j·panel_stride + p·vector_stride on; columns beyond `columns` are zero.
template <class Product>
void pack(const float* matrix, int64_t row_stride, int64_t column_stride, int64_t size,
          int64_t columns, int64_t panels, int64_t vectors, int64_t panel_stride,
          int64_t vector_stride, typename Product::type* packed, int64_t threads) {
  constexpr int STEP = Product::STEP;
  share_out(panels, 1, threads, [&](int64_t begin, int64_t end) {
    auto* to = packed + begin * size * vectors * LANES;
    for (int64_t j = begin; j < end; ++j)
      for (int64_t k = 0; k < size; k += STEP)
        for (int64_t p = 0; p < vectors; ++p)
          for (int64_t lane = 0; lane < LANES; ++lane)
            for (int64_t s = 0; s < STEP; ++s) {
              const int64_t column = j * panel_stride + p * vector_stride + lane;
              *to++ = Product::from_float(
                  column < columns ? matrix[(k + s) * row_stride + column * column_stride] : 0.0f);
            }
  });
}

}  // namespace
