#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

namespace onnxforge::reference {

/// The discrete Fourier transform of one length, in O(n log n) for every length, in the precision of T (float or
/// double). Made once, used from any number of threads.
template <typename T>
class FourierTransform {
 public:
  using Complex = std::complex<T>;

  FourierTransform(int64_t length, bool inverse);

  /// In place, `length` elements; the inverse is divided by the length.
  void operator()(Complex* x) const;

 private:
  /// One stage: from[radix, done, rest] transformed along the first axis, to[done, radix, rest].
  struct Stage {
    int64_t radix = 1;
    int64_t done = 1;               // product of the radices before
    int64_t rest = 1;               // of those after
    std::vector<Complex> twiddles;  // [radix, rest]
    std::vector<Complex> roots;     // exp(±2πi k / radix)
  };

  void AddStage(int64_t radix, int64_t done);
  void RunStage(const Stage& stage, const Complex* from, Complex* to) const;
  void RunChirp(Complex* x) const;

  int64_t length_;
  bool inverse_;
  std::vector<Stage> stages_;
  // Bluestein's algorithm, for lengths with a large prime factor: a transform is a convolution with a chirp.
  std::unique_ptr<const FourierTransform<double>> padded_;
  std::unique_ptr<const FourierTransform<double>> padded_inverse_;
  std::vector<std::complex<double>> chirp_;
  std::vector<std::complex<double>> chirp_spectrum_;
};

}  // namespace onnxforge::reference
