#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "onnxforge/base/tensor.h"

namespace onnxforge::runtime {

/// One piece of memory that a step asked for, and how long it was in use.
struct Lifetime {
  int32_t step = 0;
  int32_t index = 0;  // the step's output, or -1 - n for its n-th piece of scratch
  size_t bytes = 0;
  int32_t last_step = 0;  // after which nobody held it any more; inclusive
  bool escapes = false;   // still held when the run was over: it needs memory of its own
};

/// Writes down what one run of a plan asked for. Memory it hands out comes from the heap and reports its own release.
class Observer : public std::enable_shared_from_this<Observer> {
 public:
  Storage Allocate(int32_t step, int32_t index, size_t bytes);
  void BeginStep(int32_t step) { step_ = step; }
  /// Ends the observation: what is still held escapes.
  std::vector<Lifetime> Finish();

 private:
  void OnRelease(size_t record);

  int32_t step_ = 0;
  std::atomic<bool> open_{true};
  std::vector<Lifetime> records_;
};

/// Where each observed piece lies in one arena. Pieces that are in use at the same time do not overlap.
struct Layout {
  struct Slot {
    int32_t index = 0;
    size_t offset = 0;
    size_t bytes = 0;
    bool escapes = false;  // not in the arena
  };
  std::vector<Slot> slots;            // grouped by step
  std::vector<size_t> first_slot;     // by step: its slots are [first_slot[s], first_slot[s + 1])
  std::vector<size_t> first_expired;  // by step, into expired
  std::vector<size_t> expired;        // slots of which nobody holds anything once the step is over
  size_t arena_bytes = 0;
};

/// Greedy best fit, largest piece first: each goes into the smallest gap, between the pieces that live at the same
/// time, that holds it. (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.)
Layout PlanMemory(const std::vector<Lifetime>& lifetimes, size_t step_count);

/// Two observations of one plan with the same input shapes that took different paths: what both need.
std::vector<Lifetime> MergeLifetimes(std::vector<Lifetime> a, const std::vector<Lifetime>& b);

/// The layouts of one plan by the signature of its inputs (their kinds, element types and extents). Safe to use from
/// several threads. A signature is observed when it is first seen and laid out when it comes again, so that a loop
/// whose shapes grow with every iteration costs nothing but the observation.
class LayoutCache {
 public:
  static constexpr size_t kMaxSignatures = 32;
  static constexpr int kMaxObservations = 4;

  struct Choice {
    std::shared_ptr<const Layout> layout;  // null: observe this run
  };
  Choice Find(const std::vector<int64_t>& signature, size_t step_count);
  void Store(const std::vector<int64_t>& signature, std::vector<Lifetime> lifetimes);
  /// A run under this signature's layout needed memory that it did not foresee; the next run is observed again, a few
  /// times.
  void Missed(const std::vector<int64_t>& signature);

 private:
  struct Entry {
    std::vector<int64_t> signature;
    std::vector<Lifetime> lifetimes;
    std::shared_ptr<const Layout> layout;
    int observations = 0;
    bool observe_again = false;
    uint64_t used = 0;
  };
  Entry* FindEntry(const std::vector<int64_t>& signature);

  std::mutex mutex_;
  std::vector<Entry> entries_;
  uint64_t clock_ = 0;
};

}  // namespace onnxforge::runtime
