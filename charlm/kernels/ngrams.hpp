// Counts the followers of contexts, and mixes their predictions with those of networks.
//
// It computes the same as `charlm/models/ngrams.py`, with the contexts in a hash table and their
// followers in one array.
#pragma once

#include <cmath>

#include "followers.hpp"

namespace {

constexpr double DISCOUNTS[3] = {0.9, 1.2, 1.4};

// The logarithm of the factor by which a context raises the probability of a follower.
struct Lift {
  int64_t symbol;
  double log;
};

// Memory for a prediction; each caller has its own, since several may read the counts at once.
struct Scratch {
  explicit Scratch(int64_t vocabulary) : shares(vocabulary) {}

  std::vector<double> shares;  // zero between predictions
  std::vector<int64_t> touched;
};

class NGrams {
 public:
  NGrams(int64_t order, int64_t vocabulary)
      : order(order), vocabulary(vocabulary), places_(1 << 12) {}

  const int64_t order, vocabulary;

  // `ids` points to the end of the context: ids[-1] is its last character; -1 is before the text.
  void count(const int64_t* ids, int64_t symbol) {
    for (int64_t length = order; length >= 0; --length) {
      if (length && ids[-length] < 0) continue;
      if ((used_ + 1) * 4 > (int64_t)places_.size() * 3) grow();
      Context& context = places_[find(key_of(ids, length))];
      if (!context.key) context.key = key_of(ids, length), ++used_;
      ++context.total;
      Follower* known = followers_.find(context, symbol);
      if (known) {  // a shorter context has counted it, too
        if (known->count < 3) --context.seen[known->count - 1], ++context.seen[known->count];
        ++known->count;
        return;
      }
      followers_.add(context, symbol);
      ++context.seen[0];
    }
  }

  // Writes the log-probabilities of all symbols in the empty context. The discounts of its counts go
  // to the symbols that were never counted, or to all symbols if there are none.
  void predict_from_nothing(double* logs) const {
    const Context context = places_[find(key_of(nullptr, 0))];
    const int64_t num_seen = context.size();
    const double total = context.total, kept = total ? taken_off(context) / total : 1;
    const bool to_all = num_seen == 0 || num_seen == vocabulary;
    std::fill(logs, logs + vocabulary, kept / (to_all ? vocabulary : vocabulary - num_seen));
    for (int64_t i = 0; i < num_seen; ++i) {
      const Follower& follower = followers_.of(context)[i];
      logs[follower.symbol] = left_of(follower) / total + (to_all ? kept / vocabulary : 0);
    }
    for (int64_t s = 0; s < vocabulary; ++s) logs[s] = std::log(logs[s]);
  }

  // Writes for each length from 1 on the lifts of the followers of the context. All other symbols
  // become less likely by the same factor, which cancels in a normalised mixture. Returns the
  // longest length that was counted.
  int64_t predict(const int64_t* ids, const double* from_nothing, std::vector<Lift>* lifts,
                  Scratch& scratch) const {
    int64_t longest = 0;
    double others = 1;  // the product of those factors
    for (int64_t length = 1; length <= order; ++length) {
      lifts[length].clear();
      if (ids[-length] < 0) continue;
      const Context& context = places_[find(key_of(ids, length))];
      if (!context.total) continue;
      longest = length;
      others *= taken_off(context) / context.total;
      for (int64_t i = context.size() - 1; i >= 0; --i) {
        const Follower& follower = followers_.of(context)[i];
        double& share = scratch.shares[follower.symbol];  // its probability by `others`
        if (share == 0) {
          share = std::exp(from_nothing[follower.symbol]);
          scratch.touched.push_back(follower.symbol);
        }
        const double before = share;
        share += left_of(follower) / context.total / others;
        lifts[length].push_back({follower.symbol, std::log(share / before)});
      }
    }
    for (int64_t symbol : scratch.touched) scratch.shares[symbol] = 0;
    scratch.touched.clear();
    return longest;
  }

