// Counts the followers of contexts, and predicts the next character from the counts.
//
// `charlm/models/ngrams/` describes the model; here the contexts of each length are in a hash table.
#pragma once

#include <cmath>
#include <new>
#include <optional>

#include "contexts.hpp"
#include "lines.hpp"
#include "matches.hpp"
#include "partitions.hpp"
#include "words.hpp"

namespace {

constexpr double DISCOUNTS[3] = {0.9, 1.2, 1.4};

// The logarithm of the factor by which a context raises the probability of a follower.
struct Lift {
  int64_t symbol;
  double log;
};

// The rows of weights of a place, one of each set: by the length of the longest counted context, by
// the number of counted contexts of words, by the state of the line above, by the match's length.
struct Rows {
  int64_t size = 0, numbers[4] = {};

  void add(int64_t number) { numbers[size++] = number; }
};

// Memory for a prediction; each caller has its own, since several may read the counts at once.
struct Scratch {
  Scratch(int64_t keys, int64_t contexts, int64_t vocabulary)
      : shares(vocabulary), keys(keys), contexts(contexts) {}

  std::vector<double> shares;  // zero between predictions
  std::vector<int64_t> touched;
  // Of contexts by length, of words, of the line above (0: there is none), of matches.
  std::vector<uint64_t> keys;
  std::vector<Contexts::Found> contexts;
  std::vector<Follower> followers;
};

class NGrams {
 public:
  // Contexts of words and of the line above need `letters` (see `Words` and `Lines`).
  NGrams(int64_t order, int64_t vocabulary, int64_t boundary, const int64_t* letters,
         bool has_words, bool has_lines, bool has_matches)
      : order(order), vocabulary(vocabulary), boundary(boundary),
        first_line(order + 1 + (has_words ? Words::CONTEXTS : 0)),
        contexts(first_line + (has_lines ? Lines::CONTEXTS : 0)), features(contexts + has_matches),
        keys(contexts + (has_matches ? Matches::KEYS : 0)),
        window(std::max({order, has_words ? Words::WINDOW : 0, has_lines ? Lines::WINDOW : 0,
                         has_matches ? Matches::WINDOW : 0})),
        keys_(keys) {
    for (int64_t number = 0; number < contexts; ++number) tables_.emplace_back(vocabulary);
    if (has_words) words_.emplace(letters, vocabulary, boundary);
    if (has_lines) lines_.emplace(letters, vocabulary, boundary);
    if (has_matches) matches_.emplace(boundary, vocabulary);
  }

  const int64_t order, vocabulary;
  const int64_t boundary;  // the id that begins a record, which no context crosses; none: below -1
  const int64_t first_line;  // the number of the first context of the line above
  const int64_t contexts;  // of one place: each length from 0, of words, of the line above
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

  // Counts ids[window] and all after it. The counts do not depend on the number of threads.
  void count_all(const int64_t* ids, int64_t size, int64_t threads) {
    if (size <= window) return;
    begin(ids + window);
    for (int64_t i = window; i < size; i += PIECE)
      count_piece(ids + i, std::min(PIECE, size - i), threads);
  }

  // Writes the log-probabilities of all symbols in the empty context. The discounts of its counts go
  // to the symbols that were never counted, or to all symbols if there are none.
  void predict_from_nothing(double* logs) const {
    const Contexts::Found context = tables_[0].find(FIRST_HASH);
    std::vector<Follower> followers;
    const Sums sums = collect(0, context, followers);
    const double kept = context ? sums.taken_off / sums.total : 1;
    const bool to_all = sums.followers == 0 || sums.followers == vocabulary;
    std::fill(logs, logs + vocabulary, kept / (to_all ? vocabulary : vocabulary - sums.followers));
    for (int64_t i = 0; i < sums.followers; ++i)
      logs[followers[i].symbol] =
          left_of(followers[i]) / sums.total + (to_all ? kept / vocabulary : 0);
    for (int64_t s = 0; s < vocabulary; ++s) logs[s] = std::log(logs[s]);
  }

