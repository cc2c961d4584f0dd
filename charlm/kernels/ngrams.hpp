// Counts the followers of contexts, and predicts the next character from the counts.
//
// `charlm/models/ngrams/` describes the model; here the contexts are in a hash table, and their
// followers in one array.
#pragma once

#include <cmath>
#include <new>
#include <optional>

#include "followers.hpp"
#include "matches.hpp"
#include "words.hpp"

namespace {

constexpr double DISCOUNTS[3] = {0.9, 1.2, 1.4};

// The logarithm of the factor by which a context raises the probability of a follower.
struct Lift {
  int64_t symbol;
  double log;
};

// The rows of weights of a place, one of each set: by the length of the longest counted context, by
// the number of counted contexts of words, by the length of the match.
struct Rows {
  int64_t size = 0, numbers[3] = {};

  void add(int64_t number) { numbers[size++] = number; }
};

// Memory for a prediction; each caller has its own, since several may read the counts at once.
struct Scratch {
  Scratch(int64_t keys, int64_t contexts, int64_t vocabulary)
      : shares(vocabulary), keys(keys), contexts(contexts) {}

  std::vector<double> shares;  // zero between predictions
  std::vector<int64_t> touched;
  std::vector<uint64_t> keys;  // by the length of the context, then those of words and matches
  std::vector<const Context*> contexts;
};

class NGrams {
 public:
  // Without `letters` (see `Words`) there are no contexts of words.
  NGrams(int64_t order, int64_t vocabulary, int64_t boundary, const int64_t* letters,
         bool has_matches)
      : order(order), vocabulary(vocabulary), boundary(boundary),
        contexts(order + 1 + (letters ? Words::CONTEXTS : 0)), features(contexts + has_matches),
        keys(contexts + (has_matches ? Matches::KEYS : 0)),
        window(std::max({order, letters ? Words::WINDOW : 0, has_matches ? Matches::WINDOW : 0})),
        places_(1 << 12), keys_(keys) {
    if (letters) words_.emplace(letters, vocabulary, boundary);
    if (has_matches) matches_.emplace(boundary);
  }

  const int64_t order, vocabulary;
  const int64_t boundary;  // the id that begins a record, which no context crosses; none: below -1
  const int64_t contexts;  // of one place: each length from 0, then those of words
  const int64_t features;  // of one place: its contexts, then the match
  const int64_t keys;      // of one place: of its contexts, then of its matches
  const int64_t window;    // number of ids before a place that determine its contexts

  // Call it before the first of several characters that are counted one after another.
  void begin(const int64_t* ids) {
    if (matches_) matches_->follow(ids);
  }

  // `ids` points to the end of the context: ids[-1] is its last character; -1 is before the text.
  void count(const int64_t* ids, int64_t symbol) {
    find_keys(ids, keys_.data());
    count(ids, symbol, keys_.data());
  }

  // Counts ids[window] and all after it. The contexts of later characters are fetched from memory
  // while the earlier ones are counted.
  void count_all(const int64_t* ids, int64_t size) {
    reserve(used_ + std::max<int64_t>(0, size - window) * (words_ ? 3 : 1) / 2);  // usually enough
    if (size > window) begin(ids + window);
    std::vector<uint64_t> fetched(AHEAD * keys);
    const auto keys_at = [&](int64_t i) { return fetched.data() + i % AHEAD * keys; };
    for (int64_t i = window; i < std::min(window + AHEAD, size); ++i) fetch(ids + i, keys_at(i));
    for (int64_t i = window; i < size; ++i) {
      count(ids + i, ids[i], keys_at(i));
      if (i + AHEAD < size) fetch(ids + i + AHEAD, keys_at(i));
    }
  }

