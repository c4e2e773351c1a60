#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "onnxforge/base/tensor.h"
#include "onnxforge/base/type.h"
#include "onnxforge/base/value.h"

namespace onnxforge {

/// What an attribute may hold, except a graph: bodies belong to ir::Node.
using AttributeValue =
    std::variant<int64_t, float, std::string, Tensor, SparseTensor, Type, std::vector<int64_t>, std::vector<float>,
                 std::vector<std::string>, std::vector<Tensor>, std::vector<SparseTensor>, std::vector<Type>>;

/// A node's attributes by name. Reading one as another type than it has is an error that names the attribute.
class Attributes {
 public:
  void Set(std::string name, AttributeValue value);
  void Erase(std::string_view name);
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  const AttributeValue* Find(std::string_view name) const;

  /// The attribute, which must be there (kInvalidModel otherwise).
  template <typename T>
  const T& Get(std::string_view name) const;
  /// The attribute, or `fallback` when it is absent.
  template <typename T>
  T Get(std::string_view name, T fallback) const;

  int64_t Int(std::string_view name) const { return Get<int64_t>(name); }
  int64_t Int(std::string_view name, int64_t fallback) const { return Get<int64_t>(name, fallback); }
  float Float(std::string_view name, float fallback) const { return Get<float>(name, fallback); }
  std::string String(std::string_view name, std::string_view fallback) const {
    return Get<std::string>(name, std::string(fallback));
  }
  std::vector<int64_t> Ints(std::string_view name) const { return Get<std::vector<int64_t>>(name, {}); }
  std::vector<float> Floats(std::string_view name) const { return Get<std::vector<float>>(name, {}); }
  std::vector<std::string> Strings(std::string_view name) const { return Get<std::vector<std::string>>(name, {}); }

  size_t size() const { return items_.size(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  [[noreturn]] static void FailMissing(std::string_view name);
  [[noreturn]] static void FailType(std::string_view name, size_t held);

  std::vector<std::pair<std::string, AttributeValue>> items_;
};

template <typename T>
const T& Attributes::Get(std::string_view name) const {
  const AttributeValue* value = Find(name);
  if (value == nullptr) FailMissing(name);
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr) FailType(name, value->index());
  return *typed;
}

template <typename T>
T Attributes::Get(std::string_view name, T fallback) const {
  if (Has(name)) return Get<T>(name);
  return fallback;
}

}  // namespace onnxforge
