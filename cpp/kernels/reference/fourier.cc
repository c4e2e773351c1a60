#include "reference/fourier.h"

#include <cmath>
#include <utility>

namespace onnxforge::reference {
namespace {

using Complex = FourierTransform::Complex;

constexpr double kPi = 3.141592653589793238462643;

Complex UnitRoot(double fraction) { return {std::cos(2 * kPi * fraction), std::sin(2 * kPi * fraction)}; }

bool IsPowerOfTwo(int64_t n) { return (n & (n - 1)) == 0; }

// std::complex's own product takes care of infinities, which makes it slow and which has no meaning here.
Complex Product(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

}  // namespace

FourierTransform::FourierTransform(int64_t length, bool inverse) : length_(length), inverse_(inverse), padded_(length) {
  const bool direct = IsPowerOfTwo(length);
  if (!direct) {
    for (padded_ = 1; padded_ < 2 * length - 1;) padded_ *= 2;
  }
  for (int64_t k = 0; k < padded_ / 2; ++k)
    roots_.push_back(UnitRoot(-static_cast<double>(k) / static_cast<double>(padded_)));
  if (direct) return;
  chirp_spectrum_.resize(static_cast<size_t>(padded_));
  for (int64_t k = 0; k < length; ++k) {
    // k² modulo 2n keeps the angle small, and so exact.
    const auto square =
        static_cast<double>(static_cast<uint64_t>(k) * static_cast<uint64_t>(k) % static_cast<uint64_t>(2 * length));
    chirp_.push_back(UnitRoot((inverse ? 0.5 : -0.5) * square / static_cast<double>(length)));
    chirp_spectrum_[static_cast<size_t>(k)] = std::conj(chirp_.back());
    if (k > 0) chirp_spectrum_[static_cast<size_t>(padded_ - k)] = std::conj(chirp_.back());
  }
  PowerOfTwo(chirp_spectrum_.data(), false);
}

void FourierTransform::operator()(Complex* x) const {
  if (chirp_.empty()) {
    PowerOfTwo(x, inverse_);
  } else {
    std::vector<Complex> work(static_cast<size_t>(padded_));
    for (size_t k = 0; k < chirp_.size(); ++k) work[k] = Product(x[k], chirp_[k]);
    PowerOfTwo(work.data(), false);
    for (size_t k = 0; k < work.size(); ++k) work[k] = Product(work[k], chirp_spectrum_[k]);
    PowerOfTwo(work.data(), true);
    for (size_t k = 0; k < chirp_.size(); ++k) x[k] = Product(work[k], chirp_[k]) / static_cast<double>(padded_);
  }
  if (!inverse_) return;
  for (int64_t k = 0; k < length_; ++k) x[k] /= static_cast<double>(length_);
}

void FourierTransform::PowerOfTwo(Complex* x, bool inverse) const {
  for (int64_t i = 1, j = 0; i < padded_; ++i) {  // bit reversal
    int64_t bit = padded_ / 2;
    for (; (j & bit) != 0; bit /= 2) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(x[i], x[j]);
  }
  for (int64_t half = 1; half < padded_; half *= 2) {
    const int64_t step = padded_ / (2 * half);
    for (int64_t begin = 0; begin < padded_; begin += 2 * half) {
      for (int64_t k = 0; k < half; ++k) {
        const Complex root = roots_[static_cast<size_t>(k * step)];
        const Complex low = x[begin + k];
        const Complex high = Product(x[begin + k + half], inverse ? std::conj(root) : root);
        x[begin + k] = low + high;
        x[begin + k + half] = low - high;
      }
    }
  }
}

}  // namespace onnxforge::reference
