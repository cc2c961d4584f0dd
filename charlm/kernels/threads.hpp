// Threads that share the columns of a batch, or the panels of a matrix.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>

namespace {

// Threads that wait for work, first awake for a moment, then asleep. They end with the process.
class Team {
 public:
  // Calls work(i) for every i below `size`, each in its own thread; the caller runs i = 0.
  void run(int64_t size, const std::function<void(int64_t)>& work) {
    const std::lock_guard<std::mutex> one_at_a_time(callers_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      try {
        for (; members_ < size - 1; ++members_)
          std::thread([this, i = members_ + 1] { serve(i); }).detach();
      } catch (const std::system_error&) {
        // The system gives no more threads: the caller does the remaining work.
      }
      work_ = &work;
      size_ = std::min(size, members_ + 1);
      unfinished_ = size_ - 1;
      ++round_;
    }
    begin_.notify_all();
    work(0);
    for (int64_t i = members_ + 1; i < size; ++i) work(i);
    wait(end_, [this] { return unfinished_ == 0; });
  }

 private:
  void serve(int64_t i) {
    for (int64_t served = 0;;) {
      wait(begin_, [&] { return round_ != served; });
      std::unique_lock<std::mutex> lock(mutex_);
      served = round_;
      if (i >= size_) continue;
      lock.unlock();
      (*work_)(i);
      lock.lock();
      if (--unfinished_ == 0) end_.notify_one();
    }
  }

  template <class Condition>
  void wait(std::condition_variable& event, Condition holds) {
    const auto asleep = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    do {
      for (int i = 0; i < 16; ++i, std::this_thread::yield())
        if (holds()) return;
    } while (std::chrono::steady_clock::now() < asleep);
    std::unique_lock<std::mutex> lock(mutex_);
    event.wait(lock, holds);
  }

  std::mutex callers_, mutex_;
  std::condition_variable begin_, end_;
  const std::function<void(int64_t)>* work_ = nullptr;
  std::atomic<int64_t> round_{0}, unfinished_{0};
  int64_t size_ = 0, members_ = 0;
};

Team& team() {
  // Never destroyed, since its threads are not joined; a forked process has no threads: a new one.
  static std::atomic<Team*> current{nullptr};
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current = new Team; });
  if (!current) {
    (void)registered;
    Team *none = nullptr, *fresh = new Team;
    if (!current.compare_exchange_strong(none, fresh)) delete fresh;
  }
  return *current;
}

// Calls work(begin, end) for shares of 0 … size, one per thread.
template <class Work>
void share_out(int64_t size, int64_t threads, Work work) {
  threads = std::max<int64_t>(1, std::min(threads, size));
  if (threads == 1) return work(0, size);
  team().run(threads, [&](int64_t i) { work(size * i / threads, size * (i + 1) / threads); });
}

}  // namespace
