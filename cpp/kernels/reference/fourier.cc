#include "reference/fourier.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace onnxforge::reference {
namespace {

constexpr double kPi = 3.141592653589793238462643;
constexpr int64_t kGreatestRadix = 64;  // a larger prime factor is better off with a chirp

template <typename T>
std::complex<T> UnitRoot(int64_t numerator, int64_t denominator) {
  const double angle = 2 * kPi * static_cast<double>(numerator) / static_cast<double>(denominator);
  return {static_cast<T>(std::cos(angle)), static_cast<T>(std::sin(angle))};
}

// std::complex's own product takes care of infinities, which makes it slow and which has no meaning here.
template <typename T>
std::complex<T> Product(std::complex<T> a, std::complex<T> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

/// The factors of n, 4 before 2 before the odd primes, except that a single 2 comes first: what that costs least.
std::vector<int64_t> RadicesOf(int64_t n) {
  std::vector<int64_t> radices;
  for (; n % 4 == 0; n /= 4) radices.push_back(4);
  if (n % 2 == 0) {
    radices.insert(radices.begin(), 2);
    n /= 2;
  }
  for (int64_t p = 3; p * p <= n; p += 2) {
    for (; n % p == 0; n /= p) radices.push_back(p);
  }
  if (n > 1) radices.push_back(n);
  return radices;
}

template <typename T>
void TransformTwo(const std::complex<T>* c, std::complex<T>* out) {
  out[0] = c[0] + c[1];
  out[1] = c[0] - c[1];
}

/// `quarter`: the root of order 4, ±i.
template <typename T>
void TransformFour(const std::complex<T>* c, T quarter, std::complex<T>* out) {
  const std::complex<T> sum02 = c[0] + c[2];
  const std::complex<T> difference02 = c[0] - c[2];
  const std::complex<T> sum13 = c[1] + c[3];
  const std::complex<T> difference13 = c[1] - c[3];
  const std::complex<T> turned = {-quarter * difference13.imag(), quarter * difference13.real()};
  out[0] = sum02 + sum13;
  out[1] = difference02 + turned;
  out[2] = sum02 - sum13;
  out[3] = difference02 - turned;
}

/// An odd radix: outputs u and radix − u share the sums over pairs of inputs.
template <typename T>
void TransformOdd(const std::complex<T>* c, const std::vector<std::complex<T>>& roots, std::complex<T>* out) {
  const auto radix = static_cast<int64_t>(roots.size());
  const int64_t half = (radix - 1) / 2;
  out[0] = c[0];
  for (int64_t j = 1; j <= half; ++j) out[0] += c[j] + c[radix - j];
  for (int64_t u = 1; u <= half; ++u) {
    std::complex<T> even = c[0];
    T odd_real = 0;
    T odd_imag = 0;
    for (int64_t j = 1; j <= half; ++j) {
      const std::complex<T> root = roots[static_cast<size_t>(u * j % radix)];
      const std::complex<T> sum = c[j] + c[radix - j];
      const std::complex<T> difference = c[j] - c[radix - j];
      even += std::complex<T>(root.real() * sum.real(), root.real() * sum.imag());
      odd_real += root.imag() * difference.imag();
      odd_imag += root.imag() * difference.real();
    }
    out[u] = {even.real() - odd_real, even.imag() + odd_imag};
    out[radix - u] = {even.real() + odd_real, even.imag() - odd_imag};
  }
}

}  // namespace

template <typename T>
FourierTransform<T>::FourierTransform(int64_t length, bool inverse) : length_(length), inverse_(inverse) {
  const std::vector<int64_t> radices = RadicesOf(length);
  if (radices.empty() || *std::max_element(radices.begin(), radices.end()) <= kGreatestRadix) {
    int64_t done = 1;
    for (int64_t radix : radices) {
      AddStage(radix, done);
      done *= radix;
    }
    return;
  }
  int64_t padded = 1;
  while (padded < 2 * length - 1) padded *= 2;
  padded_ = std::make_unique<const FourierTransform<double>>(padded, false);
  padded_inverse_ = std::make_unique<const FourierTransform<double>>(padded, true);
  chirp_spectrum_.resize(static_cast<size_t>(padded));
  for (int64_t k = 0; k < length; ++k) {
    // k² modulo 2n keeps the angle small, and so exact.
    const auto square =
        static_cast<int64_t>(static_cast<uint64_t>(k) * static_cast<uint64_t>(k) % static_cast<uint64_t>(2 * length));
    chirp_.push_back(UnitRoot<double>(inverse ? square : -square, 2 * length));
    chirp_spectrum_[static_cast<size_t>(k)] = std::conj(chirp_.back());
    if (k > 0) chirp_spectrum_[static_cast<size_t>(padded - k)] = std::conj(chirp_.back());
  }
  (*padded_)(chirp_spectrum_.data());
}

template <typename T>
void FourierTransform<T>::AddStage(int64_t radix, int64_t done) {
  Stage stage;
  stage.radix = radix;
  stage.done = done;
  stage.rest = length_ / done / radix;
  const int64_t sign = inverse_ ? 1 : -1;
  for (int64_t k = 0; k < radix; ++k) {
    stage.roots.push_back(UnitRoot<T>(sign * k, radix));
    for (int64_t i = 0; i < stage.rest; ++i) stage.twiddles.push_back(UnitRoot<T>(sign * k * i, radix * stage.rest));
  }
  stages_.push_back(std::move(stage));
}

template <typename T>
void FourierTransform<T>::RunStage(const Stage& s, const Complex* from, Complex* to) const {
  Complex in[kGreatestRadix];
  Complex out[kGreatestRadix];
  for (int64_t k = 0; k < s.done; ++k) {
    for (int64_t i = 0; i < s.rest; ++i) {
      for (int64_t j = 0; j < s.radix; ++j) in[j] = from[(k * s.radix + j) * s.rest + i];
      if (s.radix == 2) {
        TransformTwo(in, out);
      } else if (s.radix == 4) {
        TransformFour(in, inverse_ ? T{1} : T{-1}, out);
      } else {
        TransformOdd(in, s.roots, out);
      }
      for (int64_t j = 0; j < s.radix; ++j) {
        const Complex turned = i == 0 ? out[j] : Product(out[j], s.twiddles[static_cast<size_t>(j * s.rest + i)]);
        to[(j * s.done + k) * s.rest + i] = turned;
      }
    }
  }
}

template <typename T>
void FourierTransform<T>::RunChirp(Complex* x) const {
  std::vector<std::complex<double>> work(chirp_spectrum_.size());
  for (size_t k = 0; k < chirp_.size(); ++k) work[k] = Product(std::complex<double>(x[k]), chirp_[k]);
  (*padded_)(work.data());
  for (size_t k = 0; k < work.size(); ++k) work[k] = Product(work[k], chirp_spectrum_[k]);
  (*padded_inverse_)(work.data());
  for (size_t k = 0; k < chirp_.size(); ++k) x[k] = Complex(Product(work[k], chirp_[k]));
}

template <typename T>
void FourierTransform<T>::operator()(Complex* x) const {
  if (padded_ != nullptr) {
    RunChirp(x);
  } else {
    std::vector<Complex> other(static_cast<size_t>(length_));
    Complex* from = x;
    Complex* to = other.data();
    for (const Stage& stage : stages_) {
      RunStage(stage, from, to);
      std::swap(from, to);
    }
    if (from != x) std::copy_n(from, length_, x);
  }
  if (!inverse_) return;
  const T factor = T{1} / static_cast<T>(length_);
  for (int64_t k = 0; k < length_; ++k) x[k] *= factor;
}

template class FourierTransform<float>;
template class FourierTransform<double>;

}  // namespace onnxforge::reference
