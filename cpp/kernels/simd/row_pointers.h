#pragma once

#include <cstddef>

#include "simd/gemm.h"

namespace onnxforge::simd {

/// A tap of a window by its distance from the first one; steps without a division.
struct TapCursor {
  ptrdiff_t down = 0;
  ptrdiff_t right = 0;

  TapCursor(const WindowRows* window, size_t tap) : window_(window) {
    if (window == nullptr) return;
    column_ = tap % window->kernel_w;
    down = static_cast<ptrdiff_t>(tap / window->kernel_w * window->dilation_h);
    right = static_cast<ptrdiff_t>(column_ * window->dilation_w);
  }

  void Next() {
    if (window_ == nullptr) return;
    right += static_cast<ptrdiff_t>(window_->dilation_w);
    if (++column_ < window_->kernel_w) return;
    column_ = 0;
    right = 0;
    down += static_cast<ptrdiff_t>(window_->dilation_h);
  }

 private:
  const WindowRows* window_;
  size_t column_ = 0;
};

/// Where the taps of up to kMost neighbouring rows of a left-hand side begin: rows of a matrix, `stride` apart, or of a
/// window, whose taps outside of the image are at `zeros`.
template <typename T, size_t kMost>
class RowPointers {
 public:
  RowPointers(const T* a, size_t stride, const WindowRows* window, const T* zeros, size_t row, size_t count)
      : window_(window), zeros_(zeros), count_(count) {
    if (window == nullptr) {
      for (size_t i = 0; i < count; ++i) image_[i] = a + (row + i) * stride;
      return;
    }
    const WindowRows& w = *window;
    size_t x = row % w.out_w;
    size_t y = row / w.out_w % w.out_h;
    size_t n = row / w.out_w / w.out_h;
    for (size_t i = 0; i < count; ++i) {
      image_[i] = a + n * w.height * w.width * w.pixel;
      y_[i] = static_cast<ptrdiff_t>(y * w.stride_h) - static_cast<ptrdiff_t>(w.pad_top);
      x_[i] = static_cast<ptrdiff_t>(x * w.stride_w) - static_cast<ptrdiff_t>(w.pad_left);
      if (++x == w.out_w) {
        x = 0;
        if (++y == w.out_h) {
          y = 0;
          ++n;
        }
      }
    }
  }

  /// Taps [tap, tap + taps), from their element `begin` on, as [taps][kMost].
  void Fill(size_t tap, size_t taps, size_t begin, const T** to) const {
    TapCursor at(window_, tap);
    for (size_t t = 0; t < taps; ++t, to += kMost, at.Next()) {
      for (size_t i = 0; i < count_; ++i) to[i] = At(at, i) + begin;
    }
  }

  const T* At(const TapCursor& tap, size_t i) const {
    if (window_ == nullptr) return image_[i];
    const ptrdiff_t y = y_[i] + tap.down;
    const ptrdiff_t x = x_[i] + tap.right;
    const auto height = static_cast<ptrdiff_t>(window_->height);
    const auto width = static_cast<ptrdiff_t>(window_->width);
    if (y < 0 || y >= height || x < 0 || x >= width) return zeros_;
    return image_[i] + (y * width + x) * static_cast<ptrdiff_t>(window_->pixel);
  }

 private:
  const WindowRows* window_;
  const T* zeros_;
  size_t count_;
  const T* image_[kMost];
  ptrdiff_t y_[kMost];
  ptrdiff_t x_[kMost];
};

}  // namespace onnxforge::simd
