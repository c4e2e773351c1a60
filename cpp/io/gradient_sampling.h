#pragma once

#include <string>
#include <vector>

#include "gradient_rules.h"

namespace onnxforge::io {

/// As the attributes of GridSample.
struct SamplingOptions {
  std::string mode = "linear";
  std::string padding = "zeros";
  bool aligned = false;  // a reflection turns back at the outermost elements, not at their outer edges
};

/// Writes what images [image, channel, …] have at places [batch, position, axis] between their elements. The last axis
/// of the images is the first of a place, which counts elements: 1.5 is between the second and the third.
class ImageSampling {
 public:
  /// `like`: of the type of the places.
  ImageSampling(Pullback& p, std::string images, std::string like, SamplingOptions options);

  /// The elements around each place and the weights that they have there.
  struct Neighbours {
    std::string values;   // [batch, position, neighbour, channel]
    std::string weights;  // [batch, position, neighbour]
  };
  /// `taken`: [batch, position, axis], which places take anything; all that are numbers where it is empty. `image`:
  /// [batch], which image each batch is of; where it is empty, each of its own.
  Neighbours Around(const std::string& places, const std::string& taken = "", const std::string& image = "") const;
  /// Their sums, [batch, channel, position].
  std::string Sums(const std::string& places, const std::string& taken = "", const std::string& image = "") const;

  /// How many elements each axis has, and the place of the last.
  const std::string& count() const { return count_; }
  const std::string& last() const { return last_; }

 private:
  std::string Number(float value) const { return p_.Number(value, like_); }
  std::string Bounded(const std::string& x) const;
  /// Folded at both ends of the range, as often as it takes.
  std::string Reflected(const std::string& x) const;
  /// What the padding makes of a place, and of an element beside it.
  std::string Folded(const std::string& place) const;
  std::string Moved(const std::string& element) const;
  /// Which of the elements along each axis every combination takes, among those of all axes: [combination, axis].
  std::string Combinations(int64_t each) const;
  /// What is of every element along each axis, for every combination: [batch, position, combination, axis].
  std::string Combined(const std::vector<std::string>& parts, const std::string& combinations) const;

  Pullback& p_;
  std::string images_, like_;
  SamplingOptions options_;
  std::string extents_, count_, last_, least_, range_;
};

}  // namespace onnxforge::io
