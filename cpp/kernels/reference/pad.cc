// Pad and CenterCropPad.
#include <algorithm>
#include <string>
#include <vector>

#include "reference/compute.h"
#include "reference/gather_axes.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

enum class PadMode { kConstant, kReflect, kEdge, kWrap };

PadMode ReadMode(const NodeSpec& node) {
  const std::string mode = node.attributes.String("mode", "constant");
  if (mode == "constant") return PadMode::kConstant;
  if (mode == "reflect") return PadMode::kReflect;
  if (mode == "edge") return PadMode::kEdge;
  if (mode == "wrap" && node.since_version >= 19) return PadMode::kWrap;
  Fail(ErrorCode::kInvalidModel, "attribute 'mode' is '", mode, "', which Pad-", node.since_version, " does not have");
}

/// For each position along the padded axis, where its element comes from; kFill where it is the constant. Negative pads
/// cut off first; what is then added mirrors, repeats or continues what is left.
std::vector<int64_t> SourceIndices(int64_t extent, int64_t before, int64_t after, PadMode mode) {
  const int64_t first = std::max<int64_t>(0, -before);
  const int64_t kept = extent - first - std::max<int64_t>(0, -after);
  Require(kept >= 0, ErrorCode::kInvalidArgument, "pads ", before, " and ", after, " cut more than an axis of ", extent,
          " has");
  const int64_t lead = std::max<int64_t>(0, before);
  const int64_t total = lead + kept + std::max<int64_t>(0, after);
  Require(mode == PadMode::kConstant || kept > 0 || total == 0, ErrorCode::kInvalidArgument,
          "an empty axis can only be padded with a constant");
  std::vector<int64_t> out(static_cast<size_t>(total));
  for (int64_t i = 0; i < total; ++i) {
    int64_t at = i - lead;
    if (at < 0 || at >= kept) {
      switch (mode) {
        case PadMode::kConstant:
          out[static_cast<size_t>(i)] = kFill;
          continue;
        case PadMode::kEdge:
          at = at < 0 ? 0 : kept - 1;
          break;
        case PadMode::kWrap:
          at = ((at % kept) + kept) % kept;
          break;
        case PadMode::kReflect: {
          const int64_t period = std::max<int64_t>(1, 2 * (kept - 1));
          at = ((at % period) + period) % period;
          if (at >= kept) at = period - at;
          break;
        }
      }
    }
    out[static_cast<size_t>(i)] = first + at;
  }
  return out;
}

/// `pads`: all begins, then all ends, of `axes`. `fill`: one element of the input's type, or null for its zero.
void RunPad(KernelContext& context, const std::vector<int64_t>& pads, const std::vector<size_t>& axes, PadMode mode,
            const void* fill) {
  const Tensor& x = context.Input(0);
  Require(pads.size() == 2 * axes.size(), ErrorCode::kInvalidArgument, pads.size(), " pads for ", axes.size(), " axes");
  if (x.rank() == 0) {
    context.SetOutput(0, x);
    return;
  }
  std::vector<int64_t> before(x.rank(), 0);
  std::vector<int64_t> after(x.rank(), 0);
  for (size_t k = 0; k < axes.size(); ++k) {
    before[axes[k]] = pads[k];
    after[axes[k]] = pads[axes.size() + k];
  }
  // The shape first: a wrong pad is to be named before anything of its size is made.
  Shape shape = x.shape();
  for (size_t i = 0; i < x.rank(); ++i) {
    constexpr int64_t kMost = int64_t{1} << 60;
    Require(std::max(before[i], after[i]) < kMost && std::min(before[i], after[i]) > -kMost,
            ErrorCode::kInvalidArgument, "pads ", before[i], " and ", after[i], " along axis ", i,
            " are too far from 0");
    shape[i] += before[i] + after[i];
    Require(shape[i] >= 0, ErrorCode::kInvalidArgument, "pads ", before[i], " and ", after[i], " cut more than axis ",
            i, " of shape ", x.shape(), " has");
  }
  Tensor& y = context.Output(0, x.dtype(), shape);
  if (y.elements() == 0) return;
  std::vector<std::vector<int64_t>> sources;
  for (size_t i = 0; i < x.rank(); ++i) sources.push_back(SourceIndices(x.dim(i), before[i], after[i], mode));
  GatherAxes(context.Threads(), x, sources, fill, y);
}

std::vector<size_t> AllAxes(size_t rank) {
  std::vector<size_t> axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = i;
  return axes;
}

std::unique_ptr<Kernel> MakePad(const NodeSpec& node) {
  return MakeKernel([mode = ReadMode(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor* value = context.OptionalInput(2);
    const Tensor* axes = context.OptionalInput(3);
    if (value != nullptr) {
      Require(value->elements() == 1 && value->dtype() == x.dtype(), ErrorCode::kInvalidArgument,
              "constant_value must be one element of ", x.dtype(), ", and is ", value->dtype(), value->shape());
    }
    RunPad(context, context.Input(1).To<int64_t>(),
           axes != nullptr ? NormalizeAxes(axes->To<int64_t>(), x.rank()) : AllAxes(x.rank()), mode,
           value != nullptr ? value->raw() : nullptr);
  });
}

std::unique_ptr<Kernel> MakePadByAttributes(const NodeSpec& node) {
  return MakeKernel(
      [mode = ReadMode(node), value = node.attributes.Float("value", 0.0f),
       pads = node.attributes.Ints(node.since_version == 1 ? "paddings" : "pads")](KernelContext& context) {
        const Tensor& x = context.Input(0);
        double fill = 0;  // room for any element
        ConvertElements(DType::kFloat32, &value, x.dtype(), &fill, 1);
        RunPad(context, pads, AllAxes(x.rank()), mode, &fill);
      });
}

/// Crops and pads to a shape, keeping the centre; an odd difference goes to the end.
std::unique_ptr<Kernel> MakeCenterCropPad(const NodeSpec& node) {
  return MakeKernel(
      [attribute = node.attributes.Ints("axes"), given = node.attributes.Has("axes")](KernelContext& context) {
        const Tensor& x = context.Input(0);
        const std::vector<size_t> axes = given ? NormalizeAxes(attribute, x.rank()) : AllAxes(x.rank());
        const Shape target = ShapeFrom(context.Input(1).To<int64_t>());
        Require(target.rank() == axes.size(), ErrorCode::kInvalidArgument, target.rank(), " extents for ", axes.size(),
                " axes");
        std::vector<int64_t> pads(2 * axes.size());
        for (size_t k = 0; k < axes.size(); ++k) {
          const int64_t difference = target[k] - x.dim(axes[k]);
          const int64_t before = difference / 2;  // towards zero, as the crop is
          pads[k] = before;
          pads[axes.size() + k] = difference - before;
        }
        RunPad(context, pads, axes, PadMode::kConstant, nullptr);
      });
}

}  // namespace

void AddPad(KernelTable& table) {
  table.Add("", "CenterCropPad", {18}, &MakeCenterCropPad);
  table.Add("", "Pad", {1, 2}, &MakePadByAttributes);
  table.Add("", "Pad", {11, 13, 18, 19, 21, 23, 24, 25}, &MakePad);
}

}  // namespace onnxforge::reference
