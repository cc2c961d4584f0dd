// The functions that Python calls by ctypes.

#include "cross_entropy.hpp"
#include "generation.hpp"
#include "range_decoder.hpp"
#include "transposed_products.hpp"

extern "C" {

int charlm_lanes() { return LANES; }

void charlm_pack(const float* matrix, int64_t row_stride, int64_t column_stride, int64_t size,
                 int64_t columns, int64_t panels, int64_t vectors, int64_t panel_stride,
                 int64_t vector_stride, int bfloat16, void* packed, int64_t threads) {
  if (bfloat16)
    pack<BFloat16>(matrix, row_stride, column_stride, size, columns, panels, vectors, panel_stride,
                   vector_stride, static_cast<uint16_t*>(packed), threads);
  else
    pack<Float32>(matrix, row_stride, column_stride, size, columns, panels, vectors, panel_stride,
                  vector_stride, static_cast<float*>(packed), threads);
}

// Computes to (M, N) = rows (M, K) · W (K, N); W is packed.
void charlm_product(const void* rows, int64_t num_rows, int64_t size, const void* weights,
                    int64_t columns, float* to, int bfloat16, int64_t threads) {
  share_out(num_rows, TILE, threads, [&](int64_t begin, int64_t end) {
    if (bfloat16)
      add_product<BFloat16, false>(static_cast<const uint16_t*>(rows), size, size,
                            static_cast<const uint16_t*>(weights), to, columns, begin, end);
    else
      add_product<Float32, false>(static_cast<const float*>(rows), size, size,
                           static_cast<const float*>(weights), to, columns, begin, end);
  });
}

// Computes to (M, N) = Aᵀ · B for A (K, M) and B (K, N), whose rows are `stride`s apart.
void charlm_transposed_product(const void* A, int64_t A_stride, const void* B, int64_t B_stride,
                               int64_t size, int64_t rows, int64_t columns, float* to, int bfloat16,
                               int64_t threads) {
  if (bfloat16)
    transposed_product<BFloat16>(static_cast<const uint16_t*>(A), A_stride,
                                 static_cast<const uint16_t*>(B), B_stride, size, rows, columns, to,
                                 threads);
  else
    transposed_product<Float32>(static_cast<const float*>(A), A_stride,
                                static_cast<const float*>(B), B_stride, size, rows, columns, to,
                                threads);
}

// Computes nats (M,) and gradients (M, N) from rows (M, K), packed weights (K, N) and bias (N,),
// for targets (M,), or for shares (M, N) if they are not null.
void charlm_cross_entropy(const void* rows, int64_t num_rows, int64_t size, const void* weights,
                          const float* bias, int64_t columns, const int64_t* targets,
                          const float* shares, float* nats, void* gradients, int bfloat16,
                          int64_t threads) {
  share_out(num_rows, TILE, threads, [&](int64_t begin, int64_t end) {
    if (bfloat16)
      cross_entropy<BFloat16>(static_cast<const uint16_t*>(rows), size,
                              static_cast<const uint16_t*>(weights), bias, columns, targets, shares,
                              nats, static_cast<uint16_t*>(gradients), begin, end);
    else
      cross_entropy<Float32>(static_cast<const float*>(rows), size,
                             static_cast<const float*>(weights), bias, columns, targets, shares,
                             nats, static_cast<float*>(gradients), begin, end);
  });
}

// Adds each of the rows (M, N) to the row of sums (any, N) that `lookup` names, or to the first.
void charlm_sum_rows(const void* rows, const int64_t* lookup, int64_t num_rows, int64_t columns,
                     float* sums, int bfloat16, int64_t threads) {
  share_out(columns / LANES, 8, threads, [&](int64_t begin, int64_t end) {
    if (bfloat16)
      sum_rows<BFloat16>(static_cast<const uint16_t*>(rows), lookup, num_rows, columns, sums,
                         begin * LANES, end * LANES);
    else
      sum_rows<Float32>(static_cast<const float*>(rows), lookup, num_rows, columns, sums,
                        begin * LANES, end * LANES);
  });
}

#define CELL(name, Cell)                                              \
  void charlm_##name(const Call* call, int bfloat16, int backward) {  \
    if (bfloat16) run<Cell, BFloat16>(*call, backward);               \
    else run<Cell, Float32>(*call, backward);                         \
  }
CELL(lstm, LSTM)
CELL(gru, GRU)
CELL(rnn_tanh, RNN<false>)
CELL(rnn_relu, RNN<true>)

void charlm_generate(const Generator* generator, int64_t steps, const double* uniforms,
                     int64_t* drawn) {
  generate(*generator, steps, uniforms, drawn);
}

// `letters` (vocabulary,) are for contexts of words and of the line above; without these, null.
void* charlm_ngrams(int64_t order, int64_t vocabulary, int64_t boundary, const int64_t* letters,
                    int has_words, int has_lines, int has_matches) {
  return new NGrams(order, vocabulary, boundary, letters, has_words, has_lines, has_matches);
}
void charlm_forget_ngrams(void* ngrams) { delete static_cast<NGrams*>(ngrams); }

// Counts ids[window] and all after it; `window` ids before it are context. Returns the number of
// followers that all counts together have examined, or -1 if there is not enough memory.
int64_t charlm_count(void* ngrams, const int64_t* ids, int64_t size, int64_t threads) {
  auto& counted = *static_cast<NGrams*>(ngrams);
  try {
    counted.count_all(ids, size, threads);
  } catch (const std::bad_alloc&) {  // through C, an exception would end the process
    return -1;
  }
  return counted.looks();
}

// Returns -1 if there is not enough memory, else 0.
int64_t charlm_mix(void* ngrams, const Mixture* pass) {
  try {
    mix(*static_cast<NGrams*>(ngrams), *pass);
  } catch (const std::bad_alloc&) {
    return -1;
  }
  return 0;
}

void charlm_read_integers(const IntegerNetwork* network, const int64_t* symbols, int64_t count,
                          int64_t* begins, int64_t* sizes, int64_t* frequencies) {
  read_intervals(*network, symbols, count, begins, sizes, frequencies);
}

// Returns the number of decoded symbols, which is less than `count` for damaged data.
int64_t charlm_decode_integers(const IntegerNetwork* network, RangeDecoder* decoder,
                               const uint32_t* alphabet, int64_t unknown, uint32_t* decoded,
                               int64_t count, int64_t* frequencies) {
  return decode_symbols(*network, *decoder, alphabet, unknown, decoded, count, frequencies);
}
}
