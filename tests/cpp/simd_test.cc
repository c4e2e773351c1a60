// The Highway kernels of every tier of this machine against formulas written out in double precision.

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "onnxforge/base/attribute.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/kernels/kernel.h"
#include "onnxforge/kernels/table.h"

#include "check.h"

namespace onnxforge {
namespace {

class HeapAllocator final : public OutputAllocator {
 public:
  Tensor AllocateOutput(size_t, DType dtype, const Shape& shape) override { return Tensor::Allocate(dtype, shape); }
  Tensor TakeInput(size_t, size_t, DType, const Shape&) override { return {}; }
  void* Scratch(size_t bytes) override {
    scratch_.push_back(AllocateStorage(bytes));
    return scratch_.back().get();
  }

 private:
  std::vector<Storage> scratch_;
};

std::mt19937& Random() {
  static std::mt19937 engine(20240607);
  return engine;
}

int64_t Pick(int64_t lo, int64_t hi) { return std::uniform_int_distribution<int64_t>(lo, hi)(Random()); }

Tensor RandomTensor(const Shape& shape) {
  Tensor t = Tensor::Allocate(DType::kFloat32, shape);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] = uniform(Random());
  return t;
}

/// Runs one node of the SIMD tier. `constants`: which inputs are known when the kernel is made.
Tensor RunNode(const Tier& tier, const std::string& op, int version, const Attributes& attributes,
               const std::vector<Tensor>& inputs, const std::vector<bool>& constants, int threads) {
  std::vector<Type> types;
  std::vector<Tensor> known;
  std::vector<Value> values(inputs.begin(), inputs.end());
  std::vector<const Value*> pointers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    types.push_back(Type::Tensor(inputs[i].dtype(), inputs[i].shape()));
    known.push_back(constants[i] ? inputs[i] : Tensor());
    pointers.push_back(&values[i]);
  }
  const NodeSpec spec{"", op, version, attributes, types, known, inputs.size(), 1};
  const std::unique_ptr<Kernel> kernel = CreateKernel(tier, spec);
  CHECK(kernel != nullptr);
  ThreadPool pool(threads);
  HeapAllocator allocator;
  std::vector<Value> outputs(1);
  const bool used[1] = {true};
  KernelContext context(pointers, outputs, Span<const bool>(used, 1), pool, allocator);
  kernel->Run(context);
  return outputs[0].tensor();
}

void CheckClose(const Tensor& got, const std::vector<double>& want, double tolerance, const std::string& what) {
  CHECK_EQ(got.elements(), static_cast<int64_t>(want.size()));
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::fabs(got.data<float>()[i] - want[i]);
    if (!(error <= tolerance)) {
      throw test::Failure{StrCat(what, ": element ", i, " is ", got.data<float>()[i], ", not ", want[i])};
    }
  }
}

std::vector<Tier> SimdTiers() {
  std::vector<Tier> tiers;
  for (const std::string& name : AvailableTiers()) {
    if (name != "reference") tiers.push_back(Tier::FromName(name));
  }
  return tiers;
}

void TestTiersAreListed() {
  CHECK(SimdTiers().size() >= 2);  // "auto" and at least one target
  CHECK_THROWS(Tier::FromName("AVX9"), ErrorCode::kInvalidArgument, "no tier 'AVX9' on this machine; it has: auto");
}

void TestMatMul() {
  for (const Tier& tier : SimdTiers()) {
    for (int round = 0; round < 60; ++round) {
      const int64_t m = round % 4 < 2 ? 1 : Pick(0, 40) + (round % 7 == 0 ? 250 : 0);
      const int64_t n = Pick(0, 100) + (round % 11 == 0 ? 2048 : 0), k = Pick(0, 60) + (round % 5 == 0 ? 500 : 0);
      const Tensor a = RandomTensor({m, k}), b = RandomTensor({k, n});
      std::vector<double> want(static_cast<size_t>(m * n));
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t l = 0; l < k; ++l) {
            want[static_cast<size_t>(i * n + j)] +=
                static_cast<double>(a.data<float>()[i * k + l]) * b.data<float>()[l * n + j];
          }
        }
      }
      const Tensor got = RunNode(tier, "MatMul", 13, {}, {a, b}, {false, round % 2 == 0}, 1 + round % 3);
      CHECK_EQ(got.shape(), (Shape{m, n}));
      CheckClose(got, want, 1e-4, StrCat(tier.name(), " MatMul ", a.shape(), b.shape()));
    }
  }
}

