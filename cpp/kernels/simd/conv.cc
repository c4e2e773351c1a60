// Conv-1/11/22 for float32 in one or two spatial dimensions: as a matrix multiplication over a padded copy of the input
// (stride 1), over columns gathered tile by tile (other strides), or tap by tap (depthwise). Constant filters are
// packed when the session is built, others in every run.

#include <algorithm>
#include <cstring>
#include <utility>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "reference/window.h"
#include "simd/gemm.h"
#include "simd/list.h"

namespace onnxforge::simd {
namespace {

// The part of the input that the tiles of one task read should stay in the second-level cache.
constexpr size_t kTaskInputBytes = 256 * 1024;

/// Extents of one convolution; one spatial dimension counts as two with a height of 1.
struct Geometry {
  size_t batch = 0, channels = 0, height = 0, width = 0;
  size_t out_channels = 0, out_h = 0, out_w = 0;
  size_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  size_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  size_t padded_h() const { return pad_top + height + pad_bottom; }
  size_t padded_w() const { return pad_left + width + pad_right; }
  bool padded() const { return pad_top + pad_left + pad_bottom + pad_right != 0; }
};

/// Copies a plane into the middle of a larger one and fills its border with zeros.
void PadPlane(const Geometry& g, const float* from, float* to) {
  const size_t wide = g.padded_w();
  to = std::fill_n(to, g.pad_top * wide, 0.0f);
  for (size_t y = 0; y < g.height; ++y, from += g.width) {
    to = std::fill_n(to, g.pad_left, 0.0f);
    std::memcpy(to, from, g.width * sizeof(float));
    to = std::fill_n(to + g.width, g.pad_right, 0.0f);
  }
  std::fill_n(to, g.pad_bottom * wide, 0.0f);
}

/// Columns [begin, end) of one row of the image-to-column matrix: what filter tap (ky, kx) meets at output positions
/// begin … end - 1.
void GatherTap(const Geometry& g, const float* plane, size_t ky, size_t kx, size_t begin, size_t end, float* to) {
  const auto in_h = static_cast<ptrdiff_t>(g.height);
  const auto in_w = static_cast<ptrdiff_t>(g.width);
  while (begin < end) {
    const size_t oy = begin / g.out_w;
    size_t ox = begin % g.out_w;
    const size_t row_end = std::min(end - begin, g.out_w - ox) + ox;
    begin += row_end - ox;
    const ptrdiff_t y = static_cast<ptrdiff_t>(oy * g.stride_h + ky * g.dilation_h) - static_cast<ptrdiff_t>(g.pad_top);
    if (y < 0 || y >= in_h) {
      to = std::fill_n(to, row_end - ox, 0.0f);
      continue;
    }
    const float* row = plane + y * in_w;
    for (; ox < row_end; ++ox) {
      const ptrdiff_t x =
          static_cast<ptrdiff_t>(ox * g.stride_w + kx * g.dilation_w) - static_cast<ptrdiff_t>(g.pad_left);
      *to++ = x < 0 || x >= in_w ? 0.0f : row[x];
    }
  }
}

/// The filters [M, C / group, spatial…] as the multiplication wants them.
struct Filters {
  Tensor tensor;
  size_t groups = 1;
  size_t channels_per_group = 0;
  size_t out_per_group = 0;
  size_t kernel_h = 1;
  size_t kernel_w = 1;
  size_t k = 0;                   // the depth of the multiplication
  const float* packed = nullptr;  // [group][block][k][rows of the block]; not used when depthwise

  Filters() = default;
  Filters(Tensor filters, size_t group_count) : tensor(std::move(filters)), groups(group_count) {
    const Shape& shape = tensor.shape();
    Require(shape.rank() == 3 || shape.rank() == 4, ErrorCode::kInvalidArgument, "filters of shape ", shape,
            " are not for one or two spatial dimensions");
    Require(static_cast<size_t>(shape[0]) % groups == 0, ErrorCode::kInvalidArgument, "filters of shape ", shape,
            " cannot be divided into ", groups, " groups");
    channels_per_group = static_cast<size_t>(shape[1]);
    kernel_h = shape.rank() == 4 ? static_cast<size_t>(shape[2]) : 1;
    kernel_w = static_cast<size_t>(shape[shape.rank() - 1]);
    k = channels_per_group * kernel_h * kernel_w;
    out_per_group = static_cast<size_t>(shape[0]) / groups;
    Require(k != 0, ErrorCode::kInvalidArgument, "filters of shape ", shape, " are empty");
  }

