// The fast paths of every tier of this machine against the reference tier, bounds given in each test.

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "onnxforge/base/attribute.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/kernel.h"
#include "onnxforge/kernels/table.h"

#include "check.h"

namespace onnxforge {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

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
  static std::mt19937 engine(20261127);
  return engine;
}

int64_t Pick(int64_t lo, int64_t hi) { return std::uniform_int_distribution<int64_t>(lo, hi)(Random()); }

Tensor RandomTensor(const Shape& shape) {
  Tensor t = Tensor::Allocate(DType::kFloat32, shape);
  std::uniform_real_distribution<float> uniform(-2, 2);
  for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] = uniform(Random());
  return t;
}

Tensor Longs(const std::vector<int64_t>& values) { return Tensor::FromVector(values); }

/// One node: inputs that are undefined are left out, those from `constants_from` on are known when the kernel is made.
struct Node {
  std::string op;
  int version = 13;
  Attributes attributes;
  std::vector<Tensor> inputs;
  size_t constants_from = 1;
  size_t outputs = 1;
  std::string_view domain = {};
};

std::vector<Tensor> Run(const Tier& tier, const Node& node, int threads = 1) {
  std::vector<Type> types;
  std::vector<Tensor> known;
  std::vector<Value> values;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Tensor& t = node.inputs[i];
    types.push_back(t.defined() ? Type::Tensor(t.dtype(), t.shape()) : Type{});
    known.push_back(i >= node.constants_from ? t : Tensor());
    values.push_back(t.defined() ? Value(t) : Value());
  }
  std::vector<const Value*> pointers;
  for (size_t i = 0; i < values.size(); ++i) pointers.push_back(node.inputs[i].defined() ? &values[i] : nullptr);
  const NodeSpec spec{node.domain, node.op, node.version,       node.attributes,
                      types,       known,   node.inputs.size(), node.outputs};
  const std::unique_ptr<Kernel> kernel = CreateKernel(tier, spec);
  CHECK(kernel != nullptr);
  ThreadPool pool(threads);
  HeapAllocator allocator;
  std::vector<Value> outputs(node.outputs);
  const bool used[4] = {true, true, true, true};
  KernelContext context(pointers, outputs, Span<const bool>(used, node.outputs), pool, allocator);
  kernel->Run(context);
  std::vector<Tensor> result;
  for (const Value& value : outputs) result.push_back(value.tensor());
  return result;
}

std::vector<Tier> SimdTiers() {
  std::vector<Tier> tiers;
  for (const std::string& name : AvailableTiers()) {
    if (name != "reference") tiers.push_back(Tier::FromName(name));
  }
  return tiers;
}

/// |got - want| ≤ bound · max(1, |want|); NaN and infinities must be the same.
void CheckClose(const Tensor& got, const Tensor& want, double bound, const std::string& what) {
  CHECK_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < want.elements(); ++i) {
    const float g = got.data<float>()[i];
    const float w = want.data<float>()[i];
    if (g == w || (std::isnan(g) && std::isnan(w))) continue;
    if (std::fabs(g - w) <= bound * std::max(1.0f, std::fabs(w))) continue;
    throw test::Failure{StrCat(what, ": element ", i, " is ", g, ", not ", w)};
  }
}

void CheckAgainstReference(const Node& node, double bound, const std::string& what) {
  const std::vector<Tensor> want = Run(Tier::Reference(), node);
  for (const Tier& tier : SimdTiers()) {
    for (const int threads : {1, 3}) {
      const std::vector<Tensor> got = Run(tier, node, threads);
      for (size_t i = 0; i < want.size(); ++i) CheckClose(got[i], want[i], bound, StrCat(tier.name(), " ", what));
    }
  }
}

Tensor Transposed(const Tensor& t, const std::vector<int64_t>& perm) {
  Node node{"Transpose", 13, {}, {t}};
  node.attributes.Set("perm", perm);
  return Run(Tier::Reference(), node)[0];
}

Tensor ToLast(const Tensor& t) {
  return Transposed(t, t.rank() == 3 ? std::vector<int64_t>{0, 2, 1} : std::vector<int64_t>{0, 2, 3, 1});
}

Tensor ToFirst(const Tensor& t) {
  return Transposed(t, t.rank() == 3 ? std::vector<int64_t>{0, 2, 1} : std::vector<int64_t>{0, 3, 1, 2});
}

