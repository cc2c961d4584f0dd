// Chooses a character from logits: greedily, or at random after temperature and filters.
#pragma once

#include <cmath>
#include <vector>

#include "products.hpp"

// How characters are chosen.
struct Sampling {
  double temperature;  // 0: choose the likeliest
  int64_t top_k;       // 0: all
  double top_p, min_p;
  int64_t forbidden;   // an id that is never chosen; -1: none
};

namespace {

// Result if the logits define no distribution: one is NaN, or the highest is infinite.
constexpr int64_t NOT_FINITE = -1;

// Chooses an id from one row of logits by a number in [0, 1), as `next_character.choose` does.
struct Sampler {
  Sampler(const Sampling& sampling, int64_t vocabulary) : sampling(sampling), weights(vocabulary) {}

  int64_t draw(float* logits, double uniform) {
    const int64_t size = weights.size();
    if (sampling.forbidden >= 0) logits[sampling.forbidden] = -INFINITY;
    const auto likeliest = std::max_element(logits, logits + size);
    const bool has_nan = std::any_of(logits, logits + size, [](float x) { return x != x; });
    if (has_nan || std::abs(*likeliest) == INFINITY) return NOT_FINITE;
    if (sampling.temperature == 0) return likeliest - logits;
    weigh(logits, *likeliest);
    if (sampling.top_k > 0 && sampling.top_k < size) keep_top_k();
    if (sampling.top_p < 1) keep_top_p();
    if (sampling.min_p > 0)
      for (double& weight : weights) {  // the largest is 1
        weight = weight < sampling.min_p ? 0 : weight;
      }
    double total = 0, passed = 0;
    for (const double weight : weights) total += weight;
    int64_t last = 0;
    for (int64_t i = 0; i < size; ++i) {
      if (weights[i] == 0) continue;
      last = i;
      if ((passed += weights[i]) > uniform * total) break;
    }
    return last;
  }

 private:
  void weigh(const float* logits, double highest) {
    const double scale = 1 / std::max(sampling.temperature, 1e-30);
    const int64_t size = weights.size();
    for (int64_t i = 0; i < size; i += LANES) {
      const int64_t count = std::min<int64_t>(LANES, size - i);
      vec x = {};
      for (int64_t lane = 0; lane < count; ++lane) x[lane] = (logits[i + lane] - highest) * scale;
      const vec weight = exp(x);
      for (int64_t lane = 0; lane < count; ++lane) {
        weights[i + lane] = x[lane] == -INFINITY ? 0 : weight[lane];
      }
    }
    if (sampling.forbidden >= 0) weights[sampling.forbidden] = 0;
  }

  void keep_top_k() {
    sorted = weights;
    const auto kth = sorted.begin() + (sampling.top_k - 1);
    std::nth_element(sorted.begin(), kth, sorted.end(), std::greater<double>());
    for (double& weight : weights) weight = weight < *kth ? 0 : weight;
  }

  void keep_top_p() {  // keeps the likeliest ones that together have the probability
    double total = 0, likelier = 0;
    order.clear();
    for (int64_t i = 0; i < (int64_t)weights.size(); ++i) {
      total += weights[i];
      if (weights[i] > 0) order.push_back(i);
    }
    const auto less_likely = [this](int64_t a, int64_t b) { return weights[a] < weights[b]; };
    std::make_heap(order.begin(), order.end(), less_likely);
    auto end = order.end();
    for (; end != order.begin() && likelier < sampling.top_p * total; --end) {
      likelier += weights[order.front()];
      std::pop_heap(order.begin(), end, less_likely);
    }
    for (auto i = order.begin(); i != end; ++i) weights[*i] = 0;
  }

  const Sampling& sampling;
  std::vector<double> weights, sorted;
  std::vector<int64_t> order;
};

}  // namespace
