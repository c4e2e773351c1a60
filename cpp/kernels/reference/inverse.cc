// com.microsoft: Inverse, of the last two axes.
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

/// A matrix with n rows and the identity beside it.
template <typename C>
class Elimination {
 public:
  Elimination(const C* matrix, int64_t n) : n_(n), rows_(static_cast<size_t>(2 * n * n), C{0}) {
    for (int64_t i = 0; i < n; ++i) {
      std::copy_n(matrix + i * n, n, Row(i));
      Row(i)[n + i] = C{1};
    }
  }

  /// Makes the identity of the matrix (Gauss, Jordan). One that has no inverse leaves what divisions by zero give.
  void Run() {
    for (int64_t column = 0; column < n_; ++column) {
      std::swap_ranges(Row(column), Row(column) + 2 * n_, Row(Largest(column)));
      const C pivot = Row(column)[column];
      std::for_each(Row(column), Row(column) + 2 * n_, [&](C& x) { x /= pivot; });
      for (int64_t i = 0; i < n_; ++i) {
        if (i != column) Subtract(i, column);
      }
    }
  }

  void Store(C* to) {
    for (int64_t i = 0; i < n_; ++i) std::copy_n(Row(i) + n_, n_, to + i * n_);
  }

 private:
  C* Row(int64_t i) { return rows_.data() + 2 * n_ * i; }

  int64_t Largest(int64_t column) {
    int64_t found = column;
    for (int64_t i = column + 1; i < n_; ++i) {
      if (std::abs(Row(i)[column]) > std::abs(Row(found)[column])) found = i;
    }
    return found;
  }

  void Subtract(int64_t row, int64_t column) {
    const C factor = Row(row)[column];
    for (int64_t j = 0; j < 2 * n_; ++j) Row(row)[j] -= factor * Row(column)[j];
  }

  int64_t n_;
  std::vector<C> rows_;
};

template <typename C>
void RunInverse(KernelContext& context) {
  const Tensor& x = context.Input(0);
  const size_t rank = x.rank();
  Require(rank >= 2 && x.dim(rank - 1) == x.dim(rank - 2), ErrorCode::kInvalidArgument,
          "X must be square matrices, and has shape ", x.shape());
  const int64_t n = x.dim(rank - 1);
  WideOutput<C> out(context, context.Output(0, x.dtype(), x.shape()));
  const C* in = ReadAs<C>(context, x);
  for (int64_t at = 0; at < x.elements(); at += n * n) {
    Elimination<C> elimination(in + at, n);
    elimination.Run();
    elimination.Store(out.data() + at);
  }
  out.Store();
}

std::unique_ptr<Kernel> MakeInverse(const NodeSpec& /*node*/) {
  return MakeKernel([](KernelContext& context) {
    DispatchFloat(context.Input(0).dtype(), "Inverse",
                  [&](auto tag) { RunInverse<typename decltype(tag)::type>(context); });
  });
}

}  // namespace

void AddInverse(KernelTable& table) { table.Add("com.microsoft", "Inverse", {1}, &MakeInverse); }

}  // namespace onnxforge::reference