  // Writes the log-probabilities of all symbols in the empty context. The discounts of its counts go
  // to the symbols that were never counted, or to all symbols if there are none.
  void predict_from_nothing(double* logs) const {
    const Context context = places_[find(FIRST_HASH)];
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

  // Writes, for each length from 1, the lifts of the followers of the context. All other symbols
  // become less likely by the same factor, which cancels in a normalised mixture. A context of words
  // changes the prediction of the longest length. The match lifts the symbol that followed it by one.
  Rows predict(const int64_t* ids, const double* from_nothing, std::vector<Lift>* lifts,
               Scratch& scratch) const {
    Rows rows = find_contexts(ids, scratch);
    double others = 1;  // the product of those factors
    for (int64_t length = 1; length <= order; ++length) {
      lifts[length].clear();
      if (!scratch.contexts[length]) continue;
      const Context& context = *scratch.contexts[length];
      const Follower* followers = followers_.of(context);
      others *= taken_off(context) / context.total;
      for (int64_t i = context.size() - 1; i >= 0; --i) {
        const Follower& follower = followers[i];
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
    for (int64_t number = order + 1; number < contexts; ++number) {
      lifts[number].clear();
      if (!scratch.contexts[number]) continue;
      const Context& context = *scratch.contexts[number];
      const Follower* followers = followers_.of(context);
      const double kept = others * taken_off(context);
      for (int64_t i = context.size() - 1; i >= 0; --i) {
        const Follower& follower = followers[i];
        double share = scratch.shares[follower.symbol];
        if (share == 0) share = std::exp(from_nothing[follower.symbol]);
        lifts[number].push_back({follower.symbol, std::log1p(left_of(follower) / kept / share)});
      }
    }
    for (int64_t symbol : scratch.touched) scratch.shares[symbol] = 0;
    scratch.touched.clear();
    if (matches_) {
      const Matches::Match match = matches_->find(ids, &scratch.keys[contexts]);
      lifts[contexts].clear();
      if (match.length) lifts[contexts].push_back({match.symbol, 1});
      rows.add(contexts + (words_ ? 1 : 0) + match.row());
    }
    return rows;
  }

  int64_t looks() const { return followers_.looks; }

 private:
  static constexpr int64_t AHEAD = 16;  // number of characters whose contexts are fetched

  // Writes the hash of the context of each length, then those of words.
  void find_keys(const int64_t* ids, uint64_t* keys) const {
    uint64_t hash = keys[0] = FIRST_HASH;
    for (int64_t length = 1; length <= order; ++length) {
      hash = add_to_hash(hash, ids[-length] + 1);
      keys[length] = hash | 1;
    }
    if (words_) words_->find_keys(ids, keys + order + 1);
    if (matches_) matches_->find_keys(ids, keys + contexts);
  }

  void fetch(const int64_t* ids, uint64_t* keys) const {
    find_keys(ids, keys);
    for (int64_t number = 0; number < contexts; ++number)
      __builtin_prefetch(&places_[(keys[number] >> 1) & (places_.size() - 1)]);
    if (matches_) matches_->fetch(keys + contexts);
  }

  void count(const int64_t* ids, int64_t symbol, const uint64_t* keys) {
    int64_t length = longest_context(ids, order, boundary);
    while (length >= 0 && is_new(keys[length], symbol)) --length;
    for (int64_t number = order + 1; number < contexts; ++number) is_new(keys[number], symbol);
    if (matches_) matches_->add(ids, symbol, keys + contexts);
  }

  // Counts a symbol after a context; returns whether it is the first time.
  bool is_new(uint64_t key, int64_t symbol) {
    reserve(used_ + 1);
    Context& context = places_[find(key)];
    if (!context.key) context.key = key, ++used_;
    ++context.total;
    Follower* known = followers_.find(context, symbol);
    if (known) {
      if (known->count < 3) --context.seen[known->count - 1], ++context.seen[known->count];
      ++known->count;
      return false;
    }
    followers_.add(context, symbol);
    ++context.seen[0];
    return true;
  }

  int64_t find(uint64_t key) const {
    const int64_t mask = places_.size() - 1;
    int64_t place = (key >> 1) & mask;
    while (places_[place].key && places_[place].key != key) place = (place + 1) & mask;
    return place;
  }

  // Finds the contexts of a place but the empty one, null where it was not counted. It waits for
  // memory once, and not once for each context.
  // Returns the rows of weights for what was counted.
  Rows find_contexts(const int64_t* ids, Scratch& scratch) const {
    fetch(ids, scratch.keys.data());
    int64_t longest = 0, num_of_words = 0;
    const int64_t limit = longest_context(ids, order, boundary);
    for (int64_t number = 1; number < contexts; ++number) {
      const bool is_of_words = number > order;
      const Context& context = places_[find(scratch.keys[number])];
      const bool is_counted = (is_of_words || number <= limit) && context.total > 0;
      scratch.contexts[number] = is_counted ? &context : nullptr;
      if (!is_counted) continue;
      if (is_of_words) ++num_of_words;
      else longest = number;
      __builtin_prefetch(followers_.of(context));
    }
    Rows rows;
    rows.add(longest);
    if (words_) rows.add(order + 1 + num_of_words);
    return rows;
  }

  static double taken_off(const Context& context) {
    double sum = 0;
    for (int i = 0; i < 3; ++i) sum += DISCOUNTS[i] * context.seen[i];
    return sum;
  }

  static double left_of(const Follower& follower) {
    return follower.count - DISCOUNTS[std::min(follower.count, 3u) - 1];
  }

  // Makes room for a number of contexts: at least a quarter of the places stays free.
  void reserve(int64_t contexts) {
    if (contexts * 4 <= (int64_t)places_.size() * 3) return;
    size_t size = places_.size();
    while (contexts * 4 > (int64_t)size * 3) size *= 2;
    std::vector<Context> old(size);
    old.swap(places_);
    for (const Context& context : old)
      if (context.key) places_[find(context.key)] = context;
  }

  std::optional<Words> words_;
  std::optional<Matches> matches_;
  std::vector<Context> places_;
  std::vector<uint64_t> keys_;  // of the contexts of one character
  Followers followers_;
  int64_t used_ = 0;
};

}  // namespace
