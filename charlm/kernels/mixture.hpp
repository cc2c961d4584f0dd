// Mixes the predictions of networks with those of n-gram counts.
//
// The features of a place are the log-probabilities of the members, that of the empty context, the
// changes of the log-probability from each length of context to the next, those from the longest
// length to each context of words and of the line above, and 1 for the symbol that followed the match.
// The mixture is the softmax of their weighted sum. Its weights are the sum of one row of each set of
// rows (see `Rows`). The softmax cancels a constant added to a feature, so members may also give their
// logits.
#pragma once

#include "ngrams.hpp"

// One pass over a text.
struct Mixture {
  const int64_t* ids;      // `window` ids before the first prediction, then the text
  int64_t steps, num_members;
  const float* members;    // (steps, members, vocabulary): log-probabilities
  double* weights;         // (rows, members + features)
  double rate;             // learning rate of the weights; 0: they do not change
  int64_t counts;          // whether the text is counted
  float* mixed;            // (steps, vocabulary): log-probabilities
};

namespace {

// Mixes one place after another; each thread has its own mixer. Only the lifts of the changes from
// one length to the next are stored.
class Mixer {
 public:
  Mixer(const NGrams& ngrams, int64_t num_members)
      : ngrams_(ngrams), V(ngrams.vocabulary), M(num_members), N(ngrams.features),
        from_nothing_(V), sums_(V), weights_(M + N), gradient_(M + N), lifts_(N),
        scratch_(ngrams.keys, ngrams.contexts, V) {
    update();
  }

  // Reads the values that depend on all counts; call it when they have changed.
  void update() { ngrams_.predict_from_nothing(from_nothing_.data()); }

  // Writes the log-probabilities of all symbols after the context that ends at `next`. `members` are
  // rows of log-probabilities or logits.
  void mix(const int64_t* next, const float* const* members, const double* all_weights,
           float* mixed) {
    rows_ = ngrams_.predict(next, from_nothing_.data(), lifts_.data(), scratch_);
    std::fill(weights_.begin(), weights_.end(), 0);
    for (int64_t row = 0; row < rows_.size; ++row)
      for (int64_t i = 0; i < M + N; ++i)
        weights_[i] += all_weights[rows_.numbers[row] * (M + N) + i];
    for (int64_t s = 0; s < V; ++s) sums_[s] = weights_[M] * from_nothing_[s];
    for (int64_t m = 0; m < M; ++m)
      for (int64_t s = 0; s < V; ++s) sums_[s] += weights_[m] * members[m][s];
    for (int64_t length = 1; length < N; ++length)
      for (const Lift& lift : lifts_[length]) sums_[lift.symbol] += weights_[M + length] * lift.log;
    double highest = -INFINITY;
    for (int64_t s = 0; s < V; ++s) highest = std::max(highest, sums_[s]);
    for (int64_t s = 0; s < V; ++s) mixed[s] = sums_[s] - highest;
    total_ = 0;
    for (int64_t s = 0; s < V; ++s) total_ += sums_[s] = std::exp(sums_[s] - highest);
    const float normalizer = std::log(total_);
    for (int64_t s = 0; s < V; ++s) mixed[s] -= normalizer;
  }

  // Takes a gradient step of the weights of the last `mix`: observed minus expected feature. A step
  // is shortened if it would raise the sum of `symbol`, relative to the expected sum, by more than
  // `MOST_RAISED`.
  void learn(int64_t symbol, const float* const* members, double rate, double* weights) {
    double squares = 0;
    const auto step = [&](int64_t feature, double came, double expected) {
      gradient_[feature] = came - expected / total_;
      squares += gradient_[feature] * gradient_[feature];
    };
    const auto dense = [&](int64_t number, const auto* feature) {
      double expected = 0;
      for (int64_t s = 0; s < V; ++s) expected += sums_[s] * feature[s];
      step(number, feature[symbol], expected);
    };
    for (int64_t m = 0; m < M; ++m) dense(m, members[m]);
    dense(M, from_nothing_.data());
    for (int64_t length = 1; length < N; ++length) {
      double came = 0, expected = 0;
      for (const Lift& lift : lifts_[length]) {
        expected += sums_[lift.symbol] * lift.log;
        if (lift.symbol == symbol) came = lift.log;
      }
      step(M + length, came, expected);
    }
    const double raised = rate * rows_.size * squares, factor = rate / std::max(1.0, raised / MOST_RAISED);
    for (int64_t row = 0; row < rows_.size; ++row)
      for (int64_t i = 0; i < M + N; ++i)
        weights[rows_.numbers[row] * (M + N) + i] += factor * gradient_[i];
  }

 private:
  static constexpr double MOST_RAISED = 5;  // in nats

  const NGrams& ngrams_;
  const int64_t V, M, N;  // symbols, members, features of the counts
  std::vector<double> from_nothing_, sums_, weights_, gradient_;
  std::vector<std::vector<Lift>> lifts_;  // by the length of the context, of words, of the match
  Rows rows_;
  Scratch scratch_;
  double total_ = 0;  // `sums_` divided by it are the probabilities
};

void mix(NGrams& ngrams, const Mixture& pass) {
  Mixer mixer(ngrams, pass.num_members);
  std::vector<const float*> members(pass.num_members);
  for (int64_t t = 0; t < pass.steps; ++t) {
    const int64_t* next = pass.ids + ngrams.window + t;
    for (int64_t m = 0; m < pass.num_members; ++m)
      members[m] = pass.members + (t * pass.num_members + m) * ngrams.vocabulary;
    if (pass.counts && t == 0) ngrams.begin(next);
    mixer.mix(next, members.data(), pass.weights, pass.mixed + t * ngrams.vocabulary);
    if (pass.rate > 0) mixer.learn(*next, members.data(), pass.rate, pass.weights);
    if (pass.counts) {
      ngrams.count(next, *next);
      mixer.update();
    }
  }
}

}  // namespace
