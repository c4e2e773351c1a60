#include "schemas.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "onnxforge/base/component_mark.h"
#include "onnxforge/base/error.h"
#include "onnxforge/io/model_file.h"

#include "contrib_functions.h"
#include "import_type.h"
#include "schema_list.h"

namespace onnxforge::io {
namespace {

const std::unordered_map<std::string, std::pair<int, int>>& KnownRanges() {
  return onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
}

}  // namespace

std::string OperatorName(const std::string& domain, const std::string& op_type) {
  return domain.empty() ? op_type : StrCat(domain, ".", op_type);
}

bool IsStandardDomain(const std::string& domain) { return KnownRanges().count(domain) != 0; }

Opsets ReadOpsets(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& imports) {
  Opsets opsets;
  for (const auto& import : imports) {
    Require(import.version() >= 1 && import.version() <= std::numeric_limits<int>::max(), ErrorCode::kInvalidModel,
            "the model imports version ", import.version(), " of the operator set '", Utf8(import.domain()), "'");
    int& version = opsets[NormalizeDomain(import.domain())];
    version = std::max(version, static_cast<int>(import.version()));
  }
  return opsets;
}

Opsets ModelOpsets(const onnx::ModelProto& model) {
  Opsets opsets = ReadOpsets(model.opset_import());
  if (opsets.empty() && model.ir_version() < 3) opsets[""] = 1;
  Require(!opsets.empty(), ErrorCode::kInvalidModel, "the model has IR version ", model.ir_version(),
          " and must say which operator sets it imports (opset_import), but it names none");
  for (const auto& [domain, version] : opsets) {
    const auto known = KnownRanges().find(domain);
    Require(known == KnownRanges().end() || version <= known->second.second, ErrorCode::kUnsupported,
            "the model imports version ", version, " of the operator set '", domain.empty() ? "ai.onnx" : domain,
            "', but this build knows versions up to ", known == KnownRanges().end() ? 0 : known->second.second,
            "; export it for an older one, or build onnxforge with a newer ONNX");
  }
  return opsets;
}

const onnx::OpSchema* FindSchema(const std::string& domain, const std::string& op_type, int opset) {
  // Upstream's registry is not asked for others: it would be filled for that.
  return IsStandardDomain(domain) ? FindSchemaOnDemand(op_type, opset, domain) : nullptr;
}

std::vector<SchemaRow> AllSchemas() {
  std::vector<SchemaRow> rows;
  for (const onnx::OpSchema& schema : onnx::OpSchemaRegistry::get_all_schemas_with_history()) {
    rows.push_back({schema.domain(), schema.Name(), schema.since_version(), schema.Deprecated(),
                    schema.HasFunction() || schema.HasContextDependentFunction() || schema.Name() == "Gradient"});
  }
  for (const std::string& name : ContribFunctions()) rows.push_back({"com.microsoft", name, 1, false, true});
  std::sort(rows.begin(), rows.end(), [](const SchemaRow& a, const SchemaRow& b) {
    return std::tie(a.domain, a.op_type, a.since_version) < std::tie(b.domain, b.op_type, b.since_version);
  });
  return rows;
}

std::string OnnxVersion() { return onnx::LAST_RELEASE_VERSION; }

std::string ProtobufVersion() {
  constexpr int kVersion = GOOGLE_PROTOBUF_VERSION;
  return StrCat(kVersion / 1000000, ".", kVersion / 1000 % 1000, ".", kVersion % 1000);
}

const char* OnnxMark() { return ONNXFORGE_COMPONENT_MARK("onnx", ONNX_VERSION_STRING); }

const char* ProtobufMark() { return ONNXFORGE_COMPONENT_MARK("protobuf", ONNXFORGE_TEXT(GOOGLE_PROTOBUF_VERSION)); }

const char* AbseilMark() {
#if GOOGLE_PROTOBUF_VERSION >= 4022000  // from 22 on its headers include abseil's
  return ONNXFORGE_COMPONENT_MARK(
      "abseil-cpp", ONNXFORGE_TEXT(ABSL_LTS_RELEASE_VERSION) "." ONNXFORGE_TEXT(ABSL_LTS_RELEASE_PATCH_LEVEL));
#else
  return "";
#endif
}

}  // namespace onnxforge::io