  bool depthwise() const { return channels_per_group == 1 && groups > 1; }

  void Pack(const GemmOps& ops, float* out) {
    packed = out;
    const RowBlocks blocks(out_per_group, ops.mr);
    for (size_t group = 0; group < groups; ++group) {
      const float* from = tensor.data<float>() + group * out_per_group * k;
      for (size_t block = 0; block < blocks.count; ++block) {
        for (size_t i = 0; i < k; ++i) {
          for (size_t row = 0; row < blocks.size(block); ++row) *out++ = from[(blocks.begin(block) + row) * k + i];
        }
      }
    }
  }
};

class Conv final : public Kernel {
 public:
  explicit Conv(const NodeSpec& node)
      : ops_(GemmOpsFor(node.target)), window_(node), groups_(static_cast<size_t>(node.attributes.Int("group", 1))) {
    if (!node.IsConstant(1)) return;
    constant_ = Filters(node.constant_inputs[1], groups_);
    if (constant_.depthwise()) return;
    storage_ = AllocateStorage(constant_.tensor.bytes());
    constant_.Pack(ops_, static_cast<float*>(storage_.get()));
  }

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    const Tensor* bias = context.OptionalInput(2);
    const Filters filters = constant_.tensor.defined() ? constant_ : PackNow(context);
    const Geometry g = Measure(filters, x);
    Require(bias == nullptr || bias->elements() == filters.tensor.dim(0), ErrorCode::kInvalidArgument, "Conv has ",
            filters.tensor.dim(0), " filters and a bias of shape ", bias == nullptr ? Shape{} : bias->shape());
    Shape out_shape{x.dim(0), filters.tensor.dim(0)};
    if (x.rank() == 4) out_shape.Append(static_cast<int64_t>(g.out_h));
    out_shape.Append(static_cast<int64_t>(g.out_w));
    Tensor& out = context.Output(0, DType::kFloat32, out_shape);
    if (out.elements() == 0) return;
    CheckPaddedSize(g);
    const float* b = bias == nullptr ? nullptr : bias->data<float>();
    if (filters.depthwise()) {
      RunDepthwise(filters, g, x.data<float>(), b, out.data<float>(), context);
    } else if (g.stride_h == 1 && g.stride_w == 1) {
      RunUnitStride(filters, g, x.data<float>(), b, out.data<float>(), context);
    } else {
      RunGathered(filters, g, x.data<float>(), b, out.data<float>(), context);
    }
  }

 private:
  Filters PackNow(KernelContext& context) const {
    Filters filters(context.Input(1), groups_);
    if (!filters.depthwise()) {
      filters.Pack(ops_, context.Scratch<float>(static_cast<size_t>(filters.tensor.elements())));
    }
    return filters;
  }

  Geometry Measure(const Filters& f, const Tensor& x) const {
    Require(x.rank() == f.tensor.rank(), ErrorCode::kInvalidArgument, "Conv with filters of shape ", f.tensor.shape(),
            " needs an input of rank ", f.tensor.rank(), ", not ", x.shape());
    const size_t spatial = x.rank() - 2;
    Geometry g;
    g.batch = static_cast<size_t>(x.dim(0));
    g.channels = static_cast<size_t>(x.dim(1));
    g.height = spatial == 2 ? static_cast<size_t>(x.dim(2)) : 1;
    g.width = static_cast<size_t>(x.dim(x.rank() - 1));
    Require(g.channels == f.groups * f.channels_per_group, ErrorCode::kInvalidArgument, "Conv with filters of shape ",
            f.tensor.shape(), " in ", f.groups, " groups needs ", f.groups * f.channels_per_group, " channels, not ",
            g.channels);
    g.out_channels = f.groups * f.out_per_group;
    const reference::Window window =
        window_.Resolve(reference::SpatialOf(x.shape()), reference::SpatialOf(f.tensor.shape()));
    const auto extent = [](int64_t v) { return static_cast<size_t>(v); };
    const size_t last = spatial - 1;
    g.kernel_w = f.kernel_w;
    g.stride_w = extent(window.strides[last]);
    g.dilation_w = extent(window.dilations[last]);
    g.pad_left = extent(window.pad_begin[last]);
    g.pad_right = extent(window.pad_end[last]);
    g.out_w = extent(window.output[last]);
    g.out_h = 1;
    if (spatial == 2) {
      g.kernel_h = f.kernel_h;
      g.stride_h = extent(window.strides[0]);
      g.dilation_h = extent(window.dilations[0]);
      g.pad_top = extent(window.pad_begin[0]);
      g.pad_bottom = extent(window.pad_end[0]);
      g.out_h = extent(window.output[0]);
    }
    return g;
  }

