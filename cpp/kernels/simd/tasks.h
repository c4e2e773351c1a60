#pragma once

#include <algorithm>
#include <cstddef>

#include "onnxforge/base/threads.h"

#include "simd/gemm.h"

namespace onnxforge::simd {

/// Tasks below this many multiply-adds are not worth handing to another thread.
inline constexpr double kMinTaskWork = 100e3;

/// Cuts `count` equal multiplications into tasks of rows × panels and runs them. `at(i)` describes multiplication i.
template <typename Ops, typename At>
void RunGemms(const Ops& ops, size_t count, size_t m, size_t n, size_t k, ThreadPool& threads, const At& at) {
  const size_t panels = CeilDiv(n, ops.nr);
  if (count * m * panels == 0) return;
  const size_t wanted = threads.size() == 1 ? 1 : CeilDiv(static_cast<size_t>(threads.size()) * 4, count);
  const size_t row_tasks = std::min(CeilDiv(m, 4 * ops.mr), wanted);
  const size_t panel_tasks = std::min(panels, CeilDiv(wanted, row_tasks));
  const size_t per_matrix = row_tasks * panel_tasks;
  const double work =
      static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k + 1) / static_cast<double>(per_matrix);
  const auto grain = static_cast<int64_t>(std::max(1.0, kMinTaskWork / work));
  threads.ParallelFor(static_cast<int64_t>(count * per_matrix), grain, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const size_t row_task = i % per_matrix / panel_tasks;
      const size_t panel_task = i % panel_tasks;
      ops.gemm(at(i / per_matrix), m * row_task / row_tasks, m * (row_task + 1) / row_tasks,
               panels * panel_task / panel_tasks, panels * (panel_task + 1) / panel_tasks);
    }
  });
}

}  // namespace onnxforge::simd
