#pragma once

#include <exception>
#include <new>

#include "onnxforge/base/error.h"

namespace onnxforge::io {

/// Calls into ONNX's library, whose exceptions become an Error: "<who>: <what it says>".
template <typename F>
auto CallUpstream(ErrorCode code, const char* who, F&& f) {
  try {
    return f();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    Fail(ErrorCode::kUnsupported, who, ": not enough memory for this model");
  } catch (const std::exception& error) {
    Fail(code, who, ": ", error.what());
  }
}

}  // namespace onnxforge::io