void TestSoftmax() {
  for (const int64_t n : {1, 3, 16, 17, 100}) {
    for (const char* op : {"Softmax", "LogSoftmax"}) {
      Node node{op, 13, {}, {RandomTensor({3, 2, n})}};
      CheckAgainstReference(node, 2e-6, StrCat(op, " of ", n));
      node.attributes.Set("axis", int64_t{1});
      CheckAgainstReference(node, 2e-6, StrCat(op, " along axis 1"));
      node.version = 11;
      CheckAgainstReference(node, 2e-6, StrCat(op, "-11 along axis 1"));
    }
  }
  CheckAgainstReference({"Softmax", 13, {}, {RandomTensor({0, 4})}}, 0, "Softmax of nothing");
  Tensor hot = Tensor::FromVector<float>({-kInfinity, 1, 2, 200, -300, 3}, {1, 6});
  CheckAgainstReference({"Softmax", 13, {}, {hot}}, 1e-6, "Softmax with -infinity");
}

void TestNormalization() {
  for (const int64_t n : {1, 5, 16, 33, 256}) {
    const Tensor x = RandomTensor({2, 3, n});
    CheckAgainstReference({"LayerNormalization", 17, {}, {x, RandomTensor({n}), RandomTensor({n})}}, 2e-5,
                          StrCat("LayerNormalization of ", n));
    CheckAgainstReference({"RMSNormalization", 23, {}, {x, RandomTensor({n})}}, 1e-5,
                          StrCat("RMSNormalization of ", n));
    Node wide{"LayerNormalization", 17, {}, {x, RandomTensor({3, n})}};
    wide.attributes.Set("axis", int64_t{1});
    CheckAgainstReference(wide, 2e-5, "LayerNormalization over two axes");
  }
}

void TestBinary() {
  const std::vector<std::pair<Shape, Shape>> shapes = {{{3, 37}, {3, 37}}, {{2, 5, 19}, {19}}, {{2, 5, 19}, {5, 1}},
                                                       {{}, {7}},          {{7, 1}, {1, 9}},   {{0, 3}, {3}},
                                                       {{1}, {1, 1}}};
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Max", "Min"}) {
    for (const auto& [a, b] : shapes) {
      CheckAgainstReference({op, 13, {}, {RandomTensor(a), RandomTensor(b)}, 2}, 0, StrCat(op, a, b));
      CheckAgainstReference({op, 13, {}, {RandomTensor(b), RandomTensor(a)}, 2}, 0, StrCat(op, b, a));
    }
    const Tensor odd = Tensor::FromVector<float>({kNaN, 1, kInfinity, -kInfinity, 0, -1, 5});
    const Tensor even = Tensor::FromVector<float>({1, kNaN, 2, 3, kNaN, kInfinity, -kInfinity});
    CheckAgainstReference({op, 13, {}, {odd, even}, 2}, 0, StrCat(op, " of NaN and infinities"));
  }
}

void TestUnary() {
  std::vector<float> xs = {0, -0.0f, 1, -1, 3, -3, 6, kInfinity, kNaN, 1e-6f, -1e-6f, -0.05f, 80, -80};
  for (int i = -150; i <= 150; ++i) xs.push_back(static_cast<float>(i) * 0.07f);
  const Tensor x = Tensor::FromVector(xs);
  const std::vector<std::pair<const char*, int>> ops = {
      {"Abs", 13},       {"Ceil", 13},      {"Elu", 22},  {"Floor", 13}, {"Gelu", 20},       {"HardSigmoid", 22},
      {"HardSwish", 22}, {"LeakyRelu", 16}, {"Mish", 22}, {"Neg", 13},   {"Reciprocal", 13}, {"Relu", 14},
      {"Round", 22},     {"Softplus", 22},  {"Sqrt", 13}, {"Swish", 24}};
  for (const auto& [op, version] : ops) CheckAgainstReference({op, version, {}, {x}}, 2e-6, op);
  CheckAgainstReference({"Clip", 13, {}, {x, Tensor::Scalar(-1.0f), Tensor::Scalar(2.0f)}}, 0, "Clip");
  Node tanh{"Gelu", 20, {}, {x}};
  tanh.attributes.Set("approximate", std::string("tanh"));
  CheckAgainstReference(tanh, 2e-6, "Gelu by tanh");
}

