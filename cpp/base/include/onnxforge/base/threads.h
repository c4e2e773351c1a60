#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace onnxforge {

/// A callable passed down for the length of one call, without an allocation.
template <typename Signature>
class FunctionRef;

template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F, typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // implicit by design: call sites pass lambdas
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args&&>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args&&>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// A fixed set of worker threads for one session. The calling thread works too: ThreadPool(1) starts no thread at all.
/// A worker that is on the caller's processor moves to another one; where it may not, the caller does the work.
/// A process that was forked has none of them: there everything runs on the calling thread.
class ThreadPool {
 public:
  /// `threads` ≥ 1, or 0 for one per core this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  /// Splits [0, n) into chunks of at least `grain` iterations and calls `body(begin, end)` for each, on all threads;
  /// returns when every chunk is done. The first exception thrown by a chunk is rethrown here. May be called from
  /// several threads at once and from inside a chunk (then it runs serially).
  void ParallelFor(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onnxforge
