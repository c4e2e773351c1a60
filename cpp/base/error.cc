#include "onnxforge/base/error.h"

namespace onnxforge {

Error::Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)), what_(message_) {}

Error& Error::AddContext(std::string frame) {
  what_ += "\n  " + frame;
  context_.push_back(std::move(frame));
  return *this;
}

}  // namespace onnxforge
