// Products Aᵀ · B of two tall matrices: the gradients of weights, summed over all rows.
#pragma once

#include <vector>

#include "products.hpp"

namespace {

constexpr int64_t SEGMENT = 256;  // rows that are summed in registers; an even number
constexpr int STRIP = ROWS;       // columns of A that are multiplied at once
constexpr int64_t STRIPS = 8;     // strips of a tile of the result

// Copies the columns of a row side by side, or those of a pair of rows, interleaved; without a
// second row, or beyond the columns, zeros.
template <int WIDTH>
INLINE void gather_rows(const float* row, const float*, int64_t columns, float* to) {
  if (columns >= WIDTH) std::copy_n(row, WIDTH, to);
  else for (int64_t i = 0; i < WIDTH; ++i) to[i] = i < columns ? row[i] : 0;
}

template <int WIDTH>
INLINE void gather_rows(const uint16_t* row, const uint16_t* second, int64_t columns,
                        uint16_t* to) {
  const auto pair = [&](int64_t i) { return row[i] | (second ? (uint32_t)second[i] : 0u) << 16; };
  if (WIDTH % LANES == 0 && columns >= WIDTH && second) {
    for (int64_t i = 0; i < WIDTH; i += LANES) {
      halves low, high;
      std::memcpy(&low, row + i, sizeof low);
      std::memcpy(&high, second + i, sizeof high);
      const uvec pairs = __builtin_convertvector(low, uvec) | __builtin_convertvector(high, uvec) << 16;
      std::memcpy(to + 2 * i, &pairs, sizeof pairs);
    }
    return;
  }
  for (int64_t i = 0; i < WIDTH; ++i) {
    const uint32_t both = i < columns ? pair(i) : 0;
    std::memcpy(to + 2 * i, &both, sizeof both);
  }
}

// Gathers some columns of a matrix, each row (or pair of rows) after another.
template <class Product, int WIDTH>
void gather(const typename Product::type* matrix, int64_t stride, int64_t rows, int64_t columns,
            typename Product::type* to) {
  for (int64_t k = 0; k < rows; k += Product::STEP, to += Product::STEP * WIDTH)
    gather_rows<WIDTH>(matrix + k * stride, k + 1 < rows ? matrix + (k + 1) * stride : nullptr,
                       columns, to);
}

// Computes a tile of strips, or adds to it, from the gathered strips of A and a panel of B.
template <class Product, bool ADD, int P>
__attribute__((noinline)) void add_tile(const typename Product::type* strips, const typename Product::type* panel,
              int64_t size, float* to, int64_t rows, int64_t columns, int64_t column) {
  constexpr int STEP = Product::STEP;
  in_blocks<STRIP>(0, rows, [&](int64_t first, auto count) {
    constexpr int R = decltype(count)::value;
    vec sum[R][P] = {};
    const auto* strip = strips + first / STRIP * STRIP * SEGMENT + first % STRIP * STEP;
    Product::template multiply<R, P, PANEL>(sum, strip, STEP, panel, size, STEP * STRIP);
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

// Computes to (M, N) = Aᵀ · B for A (K, M) and B (K, N), whose rows are `stride`s apart. Each
// element is summed in segments of rows, one after another. A chain is a range of tiles, in the order
// of their columns; its steps are the segments.
template <class Product>
void transposed_product(const typename Product::type* A, int64_t A_stride,
                        const typename Product::type* B, int64_t B_stride, int64_t size,
                        int64_t rows, int64_t columns, float* to, int64_t threads) {
  using Element = typename Product::type;
  constexpr int64_t WIDTH = PANEL * LANES, HEIGHT = STRIPS * STRIP;
  const int64_t heights = (rows + HEIGHT - 1) / HEIGHT, widths = (columns + WIDTH - 1) / WIDTH;
  const int64_t segments = std::max<int64_t>(1, (size + SEGMENT - 1) / SEGMENT);
  const Chains tiles(heights * widths, 1, threads);
  share_chains(tiles.count, segments, threads, [&] {
    return [&, strips = std::vector<Element>(heights * HEIGHT * SEGMENT),
            panel = std::vector<Element>(WIDTH * SEGMENT)](int64_t chain, int64_t segment) mutable {
      const int64_t k = segment * SEGMENT, length = std::min(SEGMENT, size - k);
      const int64_t begin = tiles.begin(chain), end = tiles.begin(chain + 1);
      for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t row = tile % heights * HEIGHT, column = tile / heights * WIDTH;
        const int64_t count = std::min(HEIGHT, rows - row), left = columns - column;
        Element* here = strips.data() + row * SEGMENT;
        if (tile < begin + heights)
          for (int64_t i = 0; i < count; i += STRIP)
            gather<Product, STRIP>(A + k * A_stride + row + i, A_stride, length, count - i,
                                   here + i * SEGMENT);
        if (tile == begin || row == 0)
          gather<Product, WIDTH>(B + k * B_stride + column, B_stride, length, left, panel.data());
        const auto add = [&](auto vectors) {
          constexpr int P = decltype(vectors)::value;
          float* tile_of = to + row * columns;
          if (k) add_tile<Product, true, P>(here, panel.data(), length, tile_of, count, columns, column);
          else add_tile<Product, false, P>(here, panel.data(), length, tile_of, count, columns, column);
        };
        if (left > 2 * LANES) add(std::integral_constant<int, PANEL>{});
        else if (left > LANES) add(std::integral_constant<int, 2>{});
        else add(std::integral_constant<int, 1>{});
      }
    };
  });
}

}  // namespace
