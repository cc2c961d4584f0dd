// Products of 16-bit integers in WebAssembly, with SIMD: `multiply` of integer_steps.js.
// `make web-kernel` compiles this file into integer_kernel_code.js.
#include <wasm_simd128.h>

// The four sums of pairs of lanes: two of `first`, then two of `second`.
static v128_t sums_of_pairs(v128_t first, v128_t second) {
  return wasm_i32x4_add(wasm_i32x4_shuffle(first, second, 0, 2, 4, 6),
                        wasm_i32x4_shuffle(first, second, 1, 3, 5, 7));
}

// Sets sums to base + operand · W, whose columns are contiguous. `rows` is a multiple of 8 and
// `columns` one of 4: the caller pads with zeros. Sums wrap around at 2^32, as those of JavaScript.
__attribute__((export_name("multiply"))) void multiply(const short* operand, int rows, const short* W,
                                                       int columns, const int* base, int* sums) {
  for (int column = 0; column < columns; column += 4, W += 4 * rows) {
    v128_t first = wasm_i32x4_const_splat(0), second = first, third = first, fourth = first;
    const short *from = W, *from_second = from + rows, *from_third = from_second + rows,
                *from_fourth = from_third + rows;
    for (int row = 0; row < rows; row += 8) {
      const v128_t factors = wasm_v128_load(operand + row);
#define ADD(sum, weights) \
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(factors, wasm_v128_load(weights + row)))
      ADD(first, from);
      ADD(second, from_second);
      ADD(third, from_third);
      ADD(fourth, from_fourth);
    }
    const v128_t products = sums_of_pairs(sums_of_pairs(first, second), sums_of_pairs(third, fourth));
    wasm_v128_store(sums + column, wasm_i32x4_add(wasm_v128_load(base + column), products));
  }
}