  int64_t looks() const { return followers_.looks; }

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

  static double taken_off(const Context& context) {
    double sum = 0;
    for (int i = 0; i < 3; ++i) sum += DISCOUNTS[i] * context.seen[i];
    return sum;
  }

  static double left_of(const Follower& follower) {
    return follower.count - DISCOUNTS[std::min(follower.count, 3u) - 1];
  }

  void grow() {
    std::vector<Context> old(2 * places_.size());
    old.swap(places_);
    for (const Context& context : old)
      if (context.key) places_[find(context.key)] = context;
  }

  std::vector<Context> places_;
  Followers followers_;
  int64_t used_ = 0;
};

// One pass over a text. The features of a place are the log-probabilities of the members, that of the
// empty context, and the changes of the log-probability from each length of context to the next. The
// mixture is the softmax of their weighted sum; each longest length that was counted has its own
// weights. Only the lifts of the changes are stored.
struct Mixture {
  const int64_t* ids;      // `order` ids before the first prediction, then the text
  int64_t steps, num_members;
  const float* members;    // (steps, members, vocabulary): log-probabilities
  double* weights;         // (order + 1, members + order + 1)
  double rate;             // learning rate of the weights; 0: they do not change
  int64_t counts;          // whether the text is counted
  float* mixed;            // (steps, vocabulary): log-probabilities
};

void mix(NGrams& ngrams, const Mixture& pass) {
  const int64_t V = ngrams.vocabulary, M = pass.num_members, N = ngrams.order + 1;
  std::vector<double> from_nothing(V), sums(V);
  std::vector<std::vector<Lift>> lifts(N);
  Scratch scratch(V);
  ngrams.predict_from_nothing(from_nothing.data());
  for (int64_t t = 0; t < pass.steps; ++t) {
    const int64_t* next = pass.ids + ngrams.order + t;
    const int64_t longest = ngrams.predict(next, from_nothing.data(), lifts.data(), scratch);
    const float* members = pass.members + t * M * V;
    double* weights = pass.weights + longest * (M + N);

    for (int64_t s = 0; s < V; ++s) sums[s] = weights[M] * from_nothing[s];
    for (int64_t m = 0; m < M; ++m)
      for (int64_t s = 0; s < V; ++s) sums[s] += weights[m] * members[m * V + s];
    for (int64_t length = 1; length < N; ++length)
      for (const Lift& lift : lifts[length]) sums[lift.symbol] += weights[M + length] * lift.log;
    double highest = -INFINITY, total = 0;
    for (int64_t s = 0; s < V; ++s) highest = std::max(highest, sums[s]);
    float* mixed = pass.mixed + t * V;
    for (int64_t s = 0; s < V; ++s) mixed[s] = sums[s] - highest;
    for (int64_t s = 0; s < V; ++s) total += sums[s] = std::exp(sums[s] - highest);
    const float normalizer = std::log(total);
    for (int64_t s = 0; s < V; ++s) mixed[s] -= normalizer;

    if (pass.rate > 0) {  // the gradient: the observed feature less the expected one
      const auto learn = [&](double& weight, double came, double expected) {
        weight += pass.rate * (came - expected / total);
      };
      const auto dense = [&](double& weight, const auto* feature) {
        double expected = 0;
        for (int64_t s = 0; s < V; ++s) expected += sums[s] * feature[s];
        learn(weight, feature[*next], expected);
      };
      for (int64_t m = 0; m < M; ++m) dense(weights[m], members + m * V);
      dense(weights[M], from_nothing.data());
      for (int64_t length = 1; length < N; ++length) {
        double came = 0, expected = 0;
        for (const Lift& lift : lifts[length]) {
          expected += sums[lift.symbol] * lift.log;
          if (lift.symbol == *next) came = lift.log;
        }
        learn(weights[M + length], came, expected);
      }
    }
    if (pass.counts) {
      ngrams.count(next, *next);
      ngrams.predict_from_nothing(from_nothing.data());
    }
  }
}

}  // namespace