void TestReduce() {
  const std::vector<std::vector<int64_t>> axes = {{-1}, {0}, {1}, {1, 2}, {0, 1}, {0, 2}, {0, 1, 2}};
  for (const char* op : {"ReduceMean", "ReduceSum", "ReduceMax"}) {
    for (const auto& axis : axes) {
      for (const int64_t keep : {0, 1}) {
        const bool by_input = std::string(op) == "ReduceSum";
        Node node{op, 13, {}, {RandomTensor({3, 5, 21})}};
        node.attributes.Set("keepdims", keep);
        if (by_input) node.inputs.push_back(Longs(axis));
        if (!by_input) node.attributes.Set("axes", axis);
        CheckAgainstReference(node, 5e-6, op);
      }
    }
  }
  Node poisoned{"ReduceMax", 13, {}, {Tensor::FromVector<float>({1, kNaN, 3, 4, 5, 6}, {2, 3})}};
  poisoned.attributes.Set("axes", std::vector<int64_t>{1});
  CheckAgainstReference(poisoned, 0, "ReduceMax of NaN");
}

void TestTranspose() {
  const std::vector<std::pair<Shape, std::vector<int64_t>>> cases = {{{5, 7}, {1, 0}},
                                                                     {{2, 33, 65}, {0, 2, 1}},
                                                                     {{1, 3, 9, 11}, {0, 2, 3, 1}},
                                                                     {{2, 6, 5, 9}, {0, 3, 1, 2}},
                                                                     {{2, 6, 5, 9}, {0, 2, 1, 3}},
                                                                     {{2, 3, 4, 5}, {3, 2, 1, 0}},
                                                                     {{3, 1, 4}, {1, 0, 2}},
                                                                     {{0, 3}, {1, 0}},
                                                                     {{4, 3, 2}, {1, 2, 0}}};
  for (const auto& [shape, perm] : cases) {
    Node node{"Transpose", 13, {}, {RandomTensor(shape)}};
    node.attributes.Set("perm", perm);
    CheckAgainstReference(node, 0, StrCat("Transpose of ", shape));
  }
}

void TestConcat() {
  for (const int64_t axis : {0, 1, 2}) {
    Shape other{2, 3, 4};
    other[static_cast<size_t>(axis)] = 5;
    Shape none{2, 3, 4};
    none[static_cast<size_t>(axis)] = 0;
    Node node{"Concat", 13, {}, {RandomTensor({2, 3, 4}), RandomTensor(none), RandomTensor(other)}, 3};
    node.attributes.Set("axis", axis);
    CheckAgainstReference(node, 0, "Concat");
  }
}

void TestConvTranspose() {
  for (int round = 0; round < 40; ++round) {
    const bool flat = round % 4 == 0;
    const int64_t kernel = Pick(1, 4), stride = Pick(1, 3), dilation = Pick(1, 2), channels = Pick(1, 20),
                  out = Pick(1, 40);
    const Tensor x =
        flat ? RandomTensor({2, channels, Pick(1, 9)}) : RandomTensor({2, channels, Pick(1, 7), Pick(1, 9)});
    const Tensor w = flat ? RandomTensor({channels, out, kernel}) : RandomTensor({channels, out, kernel, kernel});
    const size_t rank = flat ? 1 : 2;
    Node node{"ConvTranspose", 11, {}, {x, w, RandomTensor({out})}};
    node.attributes.Set("strides", std::vector<int64_t>(rank, stride));
    node.attributes.Set("dilations", std::vector<int64_t>(rank, dilation));
    node.attributes.Set("pads", std::vector<int64_t>(2 * rank, Pick(0, (kernel - 1) * dilation / 2)));
    if (stride > 1) node.attributes.Set("output_padding", std::vector<int64_t>(rank, Pick(0, stride - 1)));
    CheckAgainstReference(node, 2e-5, StrCat("ConvTranspose ", x.shape(), w.shape()));
  }
}

void TestRecurrent() {
  for (const char* direction : {"forward", "reverse", "bidirectional"}) {
    for (const int64_t batch : {1, 3}) {
      const int64_t directions = std::string(direction) == "bidirectional" ? 2 : 1;
      for (const std::string op : {"LSTM", "GRU"}) {
        for (const int64_t reset_after : {0, 1}) {
          const int64_t gates = op == "LSTM" ? 4 : 3, hidden = 19, input = 11;
          Node node{
              op,
              14,
              {},
              {RandomTensor({6, batch, input}), RandomTensor({directions, gates * hidden, input}),
               RandomTensor({directions, gates * hidden, hidden}), RandomTensor({directions, 2 * gates * hidden})}};
          node.outputs = op == "LSTM" ? 3 : 2;
          node.attributes.Set("direction", std::string(direction));
          node.attributes.Set("hidden_size", hidden);
          if (op == "GRU") node.attributes.Set("linear_before_reset", reset_after);
          CheckAgainstReference(node, 2e-5, StrCat(op, " ", direction));
          node.inputs.resize(op == "LSTM" ? 7 : 6);
          node.inputs[5] = RandomTensor({directions, batch, hidden});
          if (op == "LSTM") node.inputs[6] = RandomTensor({directions, batch, hidden});
          CheckAgainstReference(node, 2e-5, StrCat(op, " ", direction, " from a state"));
        }
      }
    }
  }
}

