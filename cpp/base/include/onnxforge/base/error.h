#pragma once

#include <exception>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace onnxforge {

/// What kind of thing went wrong; the Python layer maps each to one exception class.
enum class ErrorCode {
  kInvalidModel,     // the model breaks the standard or contradicts itself
  kInvalidArgument,  // the caller passed a wrong name, dtype, shape or option
  kUnsupported,      // valid, but this build has no way to do it
  kIo,               // a file could not be read or written
  kInternal,         // a bug in onnxforge
};

/// The one exception of the library. Frames of context ("in node 'conv1' (Conv)") are added while the stack unwinds,
/// innermost first.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message);

  Error& AddContext(std::string frame);

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::vector<std::string>& context() const { return context_; }
  /// The message followed by one indented line per frame.
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
  std::vector<std::string> context_;
  std::string what_;
};

/// Concatenates its arguments with operator<<.
template <typename... Args>
std::string StrCat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

template <typename... Args>
[[noreturn]] void Fail(ErrorCode code, const Args&... args) {
  throw Error(code, StrCat(args...));
}

/// Throws Error(code, message built from args) unless `condition` holds.
template <typename... Args>
void Require(bool condition, ErrorCode code, const Args&... args) {
  if (!condition) Fail(code, args...);
}

}  // namespace onnxforge
