#pragma once

#include <optional>
#include <string>

#include "platform_file.h"

namespace onnxforge::io {

/// The message of a model's file without the raw data of large tensors, which are made external in it, at their place
/// in that same file (kOwnFile): protobuf would copy every one of them into a string, and keep all until the last is
/// packed. Nullopt where there is nothing to leave behind, or where the file is not what it should be; whoever parses
/// it as a whole finds out.
std::optional<std::string> SkimModel(const FileReader& file);

}  // namespace onnxforge::io
