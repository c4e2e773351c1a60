// Cast, CastLike, BitCast and CastMap.
#include "reference/cast.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <locale>
#include <sstream>
#include <string>
#include <vector>

#include "reference/broadcast.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

/// The shortest decimal that reads back as the same number; whatever the process's locale.
template <typename T>
std::string NumberToText(T value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-INF" : "INF";
  // Every number of digits10 digits is told from its neighbours; those below the normal ones may need fewer.
  const bool subnormal = std::abs(value) < std::numeric_limits<T>::min();
  const int fewest = subnormal ? 1 : std::numeric_limits<T>::digits10;
  for (int digits = fewest; digits < std::numeric_limits<T>::max_digits10; ++digits) {
    std::ostringstream out;
    out.imbue(std::locale::classic());
    out.precision(digits);
    out << value;
    std::istringstream in(out.str());
    in.imbue(std::locale::classic());
    T back{};
    in >> back;
    if (back == value) return out.str();
  }
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(std::numeric_limits<T>::max_digits10);
  out << value;
  return out.str();
}

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n\r\f\v");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\n\r\f\v") - first + 1);
}

bool EqualsIgnoringCase(const std::string& a, const char* lower) {
  size_t i = 0;
  for (; i < a.size() && lower[i] != '\0'; ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] - 'A' + 'a') : a[i];
    if (c != lower[i]) return false;
  }
  return i == a.size() && lower[i] == '\0';
}

/// Plain and scientific decimals, and NaN and infinity in any case.
double TextToReal(const std::string& text) {
  const std::string trimmed = Trimmed(text);
  const bool negative = !trimmed.empty() && trimmed[0] == '-';
  const std::string unsigned_part =
      !trimmed.empty() && (trimmed[0] == '-' || trimmed[0] == '+') ? trimmed.substr(1) : trimmed;
  if (EqualsIgnoringCase(unsigned_part, "nan")) return std::numeric_limits<double>::quiet_NaN();
  if (EqualsIgnoringCase(unsigned_part, "inf") || EqualsIgnoringCase(unsigned_part, "infinity")) {
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  std::istringstream in(trimmed);
  in.imbue(std::locale::classic());
  double value = 0;
  in >> value;
  const bool failed = in.fail();
  // Beyond the range the stream fails, but has stored the greatest number there is.
  const bool overflow = failed && std::abs(value) == std::numeric_limits<double>::max();
  const bool at_end = in.eof() || in.peek() == std::char_traits<char>::eof();
  Require((!failed || overflow) && at_end, ErrorCode::kInvalidArgument, "'", text, "' is not a number");
  if (overflow) return std::copysign(std::numeric_limits<double>::infinity(), value);
  return value;
}

/// Whole numbers digit by digit, so that none of 64 bits is lost; anything else by way of a real number.
bool TextToInteger(const std::string& text, bool& negative, uint64_t& magnitude) {
  const std::string trimmed = Trimmed(text);
  size_t i = !trimmed.empty() && (trimmed[0] == '-' || trimmed[0] == '+') ? 1 : 0;
  negative = !trimmed.empty() && trimmed[0] == '-';
  magnitude = 0;
  if (i == trimmed.size()) return false;
  for (; i < trimmed.size(); ++i) {
    if (trimmed[i] < '0' || trimmed[i] > '9') return false;
    const auto digit = static_cast<uint64_t>(trimmed[i] - '0');
    if (magnitude > (std::numeric_limits<uint64_t>::max() - digit) / 10) return false;
    magnitude = magnitude * 10 + digit;
  }
  return true;
}

void FromText(const std::string& text, DType to, void* y, const ConvertOptions& options) {
  bool negative = false;
  uint64_t magnitude = 0;
  if (!IsFloating(to) && TextToInteger(text, negative, magnitude)) {
    if (negative) magnitude = uint64_t{0} - magnitude;
    ConvertElements(negative ? DType::kInt64 : DType::kUInt64, &magnitude, to, y, 1, options);
    return;
  }
  const double value = TextToReal(text);
  ConvertElements(DType::kFloat64, &value, to, y, 1, options);
}

std::string ToText(DType from, const void* x) {
  if (from == DType::kBool) return *static_cast<const bool*>(x) ? "1" : "0";
  if (from == DType::kFloat64) return NumberToText(*static_cast<const double*>(x));
  if (from == DType::kUInt64) return std::to_string(*static_cast<const uint64_t*>(x));
  if (IsFloating(from)) {
    float value = 0;
    ConvertElements(from, x, DType::kFloat32, &value, 1);
    return NumberToText(value);
  }
  int64_t value = 0;
  ConvertElements(from, x, DType::kInt64, &value, 1);
  return std::to_string(value);
}

}  // namespace

