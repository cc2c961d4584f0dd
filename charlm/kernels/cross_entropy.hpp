// The softmax layer and its loss, for a few places at a time, so that no logits are kept.
#pragma once

#include <cmath>
#include <vector>

#include "products.hpp"

namespace {

// Computes for each place from begin to end its nats, −ln p(target), and p − [target], the gradient
// of the nats by the logits `rows · W + bias`. If `shares` is not null, the target is a distribution,
// and the nats are the mean over it. `columns` is a multiple of the lanes; columns beyond the
// vocabulary have a bias that gives them no probability, and no share.
template <class Product>
void cross_entropy(const typename Product::type* rows, int64_t size,
                   const typename Product::type* weights, const float* bias, int64_t columns,
                   const int64_t* targets, const float* shares, float* nats,
                   typename Product::type* gradients, int64_t begin, int64_t end) {
  std::vector<float> logits(TILE * columns);
  for (int64_t tile = begin; tile < end; tile += TILE) {
    const int64_t count = std::min<int64_t>(TILE, end - tile);
    add_product<Product, false>(rows + tile * size, size, size, weights, logits.data(), columns, 0,
                                count);
    for (int64_t place = tile; place < tile + count; ++place) {
      float* row = logits.data() + (place - tile) * columns;
      const float* wanted = shares ? shares + place * columns : nullptr;
      vec highest = vec{} - INFINITY, sums = {}, products = {};
      for (int64_t i = 0; i < columns; i += LANES) {
        const vec x = load(row + i) + load(bias + i);
        store(row + i, x);
        highest = x > highest ? x : highest;
        if (wanted) products += load(wanted + i) * x;
      }
      float top = highest[0], total = 0, aimed_at = 0;
      for (int lane = 1; lane < LANES; ++lane) top = std::max(top, highest[lane]);
      for (int lane = 0; lane < LANES; ++lane) aimed_at += products[lane];
      if (!wanted) aimed_at = row[targets[place]];
      for (int64_t i = 0; i < columns; i += LANES) {
        const vec e = exp(load(row + i) - top);
        store(row + i, e);
        sums += e;
      }
      for (int lane = 0; lane < LANES; ++lane) total += sums[lane];
      nats[place] = std::log(total) - (aimed_at - top);
      const float scale = 1 / total;
      if (!wanted) row[targets[place]] -= total;
      auto* gradient = gradients + place * columns;
      for (int64_t i = 0; i < columns; i += LANES) {
        const vec p = load(row + i) * scale;
        Product::put(gradient + i, wanted ? p - load(wanted + i) : p);
      }
    }
  }
}

}  // namespace
