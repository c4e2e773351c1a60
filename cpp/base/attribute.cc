#include "onnxforge/base/attribute.h"

#include <algorithm>
#include <utility>

#include "onnxforge/base/error.h"

namespace onnxforge {
namespace {

// In the order of AttributeValue's alternatives.
constexpr std::string_view kKinds[] = {"an int",
                                       "a float",
                                       "a string",
                                       "a tensor",
                                       "a sparse tensor",
                                       "a type",
                                       "a list of ints",
                                       "a list of floats",
                                       "a list of strings",
                                       "a list of tensors",
                                       "a list of sparse tensors",
                                       "a list of types"};
static_assert(std::size(kKinds) == std::variant_size_v<AttributeValue>);

}  // namespace

void Attributes::Set(std::string name, AttributeValue value) {
  Erase(name);
  items_.emplace_back(std::move(name), std::move(value));
}

void Attributes::Erase(std::string_view name) {
  items_.erase(std::remove_if(items_.begin(), items_.end(), [&](const auto& item) { return item.first == name; }),
               items_.end());
}

const AttributeValue* Attributes::Find(std::string_view name) const {
  const auto it = std::find_if(items_.begin(), items_.end(), [&](const auto& item) { return item.first == name; });
  return it == items_.end() ? nullptr : &it->second;
}

void Attributes::FailMissing(std::string_view name) {
  Fail(ErrorCode::kInvalidModel, "the required attribute '", name, "' is missing");
}

void Attributes::FailType(std::string_view name, size_t held) {
  Fail(ErrorCode::kInvalidModel, "attribute '", name, "' has the wrong type: it holds ", kKinds[held]);
}

}  // namespace onnxforge