/// The internal Conv against ONNX's own with the rest written out; the bound is that of sums of up to 9 · 64 products
/// of numbers below 2, by Winograd's algorithm where the image is large enough.
void TestInternalConv() {
  for (int round = 0; round < 60; ++round) {
    const bool winograd = round % 3 == 0;
    const int64_t channels = winograd ? Pick(32, 64) : Pick(1, 40);
    const bool depthwise = !winograd && round % 3 == 1;
    const int64_t out = depthwise ? channels : winograd ? Pick(32, 50) : Pick(1, 40);
    const int64_t kernel = winograd ? 3 : Pick(1, 4);
    const Tensor x = RandomTensor({Pick(1, 2), channels, Pick(12, 17), Pick(12, 17)});
    const Tensor w = RandomTensor({out, depthwise ? 1 : channels, kernel, kernel});
    const Tensor bias = RandomTensor({out});
    Node plain{"Conv", 11, {}, {x, w, bias}};
    plain.attributes.Set("group", depthwise ? channels : int64_t{1});
    plain.attributes.Set("pads", std::vector<int64_t>{Pick(0, 1), Pick(0, 1), Pick(0, 2), Pick(0, 2)});
    plain.attributes.Set("strides", std::vector<int64_t>(2, winograd ? 1 : Pick(1, 2)));
    const Tensor product = Run(Tier::Reference(), plain)[0];
    const Tensor residual = RandomTensor(product.shape());
    Node fused = plain;
    fused.domain = kInternalDomain;
    fused.version = 1;
    fused.inputs = {ToLast(x), w, bias, ToLast(residual)};
    fused.constants_from = 1;
    fused.attributes.Set("lo", -1.0f);
    fused.attributes.Set("hi", 3.0f);
    fused.attributes.Set("activation", std::string("Swish"));
    fused.attributes.Set("activation_alpha", 1.0f);
    fused.attributes.Set("post_scale", 0.5f);
    fused.attributes.Set("post_shift", 0.25f);
    const bool last = round % 2 == 0;
    if (last) fused.attributes.Set("residual_last", int64_t{1});
    Tensor want = product.Clone();
    for (int64_t i = 0; i < want.elements(); ++i) {
      float& v = want.data<float>()[i];
      if (!last) v += residual.data<float>()[i];
      v = std::min(3.0f, std::max(-1.0f, v));
      v = v / (1 + std::exp(-v)) * 0.5f + 0.25f;
      if (last) v += residual.data<float>()[i];
    }
    for (const Tier& tier : SimdTiers()) {
      const Tensor got = ToFirst(Run(tier, fused, 1 + round % 3)[0]);
      CheckClose(got, want, 5e-4, StrCat(tier.name(), " internal Conv ", x.shape(), w.shape()));
    }
  }
}

void TestInternalMatMul() {
  for (int round = 0; round < 30; ++round) {
    const int64_t m = Pick(1, 30), k = Pick(1, 70), n = Pick(1, 70);
    const Tensor a = RandomTensor({2, m, k}), b = RandomTensor({n, k}), bias = RandomTensor({n});
    const Tensor residual = RandomTensor({2, m, n});
    const Tensor product = Run(Tier::Reference(), {"MatMul", 13, {}, {a, Transposed(b, {1, 0})}, 2})[0];
    Node fused{"MatMul", 1, {}, {a, b, bias, residual}, static_cast<size_t>(1 + round % 2), 1, kInternalDomain};
    fused.attributes.Set("transB", int64_t{1});
    fused.attributes.Set("alpha", 0.5f);
    fused.attributes.Set("lo", 0.0f);
    Tensor want = product.Clone();
    for (int64_t i = 0; i < want.elements(); ++i) {
      float& v = want.data<float>()[i];
      v = std::max(0.0f, 0.5f * v + bias.data<float>()[i % n] + residual.data<float>()[i]);
    }
    for (const Tier& tier : SimdTiers()) {
      CheckClose(Run(tier, fused, 2)[0], want, 5e-5, StrCat(tier.name(), " internal MatMul ", a.shape(), b.shape()));
    }
  }
}

