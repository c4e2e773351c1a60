#include "reference/window.h"

#include <algorithm>

#include "onnxforge/base/error.h"

namespace onnxforge::reference {
namespace {

int64_t Product(const std::vector<int64_t>& values) {
  int64_t product = 1;
  for (int64_t v : values) product *= v;
  return product;
}

std::vector<int64_t> OrOnes(std::vector<int64_t> values, size_t rank, const char* name) {
  if (values.empty()) values.assign(rank, 1);
  Require(values.size() == rank, ErrorCode::kInvalidModel, "attribute '", name, "' has ", values.size(),
          " numbers for ", rank, " spatial axes");
  for (int64_t v : values) {
    Require(v > 0 && v < (int64_t{1} << 31), ErrorCode::kInvalidModel, "attribute '", name, "' has the value ", v);
  }
  return values;
}

void RequireCountable(const std::vector<int64_t>& kernel) {
  constexpr int64_t kMost = int64_t{1} << 31;
  int64_t taps = 1;
  for (int64_t k : kernel) {
    Require(k < kMost / taps, ErrorCode::kInvalidModel, "a kernel of ", Shape(Span<const int64_t>(kernel)),
            " elements is too large");
    taps *= k;
  }
}

AutoPad ReadAutoPad(const NodeSpec& node) {
  const std::string name = node.attributes.String("auto_pad", "NOTSET");
  if (name == "NOTSET") return AutoPad::kNotSet;
  if (name == "SAME_UPPER") return AutoPad::kSameUpper;
  if (name == "SAME_LOWER") return AutoPad::kSameLower;
  if (name == "VALID") return AutoPad::kValid;
  Fail(ErrorCode::kInvalidModel, "attribute 'auto_pad' is '", name, "', not NOTSET, SAME_UPPER, SAME_LOWER or VALID");
}

}  // namespace

int64_t Window::positions() const { return Product(output); }
int64_t Window::taps() const { return Product(kernel); }
int64_t Window::plane() const { return Product(input); }

void Window::Sources(int64_t begin, int64_t count, int64_t* sources) const {
  const size_t axes = rank();
  std::vector<int64_t> at(axes, 0);  // the position's index per axis
  int64_t rest = begin;
  for (size_t axis = axes; axis-- > 0;) {
    at[axis] = rest % output[axis];
    rest /= output[axis];
  }
  const int64_t tap_count = taps();
  std::vector<int64_t> tap(axes, 0);
  for (int64_t p = 0; p < count; ++p) {
    std::fill(tap.begin(), tap.end(), 0);
    for (int64_t k = 0; k < tap_count; ++k) {
      int64_t source = 0;
      for (size_t axis = 0; axis < axes; ++axis) {
        const int64_t x = at[axis] * strides[axis] + tap[axis] * dilations[axis] - pad_begin[axis];
        if (x < 0 || x >= input[axis]) {
          source = kOutside;
          break;
        }
        source = source * input[axis] + x;
      }
      sources[k * count + p] = source;
      for (size_t axis = axes; axis-- > 0 && ++tap[axis] == kernel[axis];) tap[axis] = 0;
    }
    for (size_t axis = axes; axis-- > 0 && ++at[axis] == output[axis];) at[axis] = 0;
  }
}

int64_t Window::PaddedTaps(int64_t position) const {
  int64_t product = 1;
  for (size_t axis = rank(); axis-- > 0;) {
    const int64_t start = (position % output[axis]) * strides[axis] - pad_begin[axis];
    position /= output[axis];
    int64_t inside = 0;
    for (int64_t k = 0; k < kernel[axis]; ++k)
      inside += start + k * dilations[axis] < input[axis] + pad_end[axis] ? 1 : 0;
    product *= inside;
  }
  return product;
}

WindowAttributes::WindowAttributes(const NodeSpec& node)
    : kernel_(node.attributes.Ints("kernel_shape")),
      strides_(node.attributes.Ints("strides")),
      dilations_(node.attributes.Ints("dilations")),
      pads_(node.attributes.Ints("pads")),
      auto_pad_(ReadAutoPad(node)),
      ceil_mode_(node.attributes.Int("ceil_mode", 0) != 0) {}

Window WindowAttributes::Open(Span<const int64_t> kernel) const {
  Window w;
  w.kernel = kernel_.empty() ? std::vector<int64_t>(kernel.begin(), kernel.end()) : kernel_;
  const size_t rank = w.kernel.size();
  Require(rank > 0, ErrorCode::kInvalidModel, "attribute 'kernel_shape' is missing");
  w.kernel = OrOnes(w.kernel, rank, "kernel_shape");
  RequireCountable(w.kernel);
  w.strides = OrOnes(strides_, rank, "strides");
  w.dilations = OrOnes(dilations_, rank, "dilations");
  w.pad_begin.assign(rank, 0);
  w.pad_end.assign(rank, 0);
  if (auto_pad_ == AutoPad::kNotSet && !pads_.empty()) {
    Require(pads_.size() == 2 * rank, ErrorCode::kInvalidModel, "attribute 'pads' has ", pads_.size(), " numbers for ",
            rank, " spatial axes");
    for (int64_t pad : pads_) {
      Require(pad > -(int64_t{1} << 31) && pad < (int64_t{1} << 31), ErrorCode::kInvalidModel,
              "attribute 'pads' has the value ", pad);
    }
    std::copy_n(pads_.begin(), rank, w.pad_begin.begin());
    std::copy_n(pads_.begin() + static_cast<std::ptrdiff_t>(rank), rank, w.pad_end.begin());
  }
  return w;
}

Window WindowAttributes::Resolve(Span<const int64_t> spatial, Span<const int64_t> kernel) const {
  Window w = Open(kernel);
  Require(kernel.empty() || std::equal(kernel.begin(), kernel.end(), w.kernel.begin(), w.kernel.end()),
          ErrorCode::kInvalidArgument, "attribute 'kernel_shape' is ", Shape(Span<const int64_t>(w.kernel)),
          ", and the filters are of ", Shape(kernel));
  Require(w.kernel.size() == spatial.size(), ErrorCode::kInvalidArgument, "the kernel has ", w.kernel.size(),
          " spatial axes and the input ", spatial.size());
  w.input.assign(spatial.begin(), spatial.end());
  w.output.resize(spatial.size());
  for (size_t axis = 0; axis < spatial.size(); ++axis) {
    const int64_t reach = (w.kernel[axis] - 1) * w.dilations[axis] + 1;
    const int64_t stride = w.strides[axis];
    if (auto_pad_ == AutoPad::kSameUpper || auto_pad_ == AutoPad::kSameLower) {
      w.output[axis] = (w.input[axis] + stride - 1) / stride;
      const int64_t total = std::max<int64_t>(0, (w.output[axis] - 1) * stride + reach - w.input[axis]);
      w.pad_begin[axis] = auto_pad_ == AutoPad::kSameUpper ? total / 2 : total - total / 2;
      w.pad_end[axis] = total - w.pad_begin[axis];
      continue;
    }
    const int64_t room = w.input[axis] + w.pad_begin[axis] + w.pad_end[axis] - reach;
    Require(room >= 0, ErrorCode::kInvalidArgument, "a kernel that reaches over ", reach,
            " elements does not fit into ", w.input[axis], " with pads ", w.pad_begin[axis], " and ", w.pad_end[axis],
            " (spatial axis ", axis, ")");
    const bool up = ceil_mode_ && auto_pad_ == AutoPad::kNotSet;
    w.output[axis] = (room + (up ? stride - 1 : 0)) / stride + 1;
    // A window that would start in the padding at the end does not count.
    if (up && (w.output[axis] - 1) * stride >= w.input[axis] + w.pad_begin[axis]) --w.output[axis];
  }
  return w;
}

Span<const int64_t> SpatialOf(const Shape& shape) {
  Require(shape.rank() >= 3, ErrorCode::kInvalidArgument, "the input must be [N, C, D1, …], and has shape ", shape);
  return shape.dims().subspan(2, shape.rank() - 2);
}

Shape WithSpatial(int64_t batch, int64_t channels, const std::vector<int64_t>& spatial) {
  Shape shape = {batch, channels};
  for (int64_t extent : spatial) shape.Append(extent);
  return shape;
}

}  // namespace onnxforge::reference
