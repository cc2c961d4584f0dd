// Threads that wait for work, and do it together.
//
// Another program may take the core of a thread at any time, so nobody waits for a thread that has not
// begun.
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

constexpr std::chrono::microseconds SPIN{50}, NAP{300};

// Tells the processor that this thread waits. It does not yield to the system, which would let a
// program on the same core run for a whole time slice.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Condition>
void spin_until(Condition holds) {
  const auto asleep = std::chrono::steady_clock::now() + SPIN;
  do {
    for (int i = 0; i < 16; ++i, pause())
      if (holds()) return;
  } while (std::chrono::steady_clock::now() < asleep);
}

// Sleeps until another thread has done its piece. A core that becomes idle takes over a thread that
// has waited for its own core for a moment, so this one sleeps and wakes repeatedly.
template <class Condition>
void sleep_until(Condition holds, std::condition_variable& event,
                 std::unique_lock<std::mutex>& lock) {
  while (!event.wait_for(lock, NAP, holds)) {
  }
}

// Threads that wait for work: they spin for a moment, then sleep. They end with the process.
class Team {
 public:
  // Calls work() in up to `size` threads at once, one of them the caller's. When the caller's call
  // returns, no other one begins, and those that have begun are waited for.
  void run(int64_t size, const std::function<void()>& work) {
    const std::lock_guard<std::mutex> one_at_a_time(callers_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      try {
        for (; members_ < size - 1; ++members_) std::thread([this] { serve(); }).detach();
      } catch (const std::system_error&) {
        // The system gives no more threads: those that there are do the work.
      }
      work_ = &work;
      places_ = size - 1;
      ++round_;
    }
    for (int64_t i = 1; i < size; ++i) begin_.notify_one();
    work();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      places_ = 0;
    }
    const auto is_done = [this] { return working_ == 0; };
    spin_until(is_done);
    std::unique_lock<std::mutex> lock(mutex_);
    sleep_until(is_done, end_, lock);
  }

 private:
  void serve() {
    for (int64_t seen = 0;;) {
      const auto has_begun = [&] { return round_ != seen; };
      spin_until(has_begun);
      std::unique_lock<std::mutex> lock(mutex_);
      begin_.wait(lock, has_begun);
      seen = round_;
      if (places_ == 0) continue;
      --places_, ++working_;
      lock.unlock();
      (*work_)();
      lock.lock();
      if (--working_ == 0) end_.notify_one();
    }
  }

  std::mutex callers_, mutex_;
  std::condition_variable begin_, end_;
  const std::function<void()>* work_ = nullptr;
  std::atomic<int64_t> round_{0}, working_{0};
  int64_t places_ = 0, members_ = 0;
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

}  // namespace