  // Writes, for each length from 1, the lifts of the followers of the context. All other symbols
  // become less likely by the same factor, which cancels in a normalised mixture. A context of words
  // or of the line above changes the prediction of the longest length. The match lifts the symbol that
  // followed it by one.
  Rows predict(const int64_t* ids, const double* from_nothing, std::vector<Lift>* lifts,
               Scratch& scratch) const {
    Rows rows = find_contexts(ids, scratch);
    double others = 1;  // the product of those factors
    for (int64_t length = 1; length <= order; ++length) {
      lifts[length].clear();
      const Contexts::Found context = scratch.contexts[length];
      if (!context) continue;
      const Sums sums = collect(length, context, scratch.followers);
      others *= sums.taken_off / sums.total;
      for (int64_t i = 0; i < sums.followers; ++i) {
        const Follower& follower = scratch.followers[i];
        double& share = scratch.shares[follower.symbol];  // its probability by `others`
        if (share == 0) {
          share = std::exp(from_nothing[follower.symbol]);
          scratch.touched.push_back(follower.symbol);
        }
        const double before = share;
        share += left_of(follower) / sums.total / others;
        lifts[length].push_back({follower.symbol, std::log(share / before)});
      }
    }
    for (int64_t number = order + 1; number < contexts; ++number) {
      lifts[number].clear();
      const Contexts::Found context = scratch.contexts[number];
      if (!context) continue;
      const Sums sums = collect(number, context, scratch.followers);
      const double kept = others * sums.taken_off;
      for (int64_t i = 0; i < sums.followers; ++i) {
        const Follower& follower = scratch.followers[i];
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
      rows.add(first_match_row() + match.row());
    }
    return rows;
  }

  int64_t looks() const { return looks_; }

 private:
  static constexpr int64_t PIECE = 1 << 20;  // number of characters that are counted at once
  static constexpr int64_t FEW = 1 << 12;    // fewer are counted one after another

  // Counts characters whose contexts are long enough, one table after another.
  void count_piece(const int64_t* ids, int64_t size, int64_t threads) {
    if (size < FEW) {
      for (int64_t i = 0; i < size; ++i) count(ids + i, ids[i]);
      return;
    }
    Partitions partitions(size, threads);
    // The length of the context in which each character is to be counted next; −1: it is counted.
    std::vector<int8_t> lengths(size);
    share_out(size, 1 << 12, threads, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) lengths[i] = longest_context(ids + i, order, boundary);
    });
    for (int64_t length = order; length >= 0; --length)
      count_in(tables_[length], ids, partitions, [&](int64_t i) { return lengths[i] == length; },
               [&](int64_t i) { return hash_of(ids + i, length); },
               [&](int64_t i, bool is_new) { lengths[i] = is_new ? length - 1 : -1; });
    if (words_) count_all_in(*words_, order + 1, ids, size, partitions, threads);
    if (lines_) count_all_in(*lines_, first_line, ids, size, partitions, threads);
    if (matches_) matches_->add_all(ids, size, partitions);
  }