  /// Fails where the padded input could not even be counted, so that sizes below can be multiplied without a check.
  static void CheckPaddedSize(const Geometry& g) {
    const auto extent = [](size_t v) { return static_cast<int64_t>(v); };
    (void)Shape{extent(g.batch), extent(g.channels), extent(g.padded_h()), extent(g.padded_w()), 64}.elements();
  }

  ConvCall BaseCall(const Filters& f, const Geometry& g, const float* bias, float* out, float* partial, size_t tiles,
                    size_t image, size_t group) const {
    const size_t channel = group * f.out_per_group;
    ConvCall call;
    call.out_channels = f.out_per_group;
    call.k = f.k;
    call.weights = f.packed + channel * f.k;
    call.row_width = g.out_w;
    call.output_stride = g.out_h * g.out_w;
    call.output = out + (image * g.out_channels + channel) * call.output_stride;
    call.bias = bias == nullptr ? nullptr : bias + channel;
    if (partial != nullptr) call.partial = partial + (image * g.out_channels + channel) * tiles * ops_.nr;
    return call;
  }

  float* PartialSums(const Filters& f, const Geometry& g, size_t tiles, KernelContext& context) const {
    if (f.k <= kConvDepth) return nullptr;
    return context.Scratch<float>(g.batch * g.out_channels * tiles * ops_.nr);
  }

  /// How the work of (images × groups) multiplications of `tiles` tiles is cut.
  struct Cut {
    size_t tile_chunks;
    size_t block_chunks;
    size_t per_matrix() const { return tile_chunks * block_chunks; }
  };

  Cut CutWork(const Filters& f, size_t matrices, size_t tiles, size_t blocks, int threads) const {
    const size_t depth_channels = std::max<size_t>(1, std::min(f.k, kConvDepth) / (f.kernel_h * f.kernel_w));
    const size_t cached_tiles = std::max<size_t>(1, kTaskInputBytes / (depth_channels * ops_.nr * sizeof(float)));
    Cut cut{CeilDiv(tiles, cached_tiles), 1};
    if (threads == 1) return cut;
    const size_t wanted = 3 * static_cast<size_t>(threads);
    cut.tile_chunks = std::max(cut.tile_chunks, std::min(tiles, CeilDiv(wanted, matrices)));
    cut.block_chunks = std::min(blocks, CeilDiv(wanted, matrices * cut.tile_chunks));
    return cut;
  }

  void RunUnitStride(const Filters& f, const Geometry& g, const float* x, const float* bias, float* out,
                     KernelContext& context) const {
    const size_t nr = ops_.nr;
    const size_t plane = g.padded_h() * g.padded_w();
    const float* input = g.padded() ? PadAll(g, x, plane, context) : x;
    const float* input_end = input + g.batch * g.channels * plane + (g.padded() ? nr : 0);
    const size_t positions = (g.out_h - 1) * g.padded_w() + g.out_w;
    const size_t tiles = CeilDiv(positions, nr);
    auto* offsets = context.Scratch<ptrdiff_t>(f.k);
    FillOffsets(f, g, plane, offsets);
    float* partial = PartialSums(f, g, tiles, context);
    // Without padding there is no room behind the last plane: its last tile is read from a copy.
    const bool copy_last = offsets[f.k - 1] + static_cast<ptrdiff_t>(tiles * nr) >
                           input_end - (input + (g.batch * g.channels - f.channels_per_group) * plane);
    float* last_tile = copy_last ? context.Scratch<float>(f.k * nr) : nullptr;
    auto* last_offsets = copy_last ? context.Scratch<ptrdiff_t>(f.k) : nullptr;

    const size_t matrices = g.batch * f.groups;
    const RowBlocks blocks(f.out_per_group, ops_.mr);
    const Cut cut = CutWork(f, matrices, tiles, blocks.count, context.Threads().size());
    if (copy_last) {
      const float* from = input + (g.batch * g.channels - f.channels_per_group) * plane + (tiles - 1) * nr;
      CopyTile(f, from, offsets, positions - (tiles - 1) * nr, last_tile, last_offsets);
    }
    context.Threads().ParallelFor(
        static_cast<int64_t>(matrices * cut.per_matrix()), 1, [&](int64_t begin, int64_t end) {
          for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
            const size_t matrix = i / cut.per_matrix();
            const size_t tile_chunk = i % cut.per_matrix() / cut.block_chunks;
            const size_t block_chunk = i % cut.block_chunks;
            const size_t first_block = blocks.count * block_chunk / cut.block_chunks;
            const size_t last_block = blocks.count * (block_chunk + 1) / cut.block_chunks;
            const size_t first_tile = tiles * tile_chunk / cut.tile_chunks;
            size_t end_tile = tiles * (tile_chunk + 1) / cut.tile_chunks;
            ConvCall call = BaseCall(f, g, bias, out, partial, tiles, matrix / f.groups, matrix % f.groups);
            call.positions = positions;
            call.row_stride = g.padded_w();
            if (copy_last && matrix + 1 == matrices && end_tile == tiles) {
              call.input = last_tile;
              call.offsets = last_offsets;
              call.first_tile = --end_tile;
              ops_.conv(call, first_block, last_block, end_tile, tiles);
              call.first_tile = 0;
            }
            call.input = input + matrix * f.channels_per_group * plane;
            call.offsets = offsets;
            ops_.conv(call, first_block, last_block, first_tile, end_tile);
          }
        });
  }

