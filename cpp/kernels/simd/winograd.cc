#include "simd/winograd.h"

#include <algorithm>
#include <atomic>
#include <vector>

namespace onnxforge::simd {
namespace {

constexpr size_t kPlanes = 16;
// Tiles that are turned, multiplied and turned back before the next ones: their planes stay in the second-level cache.
constexpr size_t kBlockFloats = 96 * 1024;

}  // namespace

bool Winograd::Pays(const Tensor& filters, size_t groups) {
  return groups == 1 && filters.rank() == 4 && filters.dim(2) == 3 && filters.dim(3) == 3 && filters.dim(0) >= 32 &&
         filters.dim(1) >= 32;
}

Winograd::Winograd(const NodeSpec& node, const GemmOps& ops, const Tensor& filters)
    : channels_(static_cast<size_t>(filters.dim(1))),
      out_channels_(static_cast<size_t>(filters.dim(0))),
      plane_floats_(PackedSize(ops, channels_, out_channels_)),
      packed_(node.AllocateWeights(kPlanes * plane_floats_ * sizeof(float))) {
  auto* out = static_cast<float*>(packed_.get());
  for (size_t m = 0; m < out_channels_; m += ops.nr) {
    PackPanel(ops, filters.data<float>() + 9 * m * channels_, std::min(ops.nr, out_channels_ - m), out + m * channels_);
  }
}

void Winograd::PackPanel(const GemmOps& ops, const float* filters, size_t columns, float* out) const {
  constexpr size_t kChannels = 16;
  std::vector<float> taps(9 * kChannels * ops.nr);
  for (size_t begin = 0; begin < channels_; begin += kChannels) {
    const size_t count = std::min(kChannels, channels_ - begin);
    ops.pack_b(filters + 9 * begin, 9 * channels_, true, 9 * count, columns, 0, 1, taps.data());
    for (size_t c = 0; c < count; ++c) {
      ops.winograd_filter(taps.data() + 9 * c * ops.nr, out + (begin + c) * ops.nr, plane_floats_);
    }
  }
}

/// Output tiles of 2 × 2 pixels, numbered over all images.
struct Winograd::Tiles {
  const WinogradImages& images;
  size_t channels, out_channels;
  size_t down = CeilDiv(images.out_h, 2);
  size_t across = CeilDiv(images.out_w, 2);

  size_t count() const { return images.batch * down * across; }

  void InputPixels(size_t tile, const float* x, const float* zeros, const float** pixels) const {
    const auto top = static_cast<ptrdiff_t>(tile / across % down * 2) - static_cast<ptrdiff_t>(images.pad_top);
    const auto left = static_cast<ptrdiff_t>(tile % across * 2) - static_cast<ptrdiff_t>(images.pad_left);
    const auto height = static_cast<ptrdiff_t>(images.height);
    const auto width = static_cast<ptrdiff_t>(images.width);
    const float* image = x + tile / across / down * images.height * images.width * channels;
    for (ptrdiff_t i = 0; i < 16; ++i) {
      const ptrdiff_t py = top + i / 4;
      const ptrdiff_t px = left + i % 4;
      const bool inside = py >= 0 && py < height && px >= 0 && px < width;
      pixels[i] = inside ? image + (py * width + px) * static_cast<ptrdiff_t>(channels) : zeros;
    }
  }

  /// The places in `y` that a tile's four results go to; null beyond the edges.
  template <typename T>
  void OutputPixels(size_t tile, T* y, T** pixels) const {
    for (size_t i = 0; i < 4; ++i) {
      const size_t oy = tile / across % down * 2 + i / 2;
      const size_t ox = tile % across * 2 + i % 2;
      const size_t position = (tile / across / down * images.out_h + oy) * images.out_w + ox;
      pixels[i] = oy < images.out_h && ox < images.out_w ? y + position * out_channels : nullptr;
    }
  }
};

void Winograd::Run(const GemmOps& ops, const WinogradImages& images, const float* x, const Epilogue& epilogue, float* y,
                   KernelContext& context) const {
  const Tiles tiles{images, channels_, out_channels_};
  const size_t per_tile = kPlanes * (channels_ + out_channels_);
  const auto threads = static_cast<size_t>(context.Threads().size());
  const size_t fitting = std::max<size_t>(2 * ops.mr, kBlockFloats / per_tile / ops.mr * ops.mr);
  // As many blocks for each worker, and rather a few tiles too many than a small block left over.
  const size_t workers = std::min(threads, CeilDiv(tiles.count(), ops.mr));
  const size_t blocks = CeilDiv(CeilDiv(tiles.count(), fitting + fitting / 4), workers) * workers;
  const size_t block = CeilDiv(tiles.count(), blocks);
  std::atomic<size_t> next{0};
  float* buffers = context.Scratch<float>(workers * block * per_tile);
  float* zeros = context.Scratch<float>(channels_);
  std::fill_n(zeros, channels_, 0.0f);
  context.Threads().ParallelFor(static_cast<int64_t>(workers), 1, [&](int64_t begin, int64_t end) {
    for (auto worker = static_cast<size_t>(begin); worker < static_cast<size_t>(end); ++worker) {
      float* turned = buffers + worker * block * per_tile;
      float* products = turned + kPlanes * block * channels_;
      for (size_t b; (b = next.fetch_add(1, std::memory_order_relaxed)) < blocks;) {
        const size_t first = tiles.count() * b / blocks;
        const size_t count = tiles.count() * (b + 1) / blocks - first;
        for (size_t i = 0; i < count; ++i) {
          const float* pixels[16];
          tiles.InputPixels(first + i, x, zeros, pixels);
          ops.winograd_input(pixels, channels_, turned + i * channels_, block * channels_);
        }
        for (size_t p = 0; p < kPlanes; ++p) {
          GemmCall call;
          call.m = count;
          call.n = out_channels_;
          call.depth = channels_;
          call.a = turned + p * block * channels_;
          call.a_stride = channels_;
          call.b = static_cast<const float*>(packed_.get()) + p * plane_floats_;
          call.c = products + p * block * out_channels_;
          call.c_stride = out_channels_;
          ops.gemm(call, 0, count, 0, CeilDiv(out_channels_, ops.nr));
        }
        for (size_t i = 0; i < count; ++i) {
          float* pixels[4];
          const float* residuals[4];
          tiles.OutputPixels(first + i, y, pixels);
          if (epilogue.residual != nullptr) tiles.OutputPixels(first + i, epilogue.residual, residuals);
          ops.winograd_output(products + i * out_channels_, block * out_channels_, epilogue, pixels,
                              epilogue.residual == nullptr ? nullptr : residuals, out_channels_);
        }
      }
    }
  });
}

}  // namespace onnxforge::simd