void TestChannelsLast() {
  for (int round = 0; round < 40; ++round) {
    const Shape shape =
        round % 4 == 0 ? Shape{2, Pick(1, 40), Pick(6, 12)} : Shape{2, Pick(1, 40), Pick(6, 12), Pick(6, 12)};
    const size_t rank = shape.rank() - 2;
    const Tensor x = RandomTensor(shape);
    for (const std::string op : {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN"}) {
      Node first{op, op == "LRN" ? 13 : op[0] == 'G' ? 22 : op == "MaxPool" ? 12 : 11, {}, {x}};
      if (op == "LRN") {
        first.attributes.Set("size", Pick(1, 6));
        if (round % 2 == 0) first.attributes.Set("beta", 0.6f);
      } else if (op[0] != 'G') {
        first.attributes.Set("kernel_shape", std::vector<int64_t>(rank, Pick(2, 4)));
        first.attributes.Set("strides", std::vector<int64_t>(rank, Pick(1, 3)));
        first.attributes.Set("pads", std::vector<int64_t>(2 * rank, Pick(0, 1)));
        first.attributes.Set("ceil_mode", Pick(0, 1));
        if (op == "MaxPool") first.attributes.Set("dilations", std::vector<int64_t>(rank, Pick(1, 2)));
        if (op == "AveragePool") first.attributes.Set("count_include_pad", Pick(0, 1));
      }
      const Tensor want = Run(Tier::Reference(), first)[0];
      Node last = first;
      last.domain = kInternalDomain;
      last.version = 1;
      last.inputs = {ToLast(x)};
      for (const Tier& tier : SimdTiers()) {
        CheckClose(ToFirst(Run(tier, last, 1 + round % 3)[0]), want, 3e-6, StrCat(tier.name(), " ", op, shape));
      }
    }
  }
}

void TestMaxPoolKeepsNaN() {
  Tensor x = RandomTensor({1, 4, 4, 3});
  x.data<float>()[3 * 5 + 1] = kNaN;
  Node node{"MaxPool", 1, {}, {x}, 1, 1, kInternalDomain};
  node.attributes.Set("kernel_shape", std::vector<int64_t>{2, 2});
  node.attributes.Set("strides", std::vector<int64_t>{2, 2});
  for (const Tier& tier : SimdTiers()) {
    const Tensor y = Run(tier, node)[0];
    for (int64_t i = 0; i < y.elements(); ++i) CHECK_EQ(std::isnan(y.data<float>()[i]), i == 1);
  }
}

void TestFakeQuantize() {
  std::vector<float> xs = {0, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 1000, -1000, kInfinity, -kInfinity, kNaN};
  for (int i = -300; i < 300; ++i) xs.push_back(static_cast<float>(i) * 0.37f);
  const Tensor x = Tensor::FromVector(xs);
  const Tensor scale = Tensor::Scalar(0.25f);
  for (const bool is_signed : {false, true}) {
    const Tensor zero = is_signed ? Tensor::Scalar<int8_t>(-7) : Tensor::Scalar<uint8_t>(100);
    const Tensor there = Run(Tier::Reference(), {"QuantizeLinear", 13, {}, {x, scale, zero}})[0];
    const Tensor want = Run(Tier::Reference(), {"DequantizeLinear", 13, {}, {there, scale, zero}})[0];
    Node node{"FakeQuantize", 1, {}, {x}, 1, 1, kInternalDomain};
    node.attributes.Set("activation", std::string(is_signed ? "FakeQuantizeInt8" : "FakeQuantizeUInt8"));
    node.attributes.Set("activation_alpha", 0.25f);
    node.attributes.Set("activation_beta", is_signed ? -7.0f : 100.0f);
    for (const Tier& tier : SimdTiers()) CheckClose(Run(tier, node)[0], want, 0, StrCat(tier.name(), " FakeQuantize"));
  }
}

}  // namespace
}  // namespace onnxforge

int main() {
  using namespace onnxforge;
  return test::RunAll({
      {"Softmax", TestSoftmax},
      {"Normalization", TestNormalization},
      {"Binary", TestBinary},
      {"Unary", TestUnary},
      {"Reduce", TestReduce},
      {"Transpose", TestTranspose},
      {"Concat", TestConcat},
      {"ConvTranspose", TestConvTranspose},
      {"Recurrent", TestRecurrent},
      {"InternalConv", TestInternalConv},
      {"InternalMatMul", TestInternalMatMul},
      {"ChannelsLast", TestChannelsLast},
      {"MaxPoolKeepsNaN", TestMaxPoolKeepsNaN},
      {"FakeQuantize", TestFakeQuantize},
  });
}
