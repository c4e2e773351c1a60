#pragma once

#include <algorithm>
#include <cstddef>

#include "onnxforge/base/threads.h"

#include "simd/gemm.h"

namespace onnxforge::simd {

/// Tasks below this many multiply-adds are not worth handing to another thread.
inline constexpr double kMinTaskWork = 100e3;

/// What a multiplication costs, in multiply-adds: an element of the right-hand side takes as long to come from memory
/// as this many of them, which is what counts where there are few rows.
inline constexpr double kElementCost = 16;
/// As much is worth a task of its own: some 10 µs, several times what it takes to hand it over.
inline constexpr double kMinTaskCost = 400e3;
/// Panels that one row is multiplied with at a time, see MultiplyOneRow().
inline constexpr size_t kRowPanels = 4;

/// How a multiplication is cut into row_tasks × panel_tasks.
struct GemmTasks {
  size_t m, panels, row_tasks, panel_tasks;

  size_t count() const { return row_tasks * panel_tasks; }
  size_t row(size_t task) const { return m * task / row_tasks; }
  size_t panel(size_t task) const {
    const size_t at = panels * task / panel_tasks;
    return m == 1 && task != panel_tasks ? at / kRowPanels * kRowPanels : at;
  }

  /// Runs tasks [begin, end) of one multiplication; neighbours that can be one are.
  template <typename Ops, typename Call>
  void Run(const Ops& ops, const Call& call, size_t begin, size_t end) const {
    for (size_t i = begin; i < end;) {
      const size_t row_task = i / panel_tasks;
      const size_t panel_task = i % panel_tasks;
      const size_t some = std::min(end - i, (panel_tasks == 1 ? row_tasks : (row_task + 1) * panel_tasks) - i);
      const size_t row_end = row(row_task + (panel_tasks == 1 ? some : 1));
      const size_t panel_end = panel(panel_tasks == 1 ? 1 : panel_task + some);
      ops.gemm(call, row(row_task), row_end, panel(panel_task), panel_end);
      i += some;
    }
  }
};

/// Cuts `count` equal multiplications into tasks of rows × panels and runs them. `at(i)` describes multiplication i.
template <typename Ops, typename At>
void RunGemms(const Ops& ops, size_t count, size_t m, size_t n, size_t k, ThreadPool& threads, const At& at) {
  const size_t panels = CeilDiv(n, ops.nr);
  if (count * m * panels == 0) return;
  const double cost = static_cast<double>(count) * static_cast<double>(n) * static_cast<double>(k + 1) *
                      (static_cast<double>(m) + kElementCost);
  const double most = threads.size() == 1 ? 1 : static_cast<double>(threads.size()) * 4;
  const auto wanted = static_cast<size_t>(std::clamp(cost / kMinTaskCost, 1.0, most));
  const size_t of_each = CeilDiv(wanted, count);
  const size_t row_tasks = std::min(CeilDiv(m, 4 * ops.mr), of_each);
  const GemmTasks tasks{m, panels, row_tasks, std::min(panels, CeilDiv(of_each, row_tasks))};
  const size_t all = count * tasks.count();
  const auto grain = static_cast<int64_t>(CeilDiv(all, wanted));
  threads.ParallelFor(static_cast<int64_t>(all), grain, [&](int64_t begin, int64_t end) {
    const auto last = static_cast<size_t>(end);
    for (auto i = static_cast<size_t>(begin); i < last;) {
      const size_t first = i / tasks.count() * tasks.count();  // of this multiplication
      const size_t next = std::min(last, first + tasks.count());
      tasks.Run(ops, at(i / tasks.count()), i - first, next - first);
      i = next;
    }
  });
}

}  // namespace onnxforge::simd
