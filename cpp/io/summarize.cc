#include "summarize.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "onnxforge/base/dtype.h"

#include "import_type.h"
#include "schemas.h"
#include "walk.h"

namespace onnxforge::io {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

/// Counts never fail: what cannot be counted is as much as can be.
int64_t CappedMultiply(int64_t a, int64_t b) { return b != 0 && a > kMost / b ? kMost : a * b; }
int64_t CappedAdd(int64_t a, int64_t b) { return a > kMost - b ? kMost : a + b; }

int64_t Elements(const google::protobuf::RepeatedField<int64_t>& dims) {
  int64_t elements = 1;
  for (const int64_t extent : dims) elements = CappedMultiply(elements, std::max<int64_t>(extent, 0));
  return elements;
}

int64_t Bytes(const onnx::TensorProto& tensor, int64_t elements) {
  if (tensor.data_type() == onnx::TensorProto::STRING) {
    int64_t bytes = 0;
    for (const std::string& text : tensor.string_data()) bytes += static_cast<int64_t>(text.size());
    return bytes;
  }
  const auto dtype = static_cast<DType>(tensor.data_type());
  const bool known = tensor.data_type() > 0 && tensor.data_type() < 256 && IsValid(dtype);
  const int64_t bits = known ? static_cast<int64_t>(PackedBits(dtype)) : 8;
  return bits >= 8 ? CappedMultiply(elements, bits / 8) : static_cast<int64_t>(PackedBytes(dtype, elements));
}

class Counter {
 public:
  explicit Counter(Summary& summary) : summary_(summary) {}

  void CountNodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes) {
    for (const auto& node : nodes) {
      ++summary_.nodes;
      const std::string domain = NormalizeDomain(node.domain());
      ++operators_[domain.empty() ? node.op_type() : domain + "::" + node.op_type()];
      for (const auto& attribute : node.attribute()) {
        if (attribute.has_g()) CountNodes(attribute.g().node());
        for (const auto& graph : attribute.graphs()) CountNodes(graph.node());
      }
    }
  }

  void CountParameters(const onnx::ModelProto& model) {
    ForEachTensor(model, [&](const onnx::TensorProto& tensor, bool is_initializer) {
      if (!is_initializer) return;
      const int64_t elements = Elements(tensor.dims());
      summary_.parameters = CappedAdd(summary_.parameters, elements);
      summary_.parameter_bytes = CappedAdd(summary_.parameter_bytes, Bytes(tensor, elements));
    });
  }

  void Finish() {
    for (const auto& [name, count] : operators_) summary_.operators.emplace_back(Utf8(name), count);
    std::stable_sort(summary_.operators.begin(), summary_.operators.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
  }

 private:
  Summary& summary_;
  std::map<std::string, int64_t> operators_;
};

}  // namespace

Summary SummarizeModel(const onnx::ModelProto& model) {
  Summary summary;
  summary.ir_version = model.ir_version();
  summary.producer = Utf8(model.producer_name());
  if (!model.producer_version().empty()) summary.producer += " " + Utf8(model.producer_version());
  for (const auto& import : model.opset_import()) {
    summary.opsets.emplace_back(Utf8(NormalizeDomain(import.domain())), import.version());
  }
  std::set<std::string> initializers;
  for (const auto& tensor : model.graph().initializer()) initializers.insert(tensor.name());
  for (const auto& input : model.graph().input()) {
    if (initializers.count(input.name()) == 0) summary.inputs.push_back({Utf8(input.name()), ImportType(input.type())});
  }
  for (const auto& output : model.graph().output()) {
    summary.outputs.push_back({Utf8(output.name()), ImportType(output.type())});
  }
  Counter counter(summary);
  counter.CountNodes(model.graph().node());
  counter.CountParameters(model);
  counter.Finish();
  return summary;
}

}  // namespace onnxforge::io
