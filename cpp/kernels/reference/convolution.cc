#include "reference/convolution.h"

#include <algorithm>
#include <vector>

#include "onnxforge/base/error.h"

#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

/// Window positions that are worked on at once: as many as make a block of patches that stays in the cache.
int64_t BlockSize(int64_t patch) { return std::clamp<int64_t>(262144 / std::max<int64_t>(patch, 1), 16, 512); }

}  // namespace

ConvSizes ConvSizesOf(const Shape& x, const Shape& w, int64_t groups) {
  Require(x.rank() >= 3 && w.rank() == x.rank(), ErrorCode::kInvalidArgument, "x has shape ", x, " and w ", w,
          ": [N, C, D1, …] and [M, C/group, K1, …] are expected");
  Require(groups > 0 && x[1] == w[1] * groups && w[0] % groups == 0, ErrorCode::kInvalidArgument, "x of shape ", x,
          " and w of shape ", w, " do not agree on the channels, with group=", groups);
  return {x[0], groups, x[1], w[0]};
}

template <typename T>
void Convolve(ThreadPool& threads, const ConvSizes& sizes, const Window& window, const T* x, const T* w, T* y) {
  const int64_t positions = window.positions();
  const int64_t taps = window.taps();
  const int64_t plane = window.plane();
  const int64_t in_channels = sizes.in_channels / sizes.groups;
  const int64_t out_channels = sizes.out_channels / sizes.groups;
  const int64_t patch = in_channels * taps;
  const int64_t block = BlockSize(patch);
  const int64_t blocks = (positions + block - 1) / block;
  threads.ParallelFor(sizes.batch * sizes.groups * blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> sources(static_cast<size_t>(taps * block));
    std::vector<T> patches(static_cast<size_t>(patch * block));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image_group = task / blocks;
      const int64_t image = image_group / sizes.groups;
      const int64_t group = image_group % sizes.groups;
      const int64_t first = (task % blocks) * block;
      const int64_t count = std::min(block, positions - first);
      window.Sources(first, count, sources.data());
      const T* in = x + (image * sizes.in_channels + group * in_channels) * plane;
      for (int64_t channel = 0; channel < in_channels; ++channel) {
        T* out = patches.data() + channel * taps * count;
        for (int64_t i = 0; i < taps * count; ++i) {
          const int64_t source = sources[static_cast<size_t>(i)];
          out[i] = source == Window::kOutside ? T{0} : in[channel * plane + source];
        }
      }
      MultiplyAdd(out_channels, count, patch, w + group * out_channels * patch, patch, int64_t{1}, patches.data(),
                  count, y + (image * sizes.out_channels + group * out_channels) * positions + first, positions);
    }
  });
}

template <typename T>
void ConvolveTransposed(ThreadPool& threads, const ConvSizes& sizes, const Window& window, const T* x, const T* w,
                        T* y) {
  const int64_t positions = window.positions();
  const int64_t taps = window.taps();
  const int64_t plane = window.plane();
  const int64_t in_channels = sizes.in_channels / sizes.groups;
  const int64_t out_channels = sizes.out_channels / sizes.groups;
  // One output channel per task: windows overlap, so that the same task must make all sums of a plane.
  threads.ParallelFor(sizes.batch * sizes.out_channels, 1, [&](int64_t begin, int64_t end) {
    const int64_t block = BlockSize(taps);
    std::vector<int64_t> sources(static_cast<size_t>(taps * block));
    std::vector<T> spread(static_cast<size_t>(taps * block));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / sizes.out_channels;
      const int64_t group = (task % sizes.out_channels) / out_channels;
      const int64_t channel = task % out_channels;
      const T* in = x + (image * sizes.in_channels + group * in_channels) * positions;
      const T* weights = w + (group * in_channels * out_channels + channel) * taps;
      T* out = y + task * plane;
      for (int64_t first = 0; first < positions; first += block) {
        const int64_t count = std::min(block, positions - first);
        window.Sources(first, count, sources.data());
        std::fill_n(spread.begin(), taps * count, T{0});
        // weights is [in_channels, taps], to be read transposed.
        MultiplyAdd(taps, count, in_channels, weights, int64_t{1}, out_channels * taps, in + first, positions,
                    spread.data(), count);
        for (int64_t i = 0; i < taps * count; ++i) {
          const int64_t target = sources[static_cast<size_t>(i)];
          if (target != Window::kOutside) out[target] += spread[static_cast<size_t>(i)];
        }
      }
    }
  });
}

template void Convolve<float>(ThreadPool&, const ConvSizes&, const Window&, const float*, const float*, float*);
template void Convolve<double>(ThreadPool&, const ConvSizes&, const Window&, const double*, const double*, double*);
template void Convolve<uint32_t>(ThreadPool&, const ConvSizes&, const Window&, const uint32_t*, const uint32_t*,
                                 uint32_t*);
template void ConvolveTransposed<float>(ThreadPool&, const ConvSizes&, const Window&, const float*, const float*,
                                        float*);
template void ConvolveTransposed<double>(ThreadPool&, const ConvSizes&, const Window&, const double*, const double*,
                                         double*);

}  // namespace onnxforge::reference