  // Counts the characters that have contexts of words, or of the line above, in tables from `first`.
  template <class Finder>
  void count_all_in(const Finder& finder, int64_t first, const int64_t* ids, int64_t size,
                    Partitions& partitions, int64_t threads) {
    constexpr int64_t NUMBER = Finder::CONTEXTS;
    std::vector<uint64_t> hashes(size * NUMBER);
    share_out(size, 1 << 12, threads, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) finder.find_keys(ids + i, &hashes[i * NUMBER]);
    });
    for (int64_t number = 0; number < NUMBER; ++number)
      count_in(tables_[first + number], ids, partitions,
               [&](int64_t i) { return hashes[i * NUMBER + number] != 0; },
               [&](int64_t i) { return hashes[i * NUMBER + number]; }, [](int64_t, bool) {});
  }

  // Counts the characters that are due in one table, and tells `done` whether they were new there.
  template <class IsDue, class HashOf, class Done>
  void count_in(Contexts& table, const int64_t* ids, Partitions& partitions, IsDue is_due,
                HashOf hash_of, Done done) {
    std::atomic<int64_t> looks{0};
    partitions.visit(is_due, hash_of, [&](const auto* begin, const auto* end) {
      int64_t own = 0;
      for (; begin != end; ++begin) {
        Partitions::fetch_after(begin, end, [&](uint64_t hash) { table.fetch(hash); });
        done(begin->place, table.count(begin->hash, ids[begin->place], own));
      }
      looks += own;
    });
    looks_ += looks;
  }

  int64_t first_line_row() const { return order + 1 + (words_ ? Words::CONTEXTS + 1 : 0); }
  int64_t first_match_row() const { return first_line_row() + (lines_ ? Lines::STATES : 0); }

  // Writes the hash of the context of each length, those of words, and those of the line above.
  // Returns the state of the line above.
  int64_t find_keys(const int64_t* ids, uint64_t* keys) const {
    uint64_t hash = keys[0] = FIRST_HASH;
    for (int64_t length = 1; length <= order; ++length)
      keys[length] = hash = add_to_hash(hash, ids[-length] + 1);
    if (words_) words_->find_keys(ids, keys + order + 1);
    if (matches_) matches_->find_keys(ids, keys + contexts);
    return lines_ ? lines_->find_keys(ids, keys + first_line) : 0;
  }

  int64_t fetch(const int64_t* ids, uint64_t* keys) const {
    const int64_t line = find_keys(ids, keys);
    for (int64_t number = 0; number < contexts; ++number) tables_[number].fetch(keys[number]);
    if (matches_) matches_->fetch(keys + contexts);
    return line;
  }

  void count(const int64_t* ids, int64_t symbol, const uint64_t* keys) {
    int64_t length = longest_context(ids, order, boundary);
    while (length >= 0 && tables_[length].count(keys[length], symbol, looks_)) --length;
    for (int64_t number = order + 1; number < contexts; ++number)
      if (keys[number]) tables_[number].count(keys[number], symbol, looks_);
    if (matches_) matches_->add(ids, symbol, keys + contexts);
  }

  // Finds the contexts of a place but the empty one, null where it was not counted. It waits for
  // memory once, and not once for each context.
  // Returns the rows of weights for what was counted.
  Rows find_contexts(const int64_t* ids, Scratch& scratch) const {
    const int64_t line = fetch(ids, scratch.keys.data());
    int64_t longest = 0, num_of_words = 0;
    const int64_t limit = longest_context(ids, order, boundary);
    for (int64_t number = 1; number < contexts; ++number) {
      const bool is_possible = number <= order ? number <= limit : scratch.keys[number] != 0;
      scratch.contexts[number] = is_possible ? tables_[number].find(scratch.keys[number])
                                             : Contexts::Found{};
      if (!scratch.contexts[number]) continue;
      if (number <= order) longest = number;
      else if (number < first_line) ++num_of_words;
    }
    Rows rows;
    rows.add(longest);
    if (words_) rows.add(order + 1 + num_of_words);
    if (lines_) rows.add(first_line_row() + line);
    return rows;
  }

  struct Sums {
    double total = 0, taken_off = 0;  // counts, discounts
    int64_t followers = 0;
  };

  // Writes the followers of a context in a table; returns their sums.
  Sums collect(int64_t number, const Contexts::Found& context,
               std::vector<Follower>& followers) const {
    Sums sums;
    sums.followers = tables_[number].collect(context, followers);
    int64_t total = 0, seen[3] = {};
    for (int64_t i = 0; i < sums.followers; ++i) {
      const uint32_t count = followers[i].count;
      total += count, ++seen[std::min(count, 3u) - 1];
    }
    sums.total = total;
    for (int i = 0; i < 3; ++i) sums.taken_off += DISCOUNTS[i] * seen[i];
    return sums;
  }

  static double left_of(const Follower& follower) {
    return follower.count - DISCOUNTS[std::min(follower.count, 3u) - 1];
  }

  std::optional<Words> words_;
  std::optional<Lines> lines_;
  std::optional<Matches> matches_;
  std::vector<Contexts> tables_;  // of contexts by length, of words, of the line above
  std::vector<uint64_t> keys_;    // of the contexts of one character
  int64_t looks_ = 0;
};

}  // namespace
