// Generates text: chooses a character, reads it, and repeats, without returning to Python.
#pragma once

#include <cmath>
#include <vector>

#include "recurrence.hpp"

// A model with layers of one cell, and the state of its samples after their last characters.
struct Generator {
  int64_t kind;           // the cell: 0 LSTM, 1 GRU, 2 tanh RNN, 3 ReLU RNN
  int64_t num_layers, samples, vocabulary, threads;
  const Call* layers;     // one step each; the lowest reads `ids`, the others read outputs
  int64_t* ids;           // (samples,): input of the lowest layer
  const float* W_hq;      // packed
  const float* b_q;
  float* logits;          // (samples, vocabulary): logits of the next character
  double temperature;     // 0: choose the likeliest
  int64_t top_k;          // 0: all
  double top_p, min_p;
  int64_t forbidden;      // an id that is never chosen; -1: none
};

namespace {

// Result if the logits give no distribution: one is NaN, or the highest is infinite.
constexpr int64_t NOT_FINITE = -1;

// Chooses an id from one row of logits by a number in [0, 1), as `next_character.choose` does.
struct Sampler {
  explicit Sampler(const Generator& generator)
      : generator(generator), weights(generator.vocabulary) {}

  int64_t draw(float* logits, double uniform) {
    const int64_t size = generator.vocabulary;
    if (generator.forbidden >= 0) logits[generator.forbidden] = -INFINITY;
    const auto likeliest = std::max_element(logits, logits + size);
    const bool has_nan = std::any_of(logits, logits + size, [](float x) { return x != x; });
    if (has_nan || std::abs(*likeliest) == INFINITY) return NOT_FINITE;
    if (generator.temperature == 0) return likeliest - logits;
    weigh(logits, *likeliest);
    if (generator.top_k > 0 && generator.top_k < size) keep_top_k();
    if (generator.top_p < 1) keep_top_p();
    if (generator.min_p > 0)
      for (double& weight : weights) {  // the largest is 1
        weight = weight < generator.min_p ? 0 : weight;
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
    const double scale = 1 / std::max(generator.temperature, 1e-30);
    for (int64_t i = 0; i < generator.vocabulary; i += LANES) {
      const int64_t count = std::min<int64_t>(LANES, generator.vocabulary - i);
      vec x = {};
      for (int64_t lane = 0; lane < count; ++lane) x[lane] = (logits[i + lane] - highest) * scale;
      const vec weight = exp(x);
      for (int64_t lane = 0; lane < count; ++lane) {
        weights[i + lane] = x[lane] == -INFINITY ? 0 : weight[lane];
      }
    }
    if (generator.forbidden >= 0) weights[generator.forbidden] = 0;
  }

  void keep_top_k() {
    sorted = weights;
    const auto kth = sorted.begin() + (generator.top_k - 1);
    std::nth_element(sorted.begin(), kth, sorted.end(), std::greater<double>());
    for (double& weight : weights) weight = weight < *kth ? 0 : weight;
  }

  void keep_top_p() {  // the likeliest ones that together have the probability
    double total = 0, likelier = 0;
    order.clear();
    for (int64_t i = 0; i < generator.vocabulary; ++i) {
      total += weights[i];
      if (weights[i] > 0) order.push_back(i);
    }
    const auto less_likely = [this](int64_t a, int64_t b) { return weights[a] < weights[b]; };
    std::make_heap(order.begin(), order.end(), less_likely);
    auto end = order.end();
    for (; end != order.begin() && likelier < generator.top_p * total; --end) {
      likelier += weights[order.front()];
      std::pop_heap(order.begin(), end, less_likely);
    }
    for (auto i = order.begin(); i != end; ++i) weights[*i] = 0;
  }

  const Generator& generator;
  std::vector<double> weights, sorted;
  std::vector<int64_t> order;
};

// Reads the last ids of samples begin to end: advances the layers by a step and writes the logits.
template <class Cell>
void read_character(const Generator& generator, int64_t begin, int64_t end) {
  const int64_t size = generator.layers[0].hidden, batch = generator.samples;
  for (int64_t layer = 0; layer < generator.num_layers; ++layer) {
    const Call& call = generator.layers[layer];
    const int64_t width = call.inputs + size;
    auto* operands = static_cast<float*>(call.operands);
    if (layer > 0)
      for (int64_t b = begin; b < end; ++b)
        std::copy_n(generator.layers[layer - 1].outputs + b * size, size, operands + b * width);
    forward_columns<Cell, Float32>(call, begin, end);
    for (int64_t b = begin; b < end; ++b) {  // the state after this step starts the next one
      const float* next = operands + (batch + b) * width + call.inputs;
      std::copy_n(next, size, operands + b * width + call.inputs);
      std::copy_n(call.outputs + b * size, size, const_cast<float*>(call.first_hidden) + b * size);
      if (call.memory)
        std::copy_n(call.memory + (batch + b) * size, size, call.memory + b * size);
    }
  }
  for (int64_t b = begin; b < end; ++b)
    std::copy_n(generator.b_q, generator.vocabulary, generator.logits + b * generator.vocabulary);
  const Call& top = generator.layers[generator.num_layers - 1];
  add_product<Float32>(static_cast<const float*>(top.operands) + top.inputs, top.inputs + size,
                       size, generator.W_hq, generator.logits, generator.vocabulary, begin, end);
}

// Chooses `steps` characters of every sample; the threads share the samples. As soon as one sample
// of a thread has no distribution, all later ids of the thread are NOT_FINITE.
void generate(const Generator& generator, int64_t steps, const double* uniforms, int64_t* drawn) {
  share_out(generator.samples, generator.threads, [&](int64_t begin, int64_t end) {
    Sampler sampler(generator);
    bool is_finite = true;
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t place = step * generator.samples + b;
        float* logits = generator.logits + b * generator.vocabulary;
        drawn[place] = is_finite ? sampler.draw(logits, uniforms[place]) : NOT_FINITE;
        is_finite = is_finite && drawn[place] != NOT_FINITE;
        generator.ids[b] = drawn[place];
      }
      if (!is_finite) continue;
      switch (generator.kind) {
        case 0: read_character<LSTM>(generator, begin, end); break;
        case 1: read_character<GRU>(generator, begin, end); break;
        case 2: read_character<RNN<false>>(generator, begin, end); break;
        default: read_character<RNN<true>>(generator, begin, end);
      }
    }
  });
}

}  // namespace