void TestMatMulBroadcastsBatches() {
  const std::vector<std::pair<Shape, Shape>> shapes = {{{3, 1, 5, 7}, {4, 7, 6}},
                                                       {{2, 5, 7}, {7, 6}},
                                                       {{5, 7}, {3, 7, 6}},
                                                       {{2, 3, 1, 7}, {2, 1, 7, 40}},
                                                       {{7}, {7, 6}},
                                                       {{2, 5, 7}, {7}},
                                                       {{7}, {7}},
                                                       {{1, 3, 7}, {2, 7, 4}}};
  for (const auto& [a_shape, b_shape] : shapes) {
    const Tensor a = RandomTensor(a_shape), b = RandomTensor(b_shape);
    const Tensor want = RunNode(Tier::Reference(), "MatMul", 13, {}, {a, b}, {false, false}, 1);
    for (const bool constant : {false, true}) {
      const Tensor got = RunNode(Tier::Auto(), "MatMul", 13, {}, {a, b}, {false, constant}, 2);
      CHECK_EQ(got.shape(), want.shape());
      CheckClose(got, want.To<double>(), 1e-5, StrCat("MatMul ", a_shape, b_shape));
    }
  }
}

void TestMatMulMismatchIsAnError() {
  CHECK_THROWS(RunNode(Tier::Auto(), "MatMul", 13, {}, {RandomTensor({2, 3}), RandomTensor({4, 5})}, {false, false}, 1),
               ErrorCode::kInvalidArgument, "3 columns against 4 rows");
}

void TestGemm() {
  for (const Tier& tier : SimdTiers()) {
    for (int round = 0; round < 60; ++round) {
      const int64_t m = round % 4 < 2 ? 1 : Pick(1, 30), n = Pick(1, 70), k = Pick(1, 300);
      const bool ta = Pick(0, 1) != 0, tb = Pick(0, 1) != 0;
      const float alpha = round % 3 == 0 ? 1.0f : 0.5f, beta = round % 4 == 0 ? 1.0f : -2.0f;
      Attributes attributes;
      attributes.Set("transA", int64_t{ta});
      attributes.Set("transB", int64_t{tb});
      attributes.Set("alpha", alpha);
      attributes.Set("beta", beta);
      const Tensor a = RandomTensor(ta ? Shape{k, m} : Shape{m, k}), b = RandomTensor(tb ? Shape{n, k} : Shape{k, n});
      const Shape c_shapes[] = {{n}, {m, 1}, {1, n}, {m, n}, {}, {1}, {1, 1}};
      const Tensor c = RandomTensor(c_shapes[round % 7]);
      std::vector<double> want;
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t l = 0; l < k; ++l) {
            sum += static_cast<double>(a.data<float>()[ta ? l * m + i : i * k + l]) *
                   b.data<float>()[tb ? j * k + l : l * n + j];
          }
          const int64_t rows = c.rank() == 2 ? c.dim(0) : 1, columns = c.rank() >= 1 ? c.dim(c.rank() - 1) : 1;
          want.push_back(alpha * sum + beta * c.data<float>()[(rows == 1 ? 0 : i) * columns + (columns == 1 ? 0 : j)]);
        }
      }
      const Tensor got =
          RunNode(tier, "Gemm", 13, attributes, {a, b, c}, {false, round % 2 == 0, false}, 1 + round % 3);
      CheckClose(got, want, 1e-4, StrCat(tier.name(), " Gemm ", a.shape(), b.shape(), c.shape()));
    }
  }
}

struct ConvCase {
  int64_t batch, groups, in_per_group, out_per_group, h, w, kh, kw, sh, sw, dh, dw, top, left, bottom, right;

