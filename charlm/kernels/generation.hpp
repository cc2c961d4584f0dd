// A model that writes: draw a character, read it, and so on, with no way back to Python between.
#pragma once

#include <cmath>
#include <vector>

#include "recurrence.hpp"

// A model of `layers` cells of the same kind, in the state that its last character has left.
struct Writer {
  int64_t kind;           // of the cells: 0 LSTM, 1 GRU, 2 tanh RNN, 3 ReLU RNN
  int64_t bfloat16;       // whether operands of products are
  int64_t num_layers, samples, vocabulary, threads;
  const Call* layers;     // one step each; the first looks up `ids`, the others read from below
  int64_t* ids;           // (samples,): what the first layer reads
  const void* W_hq;       // packed
  const float* b_q;
  float* logits;          // (samples, vocabulary): of the next character
  double temperature;     // 0: the likeliest
  int64_t top_k;          // 0: all
  double top_p, min_p;
  int64_t forbidden;      // never drawn; -1: none
};

namespace {

// Drawn where the logits give no distribution: one is not a number, or the highest is not finite.
constexpr int64_t NOT_FINITE = -1;

// Draws from one row of logits as `generator.choose` does: by the number in [0, 1) that is given.
struct Sampler {
  explicit Sampler(const Writer& writer) : writer(writer), weights(writer.vocabulary) {}

  int64_t draw(float* logits, double uniform) {
    const int64_t size = writer.vocabulary;
    if (writer.forbidden >= 0) logits[writer.forbidden] = -INFINITY;
    const auto likeliest = std::max_element(logits, logits + size);
    const bool has_nan = std::any_of(logits, logits + size, [](float x) { return x != x; });
    if (has_nan || std::abs(*likeliest) == INFINITY) return NOT_FINITE;
    if (writer.temperature == 0) return likeliest - logits;
    weigh(logits, *likeliest);
    if (writer.top_k > 0 && writer.top_k < size) keep_top_k();
    if (writer.top_p < 1) keep_top_p();
    if (writer.min_p > 0)
      for (double& weight : weights) weight = weight < writer.min_p ? 0 : weight;  // of 1 at most
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
    const double scale = 1 / std::max(writer.temperature, 1e-30);
    for (int64_t i = 0; i < writer.vocabulary; i += LANES) {
      const int64_t count = std::min<int64_t>(LANES, writer.vocabulary - i);
      vec x = {};
      for (int64_t lane = 0; lane < count; ++lane) x[lane] = (logits[i + lane] - highest) * scale;
      const vec weight = exp(x);
      for (int64_t lane = 0; lane < count; ++lane) {
        weights[i + lane] = x[lane] == -INFINITY ? 0 : weight[lane];
      }
    }
    if (writer.forbidden >= 0) weights[writer.forbidden] = 0;
  }

  void keep_top_k() {
    sorted = weights;
    const auto kth = sorted.begin() + (writer.top_k - 1);
    std::nth_element(sorted.begin(), kth, sorted.end(), std::greater<double>());
    for (double& weight : weights) weight = weight < *kth ? 0 : weight;
  }

  void keep_top_p() {  // from the likeliest down, until together they have the probability
    double total = 0, likelier = 0;
    order.clear();
    for (int64_t i = 0; i < writer.vocabulary; ++i) {
      total += weights[i];
      if (weights[i] > 0) order.push_back(i);
    }
    const auto less_likely = [this](int64_t a, int64_t b) { return weights[a] < weights[b]; };
    std::make_heap(order.begin(), order.end(), less_likely);
    auto end = order.end();
    for (; end != order.begin() && likelier < writer.top_p * total; --end) {
      likelier += weights[order.front()];
      std::pop_heap(order.begin(), end, less_likely);
    }
    for (auto i = order.begin(); i != end; ++i) weights[*i] = 0;
  }

  const Writer& writer;
  std::vector<double> weights, sorted;
  std::vector<int64_t> order;
};

template <class Cell, class Product>
void read_character(const Writer& writer, int64_t begin, int64_t end) {
  const int64_t size = writer.layers[0].hidden, batch = writer.samples;
  for (int64_t layer = 0; layer < writer.num_layers; ++layer) {
    const Call& call = writer.layers[layer];
    const int64_t width = call.inputs + size;
    auto* operands = static_cast<typename Product::type*>(call.operands);
    if (layer > 0)
      for (int64_t b = begin; b < end; ++b) {
        const float* below = writer.layers[layer - 1].outputs + b * size;
        for (int64_t i = 0; i < size; i += LANES) Product::put(operands + b * width + i, load(below + i));
      }
    forward_columns<Cell, Product>(call, begin, end);
    for (int64_t b = begin; b < end; ++b) {  // what this step has left, the next begins with
      const auto* next = operands + (batch + b) * width + call.inputs;
      std::copy_n(next, size, operands + b * width + call.inputs);
      std::copy_n(call.outputs + b * size, size, const_cast<float*>(call.first_hidden) + b * size);
      if (call.memory)
        std::copy_n(call.memory + (batch + b) * size, size, call.memory + b * size);
    }
  }
  for (int64_t b = begin; b < end; ++b)
    std::copy_n(writer.b_q, writer.vocabulary, writer.logits + b * writer.vocabulary);
  const Call& top = writer.layers[writer.num_layers - 1];
  add_product<Product>(static_cast<const typename Product::type*>(top.operands) + top.inputs,
                       top.inputs + size, size,
                       static_cast<const typename Product::type*>(writer.W_hq), writer.logits,
                       writer.vocabulary, begin, end);
}

template <class Cell>
void read_character(const Writer& writer, int64_t begin, int64_t end) {
  if (writer.bfloat16) read_character<Cell, BFloat16>(writer, begin, end);
  else read_character<Cell, Float32>(writer, begin, end);
}

// Draws `steps` characters of every sample, each thread those of its own samples. Where one of a
// thread's samples has no distribution left, the rest of its places are NOT_FINITE.
void write(const Writer& writer, int64_t steps, const double* uniforms, int64_t* drawn) {
  share_out(writer.samples, writer.threads, [&](int64_t begin, int64_t end) {
    Sampler sampler(writer);
    bool is_finite = true;
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t place = step * writer.samples + b;
        float* logits = writer.logits + b * writer.vocabulary;
        drawn[place] = is_finite ? sampler.draw(logits, uniforms[place]) : NOT_FINITE;
        is_finite = is_finite && drawn[place] != NOT_FINITE;
        writer.ids[b] = drawn[place];
      }
      if (!is_finite) continue;
      switch (writer.kind) {
        case 0: read_character<LSTM>(writer, begin, end); break;
        case 1: read_character<GRU>(writer, begin, end); break;
        case 2: read_character<RNN<false>>(writer, begin, end); break;
        default: read_character<RNN<true>>(writer, begin, end);
      }
    }
  });
}

}  // namespace
