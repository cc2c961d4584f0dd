// Generates text: chooses a character, reads it, and repeats, without returning to Python.
#pragma once

#include <optional>

#include "mixture.hpp"
#include "recurrence.hpp"
#include "sampling.hpp"

// A network with layers of one cell, and the state of its samples after their last characters.
struct Network {
  int64_t kind;           // the cell: 0 LSTM, 1 GRU, 2 tanh RNN, 3 ReLU RNN
  int64_t num_layers;
  int64_t boundary;       // the id at which the network forgets all before it; -1: none
  const Call* layers;     // one step each; the lowest reads the ids, the others read outputs
  const float* W_hq;      // packed
  const float* b_q;
  float* logits;          // (samples, vocabulary): logits of the next character
};

// One network; or a mixture of networks and counts, if there are counts.
struct Generator {
  int64_t num_networks, samples, vocabulary, threads;
  const Network* networks;
  int64_t* ids;           // (samples,): input of the lowest layers
  float* logits;          // (samples, vocabulary): logits to choose from
  const void* ngrams;     // the counts, or null
  const double* weights;  // of the mixture, as in `Mixture`
  int64_t* history;       // (samples, window): the last ids; -1 is before the text
  Sampling sampling;
};

namespace {

// Reads the last ids of samples begin to end: advances the layers by a step and writes the logits.
template <class Cell>
void read_character(const Network& network, const Generator& generator, int64_t begin, int64_t end) {
  const int64_t size = network.layers[0].hidden, batch = generator.samples;
  const int64_t vocabulary = generator.vocabulary;
  for (int64_t layer = 0; layer < network.num_layers; ++layer) {
    const Call& call = network.layers[layer];
    const int64_t width = call.inputs + size;
    auto* operands = static_cast<float*>(call.operands);
    for (int64_t b = begin; b < end; ++b)
      if (generator.ids[b] == network.boundary) {
        std::fill_n(operands + b * width + call.inputs, size, 0.0f);
        std::fill_n(const_cast<float*>(call.first_hidden) + b * size, size, 0.0f);
        if (call.memory) std::fill_n(call.memory + b * size, size, 0.0f);
      }
    if (layer > 0)
      for (int64_t b = begin; b < end; ++b)
        std::copy_n(network.layers[layer - 1].outputs + b * size, size, operands + b * width);
    forward_columns<Cell, Float32>(call, 0, 1, begin, end);
    for (int64_t b = begin; b < end; ++b) {  // the state after this step starts the next one
      const float* next = operands + (batch + b) * width + call.inputs;
      std::copy_n(next, size, operands + b * width + call.inputs);
      std::copy_n(call.outputs + b * size, size, const_cast<float*>(call.first_hidden) + b * size);
      if (call.memory)
        std::copy_n(call.memory + (batch + b) * size, size, call.memory + b * size);
    }
  }
  for (int64_t b = begin; b < end; ++b)
    std::copy_n(network.b_q, vocabulary, network.logits + b * vocabulary);
  const Call& top = network.layers[network.num_layers - 1];
  add_product<Float32>(static_cast<const float*>(top.operands) + top.inputs, top.inputs + size,
                       size, network.W_hq, network.logits, vocabulary, begin, end);
}

void read_characters(const Generator& generator, int64_t begin, int64_t end) {
  for (int64_t n = 0; n < generator.num_networks; ++n) {
    const Network& network = generator.networks[n];
    switch (network.kind) {
      case 0: read_character<LSTM>(network, generator, begin, end); break;
      case 1: read_character<GRU>(network, generator, begin, end); break;
      case 2: read_character<RNN<false>>(network, generator, begin, end); break;
      default: read_character<RNN<true>>(network, generator, begin, end);
    }
  }
}

// Adds the last ids to the history of samples begin to end, and mixes the logits of their networks.
void mix_logits(const Generator& generator, int64_t window, Mixer& mixer, int64_t begin,
                int64_t end) {
  const int64_t V = generator.vocabulary;
  std::vector<const float*> rows(generator.num_networks);
  for (int64_t b = begin; b < end; ++b) {
    int64_t* history = generator.history + b * window;
    if (window > 0) {
      std::copy(history + 1, history + window, history);
      history[window - 1] = generator.ids[b];
    }
    for (size_t n = 0; n < rows.size(); ++n) rows[n] = generator.networks[n].logits + b * V;
    mixer.mix(history + window, rows.data(), generator.weights, generator.logits + b * V);
  }
}

// Samples of one chain: they choose and mix one after another.
struct Chooser {
  Sampler sampler;
  std::optional<Mixer> mixer;
  bool is_finite = true;
};

// Chooses `steps` characters of every sample; the threads share the samples. As soon as one sample
// of a chain has no distribution, all later ids of the chain are NOT_FINITE.
void generate(const Generator& generator, int64_t steps, const double* uniforms, int64_t* drawn) {
  const auto* ngrams = static_cast<const NGrams*>(generator.ngrams);
  const Chains samples(generator.samples, ROWS, generator.threads);
  std::vector<Chooser> choosers;
  choosers.reserve(samples.count);
  for (int64_t chain = 0; chain < samples.count; ++chain) {
    choosers.push_back({Sampler(generator.sampling, generator.vocabulary), std::nullopt});
    if (ngrams) choosers.back().mixer.emplace(*ngrams, generator.num_networks);
  }
  share_chains(samples.count, steps, generator.threads, [&] {
    return [&](int64_t chain, int64_t step) {
      auto& [sampler, mixer, is_finite] = choosers[chain];
      const int64_t begin = samples.begin(chain), end = samples.begin(chain + 1);
      for (int64_t b = begin; b < end; ++b) {
        const int64_t place = step * generator.samples + b;
        float* logits = generator.logits + b * generator.vocabulary;
        drawn[place] = is_finite ? sampler.draw(logits, uniforms[place]) : NOT_FINITE;
        is_finite = is_finite && drawn[place] != NOT_FINITE;
        generator.ids[b] = drawn[place];
      }
      if (!is_finite) return;
      read_characters(generator, begin, end);
      if (mixer) mix_logits(generator, ngrams->window, *mixer, begin, end);
    };
  });
}

}  // namespace