  static ConvCase Random(int round) {
    ConvCase c{};
    c.batch = Pick(1, 2);
    c.kh = Pick(1, 4);
    c.kw = Pick(1, 4);
    c.sh = round % 2 == 0 ? 1 : Pick(1, 3);
    c.sw = round % 2 == 0 ? 1 : Pick(1, 3);
    c.dh = Pick(1, 2);
    c.dw = Pick(1, 2);
    if (round % 4 != 0) {
      c.top = Pick(0, 2);
      c.left = Pick(0, 2);
      c.bottom = Pick(0, 2);
      c.right = Pick(0, 2);
    }
    c.h = (c.kh - 1) * c.dh + Pick(1, 20);
    c.w = (c.kw - 1) * c.dw + Pick(1, 40);
    const bool depthwise = round % 5 == 0;
    c.groups = depthwise ? Pick(2, 9) : Pick(1, 3);
    c.in_per_group = depthwise ? 1 : Pick(1, round % 7 == 0 ? 200 : 12);
    c.out_per_group = Pick(1, depthwise ? 3 : 40);
    return c;
  }

  int64_t out_h() const { return (h + top + bottom - (kh - 1) * dh - 1) / sh + 1; }
  int64_t out_w() const { return (w + left + right - (kw - 1) * dw - 1) / sw + 1; }

  Attributes ToAttributes() const {
    Attributes a;
    a.Set("group", groups);
    a.Set("strides", std::vector<int64_t>{sh, sw});
    a.Set("dilations", std::vector<int64_t>{dh, dw});
    a.Set("pads", std::vector<int64_t>{top, left, bottom, right});
    return a;
  }

  std::vector<double> Compute(const float* x, const float* weights, const float* bias) const {
    std::vector<double> out;
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t m = 0; m < groups * out_per_group; ++m) {
        for (int64_t oy = 0; oy < out_h(); ++oy) {
          for (int64_t ox = 0; ox < out_w(); ++ox) out.push_back(bias[m] + Sum(x, weights, n, m, oy, ox));
        }
      }
    }
    return out;
  }

 private:
  double Sum(const float* x, const float* weights, int64_t n, int64_t m, int64_t oy, int64_t ox) const {
    double sum = 0;
    for (int64_t c = 0; c < in_per_group; ++c) {
      const int64_t channel = n * groups * in_per_group + m / out_per_group * in_per_group + c;
      for (int64_t ky = 0; ky < kh; ++ky) {
        for (int64_t kx = 0; kx < kw; ++kx) {
          const int64_t y = oy * sh + ky * dh - top, xx = ox * sw + kx * dw - left;
          if (y < 0 || y >= h || xx < 0 || xx >= w) continue;
          sum += static_cast<double>(x[(channel * h + y) * w + xx]) *
                 weights[((m * in_per_group + c) * kh + ky) * kw + kx];
        }
      }
    }
    return sum;
  }
};

void TestConv() {
  for (const Tier& tier : SimdTiers()) {
    for (int round = 0; round < 150; ++round) {
      const ConvCase c = ConvCase::Random(round);
      const Tensor x = RandomTensor({c.batch, c.groups * c.in_per_group, c.h, c.w});
      const Tensor w = RandomTensor({c.groups * c.out_per_group, c.in_per_group, c.kh, c.kw});
      const Tensor b = RandomTensor({c.groups * c.out_per_group});
      const Tensor got =
          RunNode(tier, "Conv", 11, c.ToAttributes(), {x, w, b}, {false, round % 3 != 0, true}, 1 + round % 3);
      CHECK_EQ(got.shape(), (Shape{c.batch, c.groups * c.out_per_group, c.out_h(), c.out_w()}));
      CheckClose(got, c.Compute(x.data<float>(), w.data<float>(), b.data<float>()), 2e-4,
                 StrCat(tier.name(), " Conv ", x.shape(), w.shape(), " round ", round));
    }
  }
}

