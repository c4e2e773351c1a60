#include "schema_list.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <string_view>
#include <tuple>
#include <utility>

namespace onnxforge::io {
namespace {

/// A version of an operator, and upstream's function that makes its schema.
struct Listed {
  std::string_view domain;
  std::string_view op_type;
  int since_version;
  onnx::OpSchema (*make)();
};

#define SCHEMA(domain, tag, name, version) SCHEMA_##tag(domain, name, version, name##_##tag##_ver##version)
#define SCHEMA_Onnx(domain, name, version, type) {domain, #name, version, &onnx::GetOpSchema<onnx::type>},
#ifdef ONNX_ML
#define SCHEMA_OnnxML SCHEMA_Onnx
#else
#define SCHEMA_OnnxML(domain, name, version, type)
#endif

/// Sorted by domain, name and version. Ends with a row of a domain that cannot be asked for, so that there is one at
/// all where this release of ONNX has no list.
constexpr Listed kListed[] = {
#ifdef ONNXFORGE_SCHEMA_LIST
#include ONNXFORGE_SCHEMA_LIST
#endif
    {"\xff", "", 0, nullptr}};

#undef SCHEMA
#undef SCHEMA_Onnx
#undef SCHEMA_OnnxML

/// The schema of a row. Never destroyed: a thread may still make a session while the process ends.
const onnx::OpSchema* SchemaOf(const Listed& row) {
  static std::array<std::atomic<const onnx::OpSchema*>, std::size(kListed)> made{};
  static std::mutex making;
  std::atomic<const onnx::OpSchema*>& schema = made[static_cast<size_t>(&row - kListed)];
  if (const onnx::OpSchema* known = schema.load(std::memory_order_acquire)) return known;
  const std::lock_guard<std::mutex> lock(making);
  if (schema.load(std::memory_order_relaxed) == nullptr) {
    auto fresh = std::make_unique<onnx::OpSchema>(row.make());
    fresh->Finalize();
    schema.store(fresh.release(), std::memory_order_release);
  }
  return schema.load(std::memory_order_relaxed);
}

class OnDemand final : public onnx::ISchemaRegistry {
 public:
  // The default argument is upstream's.
  const onnx::OpSchema* GetSchema(const std::string& key, int opset, const std::string& domain) const override {
    return FindSchemaOnDemand(key, opset, domain);
  }
};

}  // namespace

const onnx::OpSchema* FindSchemaOnDemand(const std::string& op_type, int opset, const std::string& domain) {
  const auto before = [](const Listed& row, const std::pair<std::string_view, std::string_view>& wanted) {
    return std::tie(row.domain, row.op_type) < std::tie(wanted.first, wanted.second);
  };
  const std::pair<std::string_view, std::string_view> wanted(domain, op_type);
  const Listed* row = std::lower_bound(std::begin(kListed), std::end(kListed), wanted, before);
  const Listed* found = nullptr;
  bool is_listed = false;
  for (; row != std::end(kListed) && row->domain == domain && row->op_type == op_type; ++row) {
    is_listed = true;
    if (row->since_version <= opset) found = row;
  }
  if (found != nullptr) return SchemaOf(*found);
  return is_listed ? nullptr : onnx::OpSchemaRegistry::Schema(op_type, opset, domain);
}

const onnx::ISchemaRegistry& SchemasOnDemand() {
  static const OnDemand registry;
  return registry;
}

}  // namespace onnxforge::io
