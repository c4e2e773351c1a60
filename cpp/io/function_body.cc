#include "function_body.h"

#include <exception>
#include <utility>

#include "onnxforge/base/error.h"

#include "import_type.h"

namespace onnxforge::io {
namespace {

using AttributeMap = onnx::internal::AttributeMap;

std::string Key(const std::string& domain, const std::string& name, const std::string& overload) {
  return StrCat(NormalizeDomain(domain), '\0', name, '\0', overload);
}

bool RefersToAttributes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes) {
  for (const auto& node : nodes) {
    for (const auto& attribute : node.attribute()) {
      if (!attribute.ref_attr_name().empty() || RefersToAttributes(attribute.g().node())) return true;
    }
  }
  return false;
}

/// A copy with the references to attributes replaced, or dropped where neither call nor defaults have a value.
std::shared_ptr<const onnx::FunctionProto> Bind(const onnx::FunctionProto& function, const AttributeMap& values) {
  auto bound = std::make_shared<onnx::FunctionProto>(function);
  onnx::internal::AttributeBinder(values).VisitFunction(*bound);
  return bound;
}

void AddAttributesOf(const onnx::NodeProto& call, AttributeMap& values) {
  for (const auto& attribute : call.attribute()) values[attribute.name()] = &attribute;
}

/// What the builder of a body that depends on its context may ask.
class BuildContext final : public onnx::FunctionBodyBuildContext {
 public:
  BuildContext(const onnx::NodeProto& call, const std::vector<const onnx::TypeProto*>& types,
               const std::vector<bool>& given)
      : call_(call), types_(types), given_(given) {
    AddAttributesOf(call, attributes_);
  }
  /// Lets the builder see a call without this attribute.
  void Hide(const char* attribute) { attributes_.erase(attribute); }
  const onnx::AttributeProto* getAttribute(const std::string& name) const override {
    const auto it = attributes_.find(name);
    return it == attributes_.end() ? nullptr : it->second;
  }
  bool hasInput(int i) const override {
    return i >= 0 && static_cast<size_t>(i) < given_.size() && given_[static_cast<size_t>(i)];
  }
  bool hasOutput(int i) const override { return i >= 0 && i < call_.output_size() && !call_.output(i).empty(); }
  const onnx::TypeProto* getInputType(int i) const override {
    return i >= 0 && static_cast<size_t>(i) < types_.size() ? types_[static_cast<size_t>(i)] : nullptr;
  }

 private:
  const onnx::NodeProto& call_;
  const std::vector<const onnx::TypeProto*>& types_;
  const std::vector<bool>& given_;
  AttributeMap attributes_;
};

std::shared_ptr<onnx::FunctionProto> Build(const onnx::OpSchema& schema, int opset, const BuildContext& context) {
  auto function = std::make_shared<onnx::FunctionProto>();
  try {
    if (schema.HasContextDependentFunction() && schema.BuildContextDependentFunction(context, *function, opset))
      return function;
  } catch (const std::exception&) {
    // The builder refuses this node: the same as having no body for it.
  }
  return nullptr;
}

/// Upstream's bodies of Attention-23 and -24 split Q, K and V into heads wherever attributes count these: also where
/// the inputs have an axis of heads, which their own shape inference leaves as it is. From version 25 on that is
/// refused.
bool CountsHeadsInVain(const onnx::OpSchema& schema, const std::vector<const onnx::TypeProto*>& types) {
  if (schema.Name() != "Attention" || schema.since_version() >= 25 || types.empty() || types[0] == nullptr)
    return false;
  return types[0]->tensor_type().has_shape() && types[0]->tensor_type().shape().dim_size() == 4;
}

}  // namespace

LocalFunctions::LocalFunctions(std::shared_ptr<const onnx::ModelProto> model) : model_(std::move(model)) {
  for (const auto& function : model_->functions()) {
    const bool is_new = by_key_.emplace(Key(function.domain(), function.name(), function.overload()), &function).second;
    Require(is_new, ErrorCode::kInvalidModel, "the model defines the function '",
            Utf8(OperatorName(function.domain(), function.name())), "' twice");
  }
}

const onnx::FunctionProto* LocalFunctions::Find(const onnx::NodeProto& node) const {
  if (by_key_.empty()) return nullptr;
  const auto it = by_key_.find(Key(node.domain(), node.op_type(), node.overload()));
  return it == by_key_.end() ? nullptr : it->second;
}

FunctionBody LocalFunctions::Body(const onnx::FunctionProto& function, const onnx::NodeProto& call) const {
  // The model keeps the function, and so the data of its tensors, alive.
  if (!RefersToAttributes(function.node())) return {{model_, &function}, &function};
  AttributeMap values;
  for (const auto& attribute : function.attribute_proto()) values[attribute.name()] = &attribute;
  AddAttributesOf(call, values);
  return {Bind(function, values), &function};
}

FunctionBody SchemaFunctionBody(const onnx::OpSchema& schema, int opset, const onnx::NodeProto& call,
                                const std::vector<const onnx::TypeProto*>& input_types,
                                const std::vector<bool>& inputs_given) {
  AttributeMap values;
  for (const auto& [name, attribute] : schema.attributes()) {
    if (attribute.default_value.has_name()) values[name] = &attribute.default_value;
  }
  AddAttributesOf(call, values);
  if (const onnx::FunctionProto* function = schema.GetFunction(opset)) return {Bind(*function, values), nullptr};
  BuildContext context(call, input_types, inputs_given);
  if (CountsHeadsInVain(schema, input_types)) {
    for (const char* attribute : {"q_num_heads", "kv_num_heads"}) context.Hide(attribute);
  }
  const auto built = Build(schema, opset, context);
  if (built == nullptr) return {};
  onnx::internal::AttributeBinder(values).VisitFunction(*built);
  return {built, nullptr};
}

}  // namespace onnxforge::io
