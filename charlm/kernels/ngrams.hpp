// Counts of what followed which characters, and their predictions mixed with those of networks.
//
// The same as `charlm/ngrams.py` says in Python, with the counts in two arrays.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// A character that has followed a context, and the next one in the context's list.
struct Follower {
  int32_t symbol;
  uint32_t count;
  int64_t next;
};

struct Context {
  uint64_t key = 0;     // of its characters; 0: a free place
  int64_t first = -1;   // follower
  uint32_t total = 0;   // of its followers' counts
  uint32_t seen[3] = {};  // followers counted once, twice, more often
};

constexpr double DISCOUNTS[3] = {0.9, 1.2, 1.4};

class NGrams {
 public:
  NGrams(int64_t order, int64_t vocabulary) : order(order), vocabulary(vocabulary), places_(1 << 12) {}

  const int64_t order, vocabulary;

  // `ids` points behind the context: ids[-1] is its last character; -1 is before the text.
  void count(const int64_t* ids, int64_t symbol) {
    for (int64_t length = order; length >= 0; --length) {
      if (length && ids[-length] < 0) continue;
      if ((used_ + 1) * 2 > (int64_t)places_.size()) grow();
      Context& context = places_[find(key_of(ids, length))];
      if (!context.key) context.key = key_of(ids, length), ++used_;
      ++context.total;
      Follower* known = find_follower(context, symbol);
      if (known) {  // a shorter context has counted it, too
        if (known->count < 3) --context.seen[known->count - 1], ++context.seen[known->count];
        ++known->count;
        return;
      }
      ++context.seen[0];
      followers_.push_back({(int32_t)symbol, 1, context.first});
      context.first = (int64_t)followers_.size() - 1;
    }
  }

  // Writes the distribution that contexts of each length, 0 to `order`, give, one after another;
  // a context that was never seen gives the shorter one's. Returns the longest length seen.
  int64_t predict(const int64_t* ids, float* probabilities) const {
    int64_t longest = 0;
    for (int64_t length = 0; length <= order; ++length) {
      float* to = probabilities + length * vocabulary;
      const float* shorter = to - vocabulary;
      const bool exists = !length || ids[-length] >= 0;
      const Context context = exists ? places_[find(key_of(ids, length))] : Context{};
      double kept = 0;
      for (int i = 0; i < 3; ++i) kept += DISCOUNTS[i] * context.seen[i];
      const double total = context.total, backoff = context.total ? kept / total : 1;
      for (int64_t s = 0; s < vocabulary; ++s)
        to[s] = backoff * (length ? shorter[s] : 1.0 / vocabulary);
      for (int64_t i = context.first; i >= 0; i = followers_[i].next) {
        const Follower& follower = followers_[i];
        to[follower.symbol] +=
            (follower.count - DISCOUNTS[std::min(follower.count, 3u) - 1]) / total;
      }
      if (context.total) longest = length;
    }
    return longest;
  }

 private:
  static uint64_t key_of(const int64_t* ids, int64_t length) {
    uint64_t key = 0x9e3779b97f4a7c15u * (length + 1);
    for (int64_t i = 1; i <= length; ++i) {
      key = (key ^ (uint64_t)(ids[-i] + 1)) * 0xbf58476d1ce4e5b9u;
      key ^= key >> 29;
    }
    return key | 1;
  }

  int64_t find(uint64_t key) const {
    const int64_t mask = places_.size() - 1;
    int64_t place = (key >> 1) & mask;
    while (places_[place].key && places_[place].key != key) place = (place + 1) & mask;
    return place;
  }

  Follower* find_follower(const Context& context, int64_t symbol) {
    for (int64_t i = context.first; i >= 0; i = followers_[i].next)
      if (followers_[i].symbol == symbol) return &followers_[i];
    return nullptr;
  }

  void grow() {
    std::vector<Context> old(2 * places_.size());
    old.swap(places_);
    for (const Context& context : old)
      if (context.key) places_[find(context.key)] = context;
  }

  std::vector<Context> places_;
  std::vector<Follower> followers_;
  int64_t used_ = 0;
};

// One pass over a text. `features` are, for every place, the log-probabilities of the members, and
// how much the log-probability changes from each length of context to the next; the mixture is the
// softmax of their sum under `weights`, of which each longest length seen has its own.
struct Mixture {
  const int64_t* ids;      // `order` ids before the first prediction, then what came
  int64_t steps, num_members;
  const float* members;    // (steps, members, vocabulary): log-probabilities
  double* weights;         // (order + 1, members + order + 1)
  double rate;             // of learning the weights from what came; 0: they stay
  int64_t counts;          // whether what came is counted
  float* mixed;            // (steps, vocabulary): log-probabilities
};

void mix(NGrams& ngrams, const Mixture& pass) {
  const int64_t V = ngrams.vocabulary, M = pass.num_members, N = ngrams.order + 1;
  std::vector<float> probabilities(N * V), features((M + N) * V);
  std::vector<double> sums(V);
  for (int64_t t = 0; t < pass.steps; ++t) {
    const int64_t* next = pass.ids + ngrams.order + t;
    const int64_t longest = ngrams.predict(next, probabilities.data());
    std::copy_n(pass.members + t * M * V, M * V, features.begin());
    float* change = features.data() + M * V;
    for (int64_t i = 0; i < N * V; ++i) change[i] = std::log(probabilities[i]);
    for (int64_t i = N * V - 1; i >= V; --i) change[i] -= change[i - V];

    double* weights = pass.weights + longest * (M + N);
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t f = 0; f < M + N; ++f)
      for (int64_t s = 0; s < V; ++s) sums[s] += weights[f] * features[f * V + s];
    double highest = -INFINITY, total = 0;
    for (int64_t s = 0; s < V; ++s) highest = std::max(highest, sums[s]);
    for (int64_t s = 0; s < V; ++s) total += std::exp(sums[s] - highest);
    const double normalizer = highest + std::log(total);
    float* mixed = pass.mixed + t * V;
    for (int64_t s = 0; s < V; ++s) mixed[s] = sums[s] - normalizer;

    if (pass.rate > 0)
      for (int64_t f = 0; f < M + N; ++f) {
        double expected = 0;
        for (int64_t s = 0; s < V; ++s) expected += std::exp(mixed[s]) * features[f * V + s];
        weights[f] += pass.rate * (features[f * V + *next] - expected);
      }
    if (pass.counts) ngrams.count(next, *next);
  }
}

}  // namespace
