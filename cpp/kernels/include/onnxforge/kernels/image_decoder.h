#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "onnxforge/base/span.h"
#include "onnxforge/base/tensor.h"

namespace onnxforge {

/// Makes pixels, uint8 [height, width, channels], of an encoded image. The engine has no codecs: who embeds it brings
/// them. `pixel_format` is ImageDecoder's attribute: "RGB", "BGR" or "Grayscale" (one channel). Returns an undefined
/// tensor where the bytes are no image. Called from any thread that runs a session.
using ImageDecoder = std::function<Tensor(Span<const uint8_t> encoded, std::string_view pixel_format)>;

}  // namespace onnxforge
