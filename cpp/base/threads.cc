#include "onnxforge/base/threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
#include <immintrin.h>
#elif defined(_M_ARM64)
#include <intrin.h>
#endif

namespace onnxforge {
namespace {

// A waiting worker first polls, because regions follow each other within microseconds while a model runs, and then
// sleeps, because a session that is not running must cost nothing.
constexpr int kSpins = 4000;

void Pause() {
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
  _mm_pause();
#elif defined(_M_ARM64)
  __yield();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int UsableCores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// The processor this thread is on; −1 where the system does not say.
int CurrentProcessor() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

/// Moves this thread to another of the processors it may use; false if there is none.
bool LeaveProcessor([[maybe_unused]] int processor) {
#if defined(__linux__)
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return false;
  cpu_set_t others = usable;
  CPU_CLR(static_cast<size_t>(processor), &others);
  if (sched_setaffinity(0, sizeof others, &others) != 0) return false;
  sched_setaffinity(0, sizeof usable, &usable);
  return true;
#else
  return false;
#endif
}

// How often a process has forked on the way to this one. A child has the pools of its parent, but not their threads.
std::atomic<int> forks{0};
#if !defined(_WIN32)
[[maybe_unused]] const int counts_forks = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
#endif

// Set while this thread works on a chunk, of whichever pool: a nested region runs serially.
thread_local bool inside_region = false;

class InsideRegion {
 public:
  InsideRegion() : outer_(inside_region) { inside_region = true; }
  ~InsideRegion() { inside_region = outer_; }

 private:
  bool outer_;
};

}  // namespace

class ThreadPool::Impl {
 public:
  explicit Impl(int threads) : size_(threads == 0 ? UsableCores() : std::max(1, threads)) {
    workers_.reserve(static_cast<size_t>(size_ - 1));
    for (int i = 1; i < size_; ++i) workers_.emplace_back([this] { Work(); });
  }

  ~Impl() {
    {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
      stop_.store(true);
      epoch_.fetch_add(1);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int size() const { return size_; }

  /// Whether this process has the threads, and did not inherit the pool from the one that has them.
  bool has_threads() const { return forks_ == forks.load(std::memory_order_relaxed); }

  void Run(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
    grain = std::max<int64_t>(grain, 1);
    const int64_t most_chunks = (n + grain - 1) / grain;
    if (most_chunks <= 1 || size_ == 1 || inside_region || !has_threads()) return RunSerially(n, body);
    // Another thread of the caller's has the workers: sharing them would only make both wait.
    std::unique_lock<std::mutex> region(region_mutex_, std::try_to_lock);
    if (!region.owns_lock()) return RunSerially(n, body);

    // A few chunks per thread even out differences of speed between them.
    chunks_ = std::min<int64_t>(most_chunks, static_cast<int64_t>(size_) * 4);
    n_ = n;
    body_ = &body;
    error_ = nullptr;
    caller_processor_.store(CurrentProcessor(), std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    open_.store(epoch_.load(std::memory_order_relaxed) + 1);
    epoch_.fetch_add(1);  // sequentially consistent: either a worker sees the epoch, or we see that it sleeps
    if (sleeping_.load() > 0) {
      {
        std::lock_guard<std::mutex> lock(sleep_mutex_);
      }
      wake_.notify_all();
    }
    DoChunks();
    // All chunks are taken. Only workers that are inside are waited for: one that sleeps, or that the system has taken
    // its core from, finds the region closed when it comes.
    open_.store(0);
    for (int spins = 0; active_.load() != 0; ++spins) {
      if (spins < kSpins) {
        Pause();
      } else {
        std::this_thread::yield();
      }
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static void RunSerially(int64_t n, FunctionRef<void(int64_t, int64_t)> body) {
    if (n > 0) body(0, n);
  }

  void DoChunks() {
    InsideRegion inside;
    for (int64_t chunk; (chunk = next_.fetch_add(1, std::memory_order_relaxed)) < chunks_;) {
      try {
        (*body_)(n_* chunk / chunks_, n_ * (chunk + 1) / chunks_);
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(chunks_, std::memory_order_relaxed);
      }
    }
  }

  void Work() {
    uint64_t seen = 0;
    bool of_use = true;
    while (true) {
      seen = AwaitNextEpoch(seen, of_use ? kSpins : 0);
      if (stop_.load()) return;
      of_use = HasOwnProcessor();
      if (!of_use) continue;
      // Sequentially consistent, as in Run(): either we see that the region is closed, or it sees us inside.
      active_.fetch_add(1);
      if (open_.load() == seen) DoChunks();
      active_.fetch_sub(1);
    }
  }

  /// Whether this worker does not share the caller's processor, where each would only wait for the other. A virtual
  /// machine's idle processors seem taken to its kernel, which then wakes workers on the processor they are woken from,
  /// and leaves them there for milliseconds.
  bool HasOwnProcessor() const {
    const int caller = caller_processor_.load(std::memory_order_relaxed);
    return caller < 0 || caller != CurrentProcessor() || LeaveProcessor(caller);
  }

  uint64_t AwaitNextEpoch(uint64_t seen, int most_spins) {
    for (int spins = 0; spins < most_spins; ++spins) {
      const uint64_t now = epoch_.load(std::memory_order_acquire);
      if (now != seen) return now;
      Pause();
    }
    std::unique_lock<std::mutex> lock(sleep_mutex_);
    sleeping_.fetch_add(1);
    wake_.wait(lock, [&] { return epoch_.load() != seen; });
    sleeping_.fetch_sub(1);
    return epoch_.load();
  }

  const int size_;
  const int forks_ = forks.load(std::memory_order_relaxed);
  std::vector<std::thread> workers_;

  std::mutex region_mutex_;  // held by the thread whose region the workers are on
  // The region. Written before it is open, read by workers that found it open while they were active.
  int64_t n_ = 0;
  int64_t chunks_ = 0;
  const FunctionRef<void(int64_t, int64_t)>* body_ = nullptr;
  std::exception_ptr error_;
  std::mutex error_mutex_;
  std::atomic<int> caller_processor_{-1};

  alignas(64) std::atomic<uint64_t> epoch_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint64_t> open_{0};  // the epoch whose region may be entered; 0: none
  alignas(64) std::atomic<int> active_{0};     // workers inside, or looking whether they may be
  std::atomic<bool> stop_{false};
  std::atomic<int> sleeping_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>(threads)) {}

ThreadPool::~ThreadPool() {
  // Threads of another process can be neither woken nor joined, and whom a lock belongs to is not known.
  if (!impl_->has_threads()) static_cast<void>(impl_.release());
}

int ThreadPool::size() const { return impl_->size(); }

void ThreadPool::ParallelFor(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  impl_->Run(n, grain, body);
}

}  // namespace onnxforge
