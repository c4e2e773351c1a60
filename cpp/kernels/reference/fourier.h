#pragma once

#include <complex>
#include <cstdint>
#include <vector>

namespace onnxforge::reference {

/// The discrete Fourier transform of one length, in O(n log n) for every length. Made once, used from any number of
/// threads.
class FourierTransform {
 public:
  using Complex = std::complex<double>;

  FourierTransform(int64_t length, bool inverse);

  /// In place, `length` elements; the inverse is divided by the length.
  void operator()(Complex* x) const;

 private:
  void PowerOfTwo(Complex* x, bool inverse) const;

  int64_t length_;
  bool inverse_;
  int64_t padded_;              // the power of two that is really transformed
  std::vector<Complex> roots_;  // exp(−2πi k / padded_), k < padded_ / 2
  // Bluestein's algorithm, for lengths that are no power of two: a transform is a convolution with a chirp.
  std::vector<Complex> chirp_;
  std::vector<Complex> chirp_spectrum_;
};

}  // namespace onnxforge::reference
