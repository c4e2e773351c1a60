#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxforge/base/shape.h"
#include "onnxforge/kernels/table.h"

namespace onnxforge::reference {

/// A window sliding over the spatial axes of one channel: what convolution, pooling and their transposes share.
class Window {
 public:
  std::vector<int64_t> input, kernel, strides, dilations, pad_begin, pad_end, output;  // per spatial axis

  size_t rank() const { return input.size(); }
  int64_t positions() const;  // of the window: the output's elements per channel
  int64_t taps() const;       // of the kernel
  int64_t plane() const;      // the input's elements per channel

  /// For the positions [begin, begin + count), at sources[tap * count + position]: which element of the input's plane
  /// the tap sees, or kOutside.
  void Sources(int64_t begin, int64_t count, int64_t* sources) const;
  /// How many taps of one position lie within the input or its padding (a window rounded up by ceil_mode may lie
  /// beyond).
  int64_t PaddedTaps(int64_t position) const;

  static constexpr int64_t kOutside = -1;
};

enum class AutoPad { kNotSet, kSameUpper, kSameLower, kValid };

/// The attributes kernel_shape, strides, dilations, pads, auto_pad and ceil_mode, before the input's size is known.
class WindowAttributes {
 public:
  explicit WindowAttributes(const NodeSpec& node);

  /// The window over an input with these spatial extents; `kernel` is used where the attribute is absent (empty: it
  /// must be there).
  Window Resolve(Span<const int64_t> spatial, Span<const int64_t> kernel) const;
  /// kernel, strides, dilations and explicit pads alone: the extents are still to be filled in.
  Window Open(Span<const int64_t> kernel) const;
  AutoPad auto_pad() const { return auto_pad_; }

 private:
  std::vector<int64_t> kernel_, strides_, dilations_, pads_;
  AutoPad auto_pad_ = AutoPad::kNotSet;
  bool ceil_mode_ = false;
};

/// The spatial extents of [N, C, D1, …]; kInvalidArgument when there are no such axes.
Span<const int64_t> SpatialOf(const Shape& shape);

/// [N, C] followed by spatial extents.
Shape WithSpatial(int64_t batch, int64_t channels, const std::vector<int64_t>& spatial);

}  // namespace onnxforge::reference
