// Transpose, and the two operators that are one between fixed reshapes: DepthToSpace and SpaceToDepth.
#include <string>
#include <vector>

#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

/// `x` seen under `shape`, with its axes permuted, into output 0 of shape `result`.
void RunTranspose(KernelContext& context, const Tensor& x, const Shape& shape, Span<const size_t> perm,
                  const Shape& result) {
  const Shape strides = RowMajorStrides(shape);
  Shape permuted = Shape::Filled(shape.rank(), 0);
  Shape steps = Shape::Filled(shape.rank(), 0);
  for (size_t i = 0; i < perm.size(); ++i) {
    permuted[i] = shape[perm[i]];
    steps[i] = strides[perm[i]];
  }
  Tensor& y = context.Output(0, x.dtype(), result);
  CopyStrided(context.Threads(), x.dtype(), x.raw(), 0, permuted, steps, y.raw());
}

std::unique_ptr<Kernel> MakeTranspose(const NodeSpec& node) {
  return MakeKernel(
      [attribute = node.attributes.Ints("perm"), given = node.attributes.Has("perm")](KernelContext& context) {
        const Tensor& x = context.Input(0);
        std::vector<size_t> perm;
        for (size_t i = x.rank(); i-- > 0 && !given;) perm.push_back(i);
        if (given) perm = NormalizeAxes(attribute, x.rank());
        Require(perm.size() == x.rank(), ErrorCode::kInvalidArgument, "attribute 'perm' has ", perm.size(),
                " axes and the input has ", x.rank());
        Shape result;
        for (size_t axis : perm) result.Append(x.dim(axis));
        RunTranspose(context, x, x.shape(), Span<const size_t>(perm), result);
      });
}

struct Blocks {
  int64_t size = 0;
  bool column_first = false;  // mode CRD
};

Blocks ReadBlocks(const NodeSpec& node) {
  const int64_t size = node.attributes.Int("blocksize");
  Require(size > 0 && size < (int64_t{1} << 31), ErrorCode::kInvalidModel, "attribute 'blocksize' is ", size);
  const std::string mode = node.attributes.String("mode", "DCR");
  Require(mode == "DCR" || mode == "CRD", ErrorCode::kInvalidModel, "attribute 'mode' must be 'DCR' or 'CRD', not '",
          mode, "'");
  return {size, mode == "CRD"};
}

void RequireImage(const Tensor& x) {
  Require(x.rank() == 4, ErrorCode::kInvalidArgument, "the input must be [N, C, H, W], and has shape ", x.shape());
}

std::unique_ptr<Kernel> MakeDepthToSpace(const NodeSpec& node) {
  return MakeKernel([blocks = ReadBlocks(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    RequireImage(x);
    const int64_t b = blocks.size;
    Require(x.dim(1) % (b * b) == 0, ErrorCode::kInvalidArgument, x.dim(1),
            " channels do not divide by blocksize² = ", b * b);
    const int64_t depth = x.dim(1) / (b * b);
    const Shape result = {x.dim(0), depth, x.dim(2) * b, x.dim(3) * b};
    if (blocks.column_first) {
      const std::vector<size_t> perm = {0, 1, 4, 2, 5, 3};
      RunTranspose(context, x, {x.dim(0), depth, b, b, x.dim(2), x.dim(3)}, Span<const size_t>(perm), result);
    } else {
      const std::vector<size_t> perm = {0, 3, 4, 1, 5, 2};
      RunTranspose(context, x, {x.dim(0), b, b, depth, x.dim(2), x.dim(3)}, Span<const size_t>(perm), result);
    }
  });
}

std::unique_ptr<Kernel> MakeSpaceToDepth(const NodeSpec& node) {
  return MakeKernel([blocks = ReadBlocks(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    RequireImage(x);
    const int64_t b = blocks.size;
    Require(x.dim(2) % b == 0 && x.dim(3) % b == 0, ErrorCode::kInvalidArgument, "an image of ", x.dim(2), "×",
            x.dim(3), " does not divide into blocks of ", b);
    const Shape split = {x.dim(0), x.dim(1), x.dim(2) / b, b, x.dim(3) / b, b};
    const std::vector<size_t> perm =
        blocks.column_first ? std::vector<size_t>{0, 1, 3, 5, 2, 4} : std::vector<size_t>{0, 3, 5, 1, 2, 4};
    RunTranspose(context, x, split, Span<const size_t>(perm), {x.dim(0), x.dim(1) * b * b, x.dim(2) / b, x.dim(3) / b});
  });
}

}  // namespace

void AddTranspose(KernelTable& table) {
  table.Add("", "DepthToSpace", {1, 11, 13, 28}, &MakeDepthToSpace);
  table.Add("", "SpaceToDepth", {1, 13, 28}, &MakeSpaceToDepth);
  table.Add("", "Transpose", {1, 13, 21, 23, 24, 25}, &MakeTranspose);
}

}  // namespace onnxforge::reference