void TestConvInOneDimension() {
  Attributes attributes;
  attributes.Set("pads", std::vector<int64_t>{1, 1});
  const Tensor x = RandomTensor({1, 1, 5});
  const Tensor w = Tensor::FromVector<float>({1, 2, 3}, {1, 1, 3});
  const float* v = x.data<float>();
  const Tensor got = RunNode(Tier::Auto(), "Conv", 11, attributes, {x, w}, {false, true}, 1);
  CHECK_EQ(got.shape(), (Shape{1, 1, 5}));
  CheckClose(got,
             {2.0 * v[0] + 3.0 * v[1], v[0] + 2.0 * v[1] + 3.0 * v[2], v[1] + 2.0 * v[2] + 3.0 * v[3],
              v[2] + 2.0 * v[3] + 3.0 * v[4], v[3] + 2.0 * v[4]},
             1e-5, "Conv in one dimension");
}

double UlpError(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  const auto nearest = static_cast<float>(want);
  if (std::isinf(nearest) || got == nearest) return got == nearest ? 0 : 1e9;
  const double unit = std::nextafter(std::fabs(nearest), INFINITY) - std::fabs(nearest);
  return std::fabs(got - want) / unit;
}

void CheckUnary(const Tier& tier, const char* op, double (*formula)(double), float lo, float hi, double ulps) {
  std::vector<float> xs = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN};
  for (int i = 0; i <= 20000; ++i) xs.push_back(lo + (hi - lo) * static_cast<float>(i) / 20000.0f);
  const Tensor y = RunNode(tier, op, 13, {}, {Tensor::FromVector<float>(xs)}, {false}, 2);
  for (size_t i = 0; i < xs.size(); ++i) {
    const double error = UlpError(y.data<float>()[i], formula(xs[i]));
    if (!(error <= ulps)) {
      throw test::Failure{
          StrCat(tier.name(), " ", op, "(", xs[i], ") is ", y.data<float>()[i], ": off by ", error, " ulp")};
    }
  }
}

void TestUnaryMath() {
  for (const Tier& tier : SimdTiers()) {
    CheckUnary(tier, "Exp", [](double x) { return std::exp(x); }, -80, 88, 2);
    CheckUnary(tier, "Log", [](double x) { return std::log(x); }, 1e-3f, 1e3f, 4);
    CheckUnary(tier, "Tanh", [](double x) { return std::tanh(x); }, -10, 10, 4);
    CheckUnary(tier, "Sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }, -80, 80, 4);
    CheckUnary(tier, "Erf", [](double x) { return std::erf(x); }, -5, 5, 3);
  }
}

void TestNotANumberStays() {
  Tensor a = RandomTensor({3, 4});
  a.data<float>()[5] = std::nanf("");
  const Tensor got = RunNode(Tier::Auto(), "MatMul", 13, {}, {a, RandomTensor({4, 40})}, {false, true}, 1);
  for (int64_t j = 0; j < 40; ++j) {
    CHECK(!std::isnan(got.data<float>()[j]));
    CHECK(std::isnan(got.data<float>()[40 + j]));
  }
}

void TestThreadsDoNotChangeTheResult() {
  for (const int64_t rows : {61, 1}) {
    const Tensor a = RandomTensor({rows, 700}), b = RandomTensor({700, 900});
    const Tensor one = RunNode(Tier::Auto(), "MatMul", 13, {}, {a, b}, {false, true}, 1);
    for (const int threads : {2, 3, 5}) {
      const Tensor many = RunNode(Tier::Auto(), "MatMul", 13, {}, {a, b}, {false, true}, threads);
      for (int64_t i = 0; i < one.elements(); ++i) CHECK_EQ(one.data<float>()[i], many.data<float>()[i]);
    }
  }
}

}  // namespace
}  // namespace onnxforge

int main() {
  using namespace onnxforge;
  return test::RunAll({
      {"TiersAreListed", TestTiersAreListed},
      {"MatMul", TestMatMul},
      {"MatMulBroadcastsBatches", TestMatMulBroadcastsBatches},
      {"MatMulMismatchIsAnError", TestMatMulMismatchIsAnError},
      {"Gemm", TestGemm},
      {"Conv", TestConv},
      {"ConvInOneDimension", TestConvInOneDimension},
      {"UnaryMath", TestUnaryMath},
      {"NotANumberStays", TestNotANumberStays},
      {"ThreadsDoNotChangeTheResult", TestThreadsDoNotChangeTheResult},
  });
}