  const float* PadAll(const Geometry& g, const float* x, size_t plane, KernelContext& context) const {
    const size_t planes = g.batch * g.channels;
    float* padded = context.Scratch<float>(planes * plane + ops_.nr);
    std::fill_n(padded + planes * plane, ops_.nr, 0.0f);
    const auto grain = static_cast<int64_t>(1 + 16384 / plane);
    context.Threads().ParallelFor(static_cast<int64_t>(planes), grain, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        PadPlane(g, x + i * g.height * g.width, padded + i * plane);
      }
    });
    return padded;
  }

  void FillOffsets(const Filters& f, const Geometry& g, size_t plane, ptrdiff_t* offsets) const {
    for (size_t c = 0; c < f.channels_per_group; ++c) {
      for (size_t ky = 0; ky < f.kernel_h; ++ky) {
        for (size_t kx = 0; kx < f.kernel_w; ++kx) {
          *offsets++ = static_cast<ptrdiff_t>(c * plane + ky * g.dilation_h * g.padded_w() + kx * g.dilation_w);
        }
      }
    }
  }

  void CopyTile(const Filters& f, const float* from, const ptrdiff_t* offsets, size_t columns, float* to,
                ptrdiff_t* to_offsets) const {
    for (size_t k = 0; k < f.k; ++k) {
      float* row = to + k * ops_.nr;
      std::memcpy(row, from + offsets[k], columns * sizeof(float));
      std::fill(row + columns, row + ops_.nr, 0.0f);
      to_offsets[k] = static_cast<ptrdiff_t>(k * ops_.nr);
    }
  }

  void RunGathered(const Filters& f, const Geometry& g, const float* x, const float* bias, float* out,
                   KernelContext& context) const {
    const size_t nr = ops_.nr;
    const size_t positions = g.out_h * g.out_w;
    const size_t tiles = CeilDiv(positions, nr);
    const size_t matrices = g.batch * f.groups;
    const RowBlocks blocks(f.out_per_group, ops_.mr);
    const auto threads = static_cast<size_t>(context.Threads().size());
    const size_t cached_tiles = std::max<size_t>(1, kTaskInputBytes / (f.k * nr * sizeof(float)));
    const size_t chunks = std::max(CeilDiv(tiles, cached_tiles), std::min(tiles, CeilDiv(2 * threads, matrices)));
    const size_t chunk_tiles = CeilDiv(tiles, chunks);
    float* partial = PartialSums(f, g, tiles, context);

    // One buffer per worker: worker w takes chunks w, w + workers, …
    const size_t workers = std::min(threads, matrices * chunks);
    const size_t buffer_floats = f.k * chunk_tiles * nr;
    float* buffers = context.Scratch<float>(workers * buffer_floats);
    auto* offsets = context.Scratch<ptrdiff_t>(f.k);
    for (size_t k = 0; k < f.k; ++k) offsets[k] = static_cast<ptrdiff_t>(k * chunk_tiles * nr);

    context.Threads().ParallelFor(static_cast<int64_t>(workers), 1, [&](int64_t begin, int64_t end) {
      for (auto worker = static_cast<size_t>(begin); worker < static_cast<size_t>(end); ++worker) {
        float* buffer = buffers + worker * buffer_floats;
        for (size_t i = worker; i < matrices * chunks; i += workers) {
          const size_t matrix = i / chunks;
          const size_t first_tile = tiles * (i % chunks) / chunks;
          const size_t end_tile = tiles * (i % chunks + 1) / chunks;
          Gather(f, g, x + matrix * f.channels_per_group * g.height * g.width, first_tile * nr,
                 std::min(end_tile * nr, positions), offsets, buffer);
          ConvCall call = BaseCall(f, g, bias, out, partial, tiles, matrix / f.groups, matrix % f.groups);
          call.positions = positions;
          call.row_stride = g.out_w;
          call.input = buffer;
          call.first_tile = first_tile;
          call.offsets = offsets;
          ops_.conv(call, 0, blocks.count, first_tile, end_tile);
        }
      }
    });
  }

  void Gather(const Filters& f, const Geometry& g, const float* x, size_t begin, size_t end, const ptrdiff_t* offsets,
              float* buffer) const {
    const size_t rounded = CeilDiv(end - begin, ops_.nr) * ops_.nr;
    size_t k = 0;
    for (size_t c = 0; c < f.channels_per_group; ++c) {
      const float* plane = x + c * g.height * g.width;
      for (size_t ky = 0; ky < f.kernel_h; ++ky) {
        for (size_t kx = 0; kx < f.kernel_w; ++kx, ++k) {
          GatherTap(g, plane, ky, kx, begin, end, buffer + offsets[k]);
          std::fill(buffer + offsets[k] + (end - begin), buffer + offsets[k] + rounded, 0.0f);
        }
      }
    }
  }

  void RunDepthwise(const Filters& f, const Geometry& g, const float* x, const float* bias, float* out,
                    KernelContext& context) const {
    const size_t multiplier = f.out_per_group;
    // The vector loads of a row's last step run past it: into the next row, and after the last row into this slack.
    const size_t slack = 4 * ops_.nr * g.stride_w;
    const size_t plane = g.padded_h() * g.padded_w();
    const size_t planes = g.batch * g.channels;
    const size_t workers = std::min(static_cast<size_t>(context.Threads().size()) * 4, planes);
    float* buffers = context.Scratch<float>(workers * (plane + slack));
    context.Threads().ParallelFor(static_cast<int64_t>(workers), 1, [&](int64_t begin, int64_t end) {
      for (auto worker = static_cast<size_t>(begin); worker < static_cast<size_t>(end); ++worker) {
        float* buffer = buffers + worker * (plane + slack);
        std::fill_n(buffer + plane, slack, 0.0f);
        for (size_t i = planes * worker / workers; i < planes * (worker + 1) / workers; ++i) {
          PadPlane(g, x + i * g.height * g.width, buffer);
          for (size_t j = 0; j < multiplier; ++j) {
            const size_t channel = i % g.channels * multiplier + j;
            DepthwiseCall call;
            call.plane = buffer;
            call.plane_stride = g.padded_w();
            call.filter = f.tensor.data<float>() + channel * f.k;
            call.kernel_h = f.kernel_h;
            call.kernel_w = f.kernel_w;
            call.stride_h = g.stride_h;
            call.stride_w = g.stride_w;
            call.dilation_h = g.dilation_h;
            call.dilation_w = g.dilation_w;
            call.out_h = g.out_h;
            call.out_w = g.out_w;
            call.output = out + (i * multiplier + j) * g.out_h * g.out_w;
            call.bias = bias == nullptr ? 0.0f : bias[channel];
            ops_.depthwise(call);
          }
        }
      }
    });
  }

  const GemmOps& ops_;
  reference::WindowAttributes window_;
  size_t groups_;
  Filters constant_;  // undefined where the filters come with every run
  Storage storage_;   // of constant_.packed
};

/// One or two spatial dimensions, as far as the types say; a rank that turns out different is an error of the run, so
/// nothing is covered where neither is known.
std::unique_ptr<Kernel> MakeConv(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32 || node.InputDType(1) != DType::kFloat32) return nullptr;
  if (node.attributes.Int("group", 1) < 1) return nullptr;
  const auto rank_of = [&](size_t i) -> size_t {
    if (node.IsConstant(i)) return node.constant_inputs[i].rank();
    return node.input_types[i].shape ? node.input_types[i].shape->size() : 0;
  };
  const size_t rank = std::max(rank_of(0), rank_of(1));
  return rank == 3 || rank == 4 ? std::make_unique<Conv>(node) : nullptr;
}

}  // namespace

void AddConv(KernelTable& table) { table.Add("", "Conv", {1, 11, 22}, MakeConv); }

}  // namespace onnxforge::simd
