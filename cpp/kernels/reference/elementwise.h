#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "onnxforge/base/dispatch.h"
#include "onnxforge/kernels/kernel.h"
#include "onnxforge/kernels/table.h"

#include "reference/compute.h"

namespace onnxforge::reference {

/// The next element count is `n`; strides are 0 (a repeated element) or 1.
using UnaryLoop = void (*)(const void* x, void* y, int64_t n);
using BinaryLoop = void (*)(const void* a, int64_t a_stride, const void* b, int64_t b_stride, void* y, int64_t n);

/// Output 0 = loop(input 0), of `dtype`.
void RunUnary(KernelContext& context, DType dtype, UnaryLoop loop);

/// Output 0 = loop(a, b) broadcast; `dtype` is the output's. `in_place`: inputs whose memory may be reused.
void RunBinary(KernelContext& context, const Tensor& a, const Tensor& b, DType dtype, BinaryLoop loop,
               std::initializer_list<size_t> in_place);

/// y = op(x) for x of X and y of Y, computed in Wide<X>.
template <typename X, typename Y, typename Op>
void UnaryLoopOf(const void* x, void* y, int64_t n) {
  const auto* in = static_cast<const X*>(x);
  auto* out = static_cast<Y*>(y);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<Y>(Op::Apply(static_cast<Wide<X>>(in[i])));
}

/// y = op(a, b) for a and b of X and y of Y, computed in Wide<X>.
template <typename X, typename Y, typename Op>
void BinaryLoopOf(const void* a, int64_t a_stride, const void* b, int64_t b_stride, void* y, int64_t n) {
  const auto* p = static_cast<const X*>(a);
  const auto* q = static_cast<const X*>(b);
  auto* out = static_cast<Y*>(y);
  const auto one = [](const X& u, const X& v) {
    if constexpr (std::is_same_v<X, std::string>) {
      return static_cast<Y>(Op::Apply(u, v));
    } else {
      return static_cast<Y>(Op::Apply(static_cast<Wide<X>>(u), static_cast<Wide<X>>(v)));
    }
  };
  if (a_stride == 1 && b_stride == 1) {
    for (int64_t i = 0; i < n; ++i) out[i] = one(p[i], q[i]);
  } else if (a_stride == 1) {
    const X v = *q;
    for (int64_t i = 0; i < n; ++i) out[i] = one(p[i], v);
  } else if (b_stride == 1) {
    const X u = *p;
    for (int64_t i = 0; i < n; ++i) out[i] = one(u, q[i]);
  } else {
    const Y value = one(*p, *q);
    for (int64_t i = 0; i < n; ++i) out[i] = value;
  }
}

/// The kernel of a unary operator without attributes whose output has the input's type. Op: kName, Apply(wide).
template <typename Op, typename List>
std::unique_ptr<Kernel> MakeUnary(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const DType dtype = context.Input(0).dtype();
    Dispatch<List>(dtype, Op::kName, [&](auto tag) {
      using T = typename decltype(tag)::type;
      RunUnary(context, dtype, &UnaryLoopOf<T, T, Op>);
    });
  });
}

/// Where the second operand of a binary operator goes before opset 7: with `broadcast`, its shape is laid over the
/// first one's axes from `axis` on (by default over the last ones); without, both shapes are the same.
class LegacyBroadcast {
 public:
  explicit LegacyBroadcast(const NodeSpec& node);
  /// `b` with a shape that broadcasts to `a`'s by the rules of opset 7.
  Tensor Align(const Tensor& a, const Tensor& b) const;

 private:
  bool active_;  // the operator version has these rules
  bool broadcast_ = false;
  bool has_axis_ = false;
  int64_t axis_ = 0;
};

}  // namespace onnxforge::reference
