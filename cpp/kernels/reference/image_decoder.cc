// ImageDecoder: by the codecs of whoever embeds the engine.
#include "onnxforge/kernels/image_decoder.h"

#include <cstring>
#include <string>
#include <vector>

#include "reference/list.h"

namespace onnxforge::reference {
namespace {

std::unique_ptr<Kernel> MakeImageDecoder(const NodeSpec& node) {
  const std::string format = node.attributes.String("pixel_format", "RGB");
  Require(format == "RGB" || format == "BGR" || format == "Grayscale", ErrorCode::kInvalidModel,
          "attribute 'pixel_format' must be RGB, BGR or Grayscale, not '", format, "'");
  Require(node.image_decoder != nullptr && *node.image_decoder, ErrorCode::kUnsupported,
          "decoding images needs codecs, and this session has none: pip install 'onnxforge[images]'");
  return MakeKernel([decode = *node.image_decoder, format](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() == 1 && x.dtype() == DType::kUInt8, ErrorCode::kInvalidArgument,
            "the encoded image must be uint8 [bytes], not ", x.dtype(), x.shape());
    const Tensor pixels = decode({x.data<uint8_t>(), static_cast<size_t>(x.elements())}, format);
    const int64_t channels = format == "Grayscale" ? 1 : 3;
    // What is no image that can be decoded gives an empty one.
    const Shape shape = pixels.defined() ? pixels.shape() : Shape{0, 0, channels};
    Require(shape.rank() == 3 && shape[2] == channels && (!pixels.defined() || pixels.dtype() == DType::kUInt8),
            ErrorCode::kInternal, "the decoder made an image of shape ", shape);
    Tensor& y = context.Output(0, DType::kUInt8, shape);
    if (y.elements() > 0) std::memcpy(y.raw(), pixels.raw(), y.bytes());
  });
}

}  // namespace

void AddImageDecoder(KernelTable& table) { table.Add("", "ImageDecoder", {20}, &MakeImageDecoder); }

}  // namespace onnxforge::reference
