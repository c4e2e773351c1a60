#pragma once

// Upstream's headers are not free of warnings; included from here they are third-party code to every compiler.
#if defined(_MSC_VER)
#pragma warning(push, 0)
#endif

#include "onnx/checker.h"
#include "onnx/common/version.h"
#include "onnx/defs/function.h"
#include "onnx/defs/operator_sets.h"
#include "onnx/defs/operator_sets_ml.h"
#include "onnx/defs/schema.h"
#include "onnx/onnx_pb.h"
#include "onnx/shape_inference/attribute_binder.h"
#include "onnx/shape_inference/implementation.h"
#include "onnx/version_converter/convert.h"

#if defined(_MSC_VER)
#pragma warning(pop)
#endif
