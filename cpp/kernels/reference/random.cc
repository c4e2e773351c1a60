// RandomUniform, RandomNormal (and …Like), Bernoulli, Multinomial.
#include "reference/random.h"

#include <algorithm>
#include <cmath>
#include <variant>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {

Seed::Seed(const NodeSpec& node) : given_(node.attributes.Has("seed")) {
  if (!given_) return;
  // Dropout's seed is an integer, all others' are floats.
  const AttributeValue& value = *node.attributes.Find("seed");
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    value_ = static_cast<uint32_t>(*integer);
  } else {
    const float seed = node.attributes.Get<float>("seed");
    Require(std::abs(seed) < 9223372036854775808.0f, ErrorCode::kInvalidModel, "attribute 'seed' is ", seed);
    value_ = static_cast<uint32_t>(static_cast<int64_t>(seed));
  }
}

std::mt19937 Seed::Engine() const { return std::mt19937(given_ ? value_ : std::random_device{}()); }

double UniformReal(std::mt19937& engine) {
  const uint32_t high = engine() >> 5;
  const uint32_t low = engine() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

namespace {

/// Normal numbers in pairs, by Marsaglia's polar method.
class NormalReal {
 public:
  double operator()(std::mt19937& engine) {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    double u = 0;
    double v = 0;
    double square = 0;
    do {
      u = 2 * UniformReal(engine) - 1;
      v = 2 * UniformReal(engine) - 1;
      square = u * u + v * v;
    } while (square >= 1 || square == 0);
    const double factor = std::sqrt(-2 * std::log(square) / square);
    spare_ = factor * u;
    has_spare_ = true;
    return factor * v;
  }

 private:
  double spare_ = 0;
  bool has_spare_ = false;
};

/// mean + scale · normal, or low + (high - low) · uniform.
struct Distribution {
  bool normal = false;
  double offset = 0;
  double scale = 1;
};

Distribution ReadDistribution(const NodeSpec& node, bool normal) {
  if (normal) return {true, node.attributes.Float("mean", 0.0f), node.attributes.Float("scale", 1.0f)};
  const double low = node.attributes.Float("low", 0.0f);
  return {false, low, static_cast<double>(node.attributes.Float("high", 1.0f)) - low};
}

void Draw(const Distribution& distribution, const Seed& seed, Tensor& y) {
  std::mt19937 engine = seed.Engine();
  NormalReal normal;
  for (int64_t i = 0; i < y.elements(); ++i) {
    const double unit = distribution.normal ? normal(engine) : UniformReal(engine);
    const double value = distribution.offset + distribution.scale * unit;
    ConvertElements(DType::kFloat64, &value, y.dtype(),
                    static_cast<char*>(y.raw()) + static_cast<size_t>(i) * ElementSize(y.dtype()), 1);
  }
}

template <bool kNormal>
std::unique_ptr<Kernel> MakeRandom(const NodeSpec& node) {
  return MakeKernel([distribution = ReadDistribution(node, kNormal), seed = Seed(node),
                     dtype = static_cast<DType>(node.attributes.Int("dtype", 1)),
                     shape = ShapeFrom(node.attributes.Ints("shape"))](KernelContext& context) {
    Draw(distribution, seed, context.Output(0, dtype, shape));
  });
}

template <bool kNormal>
std::unique_ptr<Kernel> MakeRandomLike(const NodeSpec& node) {
  return MakeKernel([distribution = ReadDistribution(node, kNormal), seed = Seed(node),
                     attribute = static_cast<DType>(node.attributes.Int("dtype", 0))](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Shape shape = x.shape();
    Draw(distribution, seed, context.Output(0, attribute == DType::kUndefined ? x.dtype() : attribute, shape));
  });
}

/// 1 with the probability that the input gives.
std::unique_ptr<Kernel> MakeBernoulli(const NodeSpec& node) {
  return MakeKernel(
      [seed = Seed(node), attribute = static_cast<DType>(node.attributes.Int("dtype", 0))](KernelContext& context) {
        const Tensor& x = context.Input(0);
        const double* probability = ReadAs<double>(context, x);
        Tensor& y = context.Output(0, attribute == DType::kUndefined ? x.dtype() : attribute, x.shape());
        std::mt19937 engine = seed.Engine();
        uint8_t* drawn = context.Scratch<uint8_t>(static_cast<size_t>(x.elements()));
        for (int64_t i = 0; i < x.elements(); ++i) drawn[i] = UniformReal(engine) < probability[i] ? 1 : 0;
        ConvertElements(DType::kUInt8, drawn, y.dtype(), y.raw(), y.elements());
      });
}

/// Classes drawn with probabilities whose logarithms, up to a constant, are the rows of the input.
std::unique_ptr<Kernel> MakeMultinomial(const NodeSpec& node) {
  return MakeKernel([seed = Seed(node), samples = node.attributes.Int("sample_size", 1),
                     dtype = static_cast<DType>(node.attributes.Int("dtype", 6))](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() == 2 && x.dim(1) > 0, ErrorCode::kInvalidArgument,
            "the input must be [batch, classes], and has shape ", x.shape());
    Require(dtype == DType::kInt32 || dtype == DType::kInt64, ErrorCode::kInvalidModel,
            "attribute 'dtype' must be int32 or int64");
    const double* logits = ReadAs<double>(context, x);
    const int64_t classes = x.dim(1);
    Tensor& y = context.Output(0, dtype, ShapeFrom({x.dim(0), samples}));
    std::mt19937 engine = seed.Engine();
    std::vector<double> cumulative(static_cast<size_t>(classes));
    for (int64_t row = 0; row < x.dim(0); ++row) {
      const double* line = logits + row * classes;
      const double greatest = *std::max_element(line, line + classes);
      double sum = 0;
      for (int64_t c = 0; c < classes; ++c) cumulative[static_cast<size_t>(c)] = sum += std::exp(line[c] - greatest);
      for (int64_t i = 0; i < samples; ++i) {
        const auto at = std::upper_bound(cumulative.begin(), cumulative.end(), UniformReal(engine) * sum);
        const int64_t drawn = std::min<int64_t>(classes - 1, at - cumulative.begin());
        ConvertElements(DType::kInt64, &drawn, dtype,
                        static_cast<char*>(y.raw()) + static_cast<size_t>(row * samples + i) * ElementSize(dtype), 1);
      }
    }
  });
}

}  // namespace

void AddRandom(KernelTable& table) {
  table.Add("", "Bernoulli", {15, 22}, &MakeBernoulli);
  table.Add("", "Multinomial", {7, 22}, &MakeMultinomial);
  table.Add("", "RandomNormal", {1, 22}, &MakeRandom<true>);
  table.Add("", "RandomNormalLike", {1, 22}, &MakeRandomLike<true>);
  table.Add("", "RandomUniform", {1, 22}, &MakeRandom<false>);
  table.Add("", "RandomUniformLike", {1, 22}, &MakeRandomLike<false>);
}

}  // namespace onnxforge::reference