void CastElements(ThreadPool& threads, const Tensor& x, Tensor& y, const ConvertOptions& options) {
  const DType to = y.dtype();
  const auto in_size = static_cast<int64_t>(ElementSize(x.dtype()));
  const auto out_size = static_cast<int64_t>(ElementSize(to));
  const auto* in = static_cast<const char*>(x.raw());
  auto* out = static_cast<char*>(y.raw());
  if (x.dtype() == to) {
    CopyElements(to, x.raw(), 0, y.raw(), 0, x.elements());
  } else if (to == DType::kString) {
    for (int64_t i = 0; i < x.elements(); ++i) y.data<std::string>()[i] = ToText(x.dtype(), in + i * in_size);
  } else if (x.dtype() == DType::kString) {
    for (int64_t i = 0; i < x.elements(); ++i) FromText(x.data<std::string>()[i], to, out + i * out_size, options);
  } else {
    threads.ParallelFor(x.elements(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
      ConvertElements(x.dtype(), in + begin * in_size, to, out + begin * out_size, end - begin, options);
    });
  }
}

namespace {

void RunCast(KernelContext& context, DType to, const ConvertOptions& options) {
  const Tensor& x = context.Input(0);
  if (x.dtype() == to) {
    context.SetOutput(0, x);
  } else {
    CastElements(context.Threads(), x, context.Output(0, to, x.shape()), options);
  }
}

ConvertOptions ReadOptions(const NodeSpec& node) {
  ConvertOptions options;
  options.saturate = node.attributes.Int("saturate", 1) != 0;
  const std::string mode = node.attributes.String("round_mode", "up");
  Require(mode == "up" || mode == "down" || mode == "nearest", ErrorCode::kInvalidModel,
          "attribute 'round_mode' must be 'up', 'down' or 'nearest', not '", mode, "'");
  options.rounding = mode == "up"     ? Float8E8M0::Rounding::kUp
                     : mode == "down" ? Float8E8M0::Rounding::kDown
                                      : Float8E8M0::Rounding::kNearest;
  return options;
}

/// Version 1 names the type as TensorProto.DataType's member does: "FLOAT".
DType TypeFromEnumName(const std::string& name) {
  struct Row {
    const char* name;
    DType dtype;
  };
  constexpr Row kRows[] = {{"FLOAT", DType::kFloat32},  {"UINT8", DType::kUInt8},   {"INT8", DType::kInt8},
                           {"UINT16", DType::kUInt16},  {"INT16", DType::kInt16},   {"INT32", DType::kInt32},
                           {"INT64", DType::kInt64},    {"BOOL", DType::kBool},     {"FLOAT16", DType::kFloat16},
                           {"DOUBLE", DType::kFloat64}, {"UINT32", DType::kUInt32}, {"UINT64", DType::kUInt64}};
  for (const Row& row : kRows) {
    if (name == row.name) return row.dtype;
  }
  Fail(ErrorCode::kInvalidModel, "attribute 'to' is '", name, "', which is no type Cast-1 knows");
}

DType ReadTarget(const NodeSpec& node) {
  const DType to = node.since_version == 1 ? TypeFromEnumName(node.attributes.Get<std::string>("to"))
                                           : static_cast<DType>(node.attributes.Int("to"));
  Require(IsValid(to), ErrorCode::kUnsupported, "attribute 'to' is ", static_cast<int>(to),
          ", no element type known here");
  return to;
}

std::unique_ptr<Kernel> MakeCast(const NodeSpec& node) {
  return MakeKernel(
      [to = ReadTarget(node), options = ReadOptions(node)](KernelContext& context) { RunCast(context, to, options); });
}

std::unique_ptr<Kernel> MakeCastLike(const NodeSpec& node) {
  return MakeKernel(
      [options = ReadOptions(node)](KernelContext& context) { RunCast(context, context.Input(1).dtype(), options); });
}

std::unique_ptr<Kernel> MakeBitCast(const NodeSpec& node) {
  return MakeKernel([to = ReadTarget(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(PackedBits(x.dtype()) == PackedBits(to) && x.dtype() != DType::kString, ErrorCode::kInvalidModel,
            "elements of ", x.dtype(), " and ", to, " differ in size");
    if (PackedBits(to) >= 8) {
      context.SetOutput(0, x.Reinterpreted(to));
      return;
    }
    // In memory the signed small types are sign-extended and the others are not.
    Tensor& y = context.Output(0, to, x.shape());
    const auto* in = static_cast<const uint8_t*>(x.raw());
    auto* out = static_cast<uint8_t*>(y.raw());
    const auto unused = static_cast<unsigned>(8 - PackedBits(to));
    for (int64_t i = 0; i < x.elements(); ++i) {
      const auto high = static_cast<uint8_t>(in[i] << unused);
      out[i] = IsSignedInteger(to) ? static_cast<uint8_t>(static_cast<int8_t>(high) >> unused)
                                   : static_cast<uint8_t>(high >> unused);
    }
  });
}

DType ReadMapTarget(const NodeSpec& node) {
  const std::string to = node.attributes.String("cast_to", "TO_FLOAT");
  if (to == "TO_FLOAT") return DType::kFloat32;
  if (to == "TO_INT64") return DType::kInt64;
  Require(to == "TO_STRING", ErrorCode::kInvalidModel,
          "attribute 'cast_to' must be TO_FLOAT, TO_STRING or TO_INT64, not '", to, "'");
  return DType::kString;
}

/// The values of a map in the order of its keys: one after the other, or (`width` ≥ 0) each at its key, among zeros.
Tensor Packed(const Map& map, int64_t width) {
  const std::vector<int64_t> keys = map.keys.To<int64_t>();
  const auto count = static_cast<int64_t>(keys.size());
  std::vector<int64_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
  Tensor out = Tensor::Allocate(map.values.dtype(), {1, width < 0 ? count : width});
  if (width >= 0 && out.dtype() == DType::kString) std::fill_n(out.data<std::string>(), width, "0");
  if (width >= 0 && out.dtype() != DType::kString) std::fill_n(static_cast<char*>(out.raw()), out.bytes(), '\0');
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = order[static_cast<size_t>(i)];
    const int64_t key = keys[static_cast<size_t>(from)];
    Require(width < 0 || (key >= 0 && key < width), ErrorCode::kInvalidArgument, "the key ", key,
            " is not within [0, max_map), which is ", width);
    CopyElements(out.dtype(), map.values.raw(), from, out.raw(), width < 0 ? i : key, 1);
  }
  return out;
}

std::unique_ptr<Kernel> MakeCastMap(const NodeSpec& node) {
  const std::string form = node.attributes.String("map_form", "DENSE");
  const int64_t width = node.attributes.Int("max_map", 1);
  Require(form == "DENSE" || form == "SPARSE", ErrorCode::kInvalidModel,
          "attribute 'map_form' must be DENSE or SPARSE, not '", form, "'");
  Require(form == "DENSE" || (width > 0 && width <= int64_t{1} << 28), ErrorCode::kInvalidModel,
          "attribute 'max_map' is ", width);
  return MakeKernel([to = ReadMapTarget(node), width = form == "SPARSE" ? width : -1](KernelContext& context) {
    const Tensor values = Packed(context.InputValue(0).map(), width);
    CastElements(context.Threads(), values, context.Output(0, to, values.shape()), {});
  });
}

}  // namespace

void AddCast(KernelTable& table) {
  table.Add("", "BitCast", {26}, &MakeBitCast);
  table.Add("", "Cast", {1, 6, 9, 13, 19, 21, 23, 24, 25, 28}, &MakeCast);
  table.Add("", "CastLike", {15, 19, 21, 23, 24, 25}, &MakeCastLike);
  table.Add("ai.onnx.ml", "CastMap", {1}, &MakeCastMap);
}

}  // namespace onnxforge::reference
