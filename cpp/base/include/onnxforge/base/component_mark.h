// What the binary says of itself. A stripped library names no versions; each layer that compiles third-party code in
// leaves one line about it, from that code's own headers, and hands it out so that no linker drops it. The builder
// compares these lines with the wheel's bill of materials (build_tools/bill/marks.py).
#pragma once

#define ONNXFORGE_TEXT_OF(value) #value
#define ONNXFORGE_TEXT(value) ONNXFORGE_TEXT_OF(value)

/// A string literal: `name` and `version` are string literals themselves.
#define ONNXFORGE_COMPONENT_MARK(name, version) "onnxforge.component " name " " version
