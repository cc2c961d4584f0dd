// The functions that Python calls by ctypes.

#include "cross_entropy.hpp"
#include "generation.hpp"
#include "ngrams.hpp"

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
  share_out(num_rows, threads, [&](int64_t begin, int64_t end) {
    if (bfloat16)
      add_product<BFloat16, false>(static_cast<const uint16_t*>(rows), size, size,
                            static_cast<const uint16_t*>(weights), to, columns, begin, end);
    else
      add_product<Float32, false>(static_cast<const float*>(rows), size, size,
                           static_cast<const float*>(weights), to, columns, begin, end);
  });
}

// Computes nats (M,) and gradients (M, N) from rows (M, K), packed weights (K, N) and bias (N,) in
// bfloat16, for targets (M,), or for shares (M, N) if they are not null.
void charlm_cross_entropy(const uint16_t* rows, int64_t num_rows, int64_t size,
                          const uint16_t* weights, const float* bias, int64_t columns,
                          const int64_t* targets, const float* shares, float* nats,
                          uint16_t* gradients, int64_t threads) {
  share_out(num_rows, threads, [&](int64_t begin, int64_t end) {
    cross_entropy<BFloat16>(rows, size, weights, bias, columns, targets, shares, nats, gradients,
                            begin, end);
  });
}

// Adds each of the rows (M, N) to the row of sums (any, N) that `lookup` names.
void charlm_sum_rows(const void* rows, const int64_t* lookup, int64_t num_rows, int64_t columns,
                     float* sums, int bfloat16, int64_t threads) {
  share_out(columns / LANES, threads, [&](int64_t begin, int64_t end) {
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

void* charlm_ngrams(int64_t order, int64_t vocabulary) { return new NGrams(order, vocabulary); }
void charlm_forget_ngrams(void* ngrams) { delete static_cast<NGrams*>(ngrams); }

// Counts ids[order] and all after it; `order` ids before it are context. Returns the number of
// followers that all counts together have examined.
int64_t charlm_count(void* ngrams, const int64_t* ids, int64_t size) {
  auto& counted = *static_cast<NGrams*>(ngrams);
  for (int64_t i = counted.order; i < size; ++i) counted.count(ids + i, ids[i]);
  return counted.looks();
}

void charlm_mix(void* ngrams, const Mixture* pass) { mix(*static_cast<NGrams*>(ngrams), *pass); }
}
