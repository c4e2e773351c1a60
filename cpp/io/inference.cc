#include "inference.h"

#include <exception>
#include <memory>
#include <utility>

#include "onnxforge/base/error.h"

#include "schema_list.h"

namespace onnxforge::io {
namespace {

/// Values longer than this are not followed element by element: what they hold does not become a shape.
constexpr int64_t kMaxFollowed = 1024;

using Attributes = std::unordered_map<std::string, const onnx::AttributeProto*>;

Attributes AttributesOf(const onnx::NodeProto& node) {
  Attributes attributes;
  for (const auto& attribute : node.attribute()) attributes[attribute.name()] = &attribute;
  return attributes;
}

const onnx::AttributeProto* Find(const Attributes& attributes, const std::string& name) {
  const auto it = attributes.find(name);
  return it == attributes.end() ? nullptr : it->second;
}

const onnx::TypeProto* TypeOrNull(const Known* known) {
  return known == nullptr || known->type.value_case() == onnx::TypeProto::VALUE_NOT_SET ? nullptr : &known->type;
}

class BodyInferencer final : public onnx::GraphInferencer {
 public:
  BodyInferencer(std::string attribute, const InferBodyFn& infer, std::exception_ptr& failure)
      : attribute_(std::move(attribute)), infer_(infer), failure_(failure) {}

  std::vector<const onnx::TypeProto*> doInferencing(const std::vector<const onnx::TypeProto*>& inputs,
                                                    const std::vector<const onnx::TensorProto*>& /*data*/) override {
    try {
      return infer_(attribute_, inputs);
    } catch (...) {
      // An inference function that swallowed this would make an error of the import disappear.
      failure_ = std::current_exception();
      throw;
    }
  }

 private:
  std::string attribute_;
  const InferBodyFn& infer_;
  std::exception_ptr& failure_;
};

class TypeContext final : public onnx::InferenceContext {
 public:
  explicit TypeContext(const NodeView& view)
      : view_(view), attributes_(AttributesOf(view.node)), outputs_(view.outputs_used.size()) {}

  const onnx::AttributeProto* getAttribute(const std::string& name) const override { return Find(attributes_, name); }
  size_t getNumInputs() const override { return view_.inputs.size(); }
  const onnx::TypeProto* getInputType(size_t i) const override { return TypeOrNull(Input(i)); }
  bool hasInput(size_t i) const override { return i < view_.inputs.size() && view_.inputs[i] != nullptr; }
  const onnx::TensorProto* getInputData(size_t i) const override {
    const Known* known = Input(i);
    return known == nullptr ? nullptr : known->data;
  }
  const onnx::SparseTensorProto* getInputSparseData(size_t) const override { return nullptr; }
  const onnx::TensorShapeProto* getSymbolicInput(size_t i) const override {
    const Known* known = Input(i);
    return known == nullptr || known->data != nullptr || !known->symbolic ? nullptr : &*known->symbolic;
  }
  size_t getNumOutputs() const override { return outputs_.size(); }
  onnx::TypeProto* getOutputType(size_t i) override { return &outputs_.at(i); }
  bool hasOutput(size_t i) override { return i < view_.outputs_used.size() && view_.outputs_used[i]; }
  onnx::GraphInferencer* getGraphAttributeInferencer(const std::string& name) override {
    const onnx::AttributeProto* attribute = getAttribute(name);
    if (attribute == nullptr || !attribute->has_g()) throw onnx::InferenceError("there is no body '" + name + "'");
    auto& inferencer = bodies_[name];
    if (inferencer == nullptr) inferencer = std::make_unique<BodyInferencer>(name, view_.infer_body, failure_);
    return inferencer.get();
  }
  std::string getDisplayName() const override { return view_.node.op_type(); }

  std::vector<onnx::TypeProto>& outputs() { return outputs_; }
  const std::exception_ptr& failure() const { return failure_; }

 private:
  const Known* Input(size_t i) const { return view_.inputs.at(i); }

  const NodeView& view_;
  const Attributes attributes_;
  std::vector<onnx::TypeProto> outputs_;
  std::unordered_map<std::string, std::unique_ptr<BodyInferencer>> bodies_;
  std::exception_ptr failure_;
};

/// The elements of a small integer constant of rank 0 or 1.
std::optional<onnx::TensorShapeProto> ElementsOf(const onnx::TensorProto& tensor) {
  if (tensor.dims_size() > 1) return std::nullopt;
  onnx::TensorShapeProto out;
  const auto add = [&](const auto& values) {
    for (const auto value : values) out.add_dim()->set_dim_value(value);
  };
  if (tensor.data_type() == onnx::TensorProto::INT64) {
    add(onnx::ParseData<int64_t>(&tensor));
  } else if (tensor.data_type() == onnx::TensorProto::INT32) {
    add(onnx::ParseData<int32_t>(&tensor));
  } else {
    return std::nullopt;
  }
  return out;
}

/// A list of integers of known length with unknown elements; what has other elements never becomes a shape.
std::optional<onnx::TensorShapeProto> UnknownElementsOf(const onnx::TypeProto* type) {
  if (type == nullptr || !type->has_tensor_type() || !type->tensor_type().has_shape()) return std::nullopt;
  const auto element = type->tensor_type().elem_type();
  if (element != onnx::TensorProto::INT64 && element != onnx::TensorProto::INT32) return std::nullopt;
  const auto& shape = type->tensor_type().shape();
  if (shape.dim_size() != 1 || !shape.dim(0).has_dim_value()) return std::nullopt;
  const int64_t length = shape.dim(0).dim_value();
  if (length < 0 || length > kMaxFollowed) return std::nullopt;
  onnx::TensorShapeProto out;
  for (int64_t i = 0; i < length; ++i) out.add_dim();
  return out;
}

class ElementContext final : public onnx::DataPropagationContext {
 public:
  ElementContext(const NodeView& view, const std::vector<onnx::TypeProto>& types)
      : view_(view),
        types_(types),
        attributes_(AttributesOf(view.node)),
        inputs_(view.inputs.size()),
        outputs_(types.size()) {}

  const onnx::AttributeProto* getAttribute(const std::string& name) const override { return Find(attributes_, name); }
  size_t getNumInputs() const override { return view_.inputs.size(); }
  const onnx::TypeProto* getInputType(size_t i) const override { return TypeOrNull(view_.inputs.at(i)); }
  size_t getNumOutputs() const override { return types_.size(); }
  const onnx::TypeProto* getOutputType(size_t i) const override { return &types_.at(i); }
  const onnx::TensorShapeProto* getInputData(size_t i) override {
    const Known* known = view_.inputs.at(i);
    if (known == nullptr) return nullptr;
    if (known->symbolic) return &*known->symbolic;
    std::optional<onnx::TensorShapeProto>& elements = inputs_[i];
    if (!elements && known->data != nullptr) elements = ElementsOf(*known->data);
    if (!elements) elements = UnknownElementsOf(TypeOrNull(known));
    return elements ? &*elements : nullptr;
  }
  void addOutputData(size_t i, onnx::TensorShapeProto&& elements) override {
    if (elements.dim_size() <= kMaxFollowed) outputs_.at(i) = std::move(elements);
  }

  std::vector<std::optional<onnx::TensorShapeProto>>& outputs() { return outputs_; }

 private:
  const NodeView& view_;
  const std::vector<onnx::TypeProto>& types_;
  const Attributes attributes_;
  std::vector<std::optional<onnx::TensorShapeProto>> inputs_;
  std::vector<std::optional<onnx::TensorShapeProto>> outputs_;
};

/// Upstream's inference of Einsum does not come to an end when a term has a second ellipsis. The kernel refuses it.
bool IsEndless(const onnx::NodeProto& node) {
  if (node.op_type() != "Einsum") return false;
  const Attributes attributes = AttributesOf(node);
  const onnx::AttributeProto* equation = Find(attributes, "equation");
  if (equation == nullptr) return false;
  const std::string& text = equation->s();
  for (size_t at = text.find("..."); at != std::string::npos;) {
    const size_t next = text.find("...", at + 3);
    if (next < text.find_first_of(",>", at)) return true;
    at = next;
  }
  return false;
}

void InferTypes(const onnx::OpSchema& schema, TypeContext& context) {
  try {
    if (schema.has_type_and_shape_inference_function()) {
      schema.GetTypeAndShapeInferenceFunction()(context);
    } else if (const onnx::FunctionProto* body = schema.GetFunction()) {
      onnx::shape_inference::InferShapeForFunctionNode(*body, &SchemasOnDemand(), context);
    }
  } catch (const std::exception&) {
    // The element types that were found before the contradiction still hold; half a shape does not.
    for (onnx::TypeProto& type : context.outputs()) {
      if (type.has_tensor_type()) type.mutable_tensor_type()->clear_shape();
    }
  }
  if (context.failure() != nullptr) std::rethrow_exception(context.failure());
}

}  // namespace

std::vector<Inferred> InferNode(const onnx::OpSchema& schema, const NodeView& view) {
  TypeContext types(view);
  if (!IsEndless(view.node)) InferTypes(schema, types);
  std::vector<Inferred> out(types.outputs().size());
  if (schema.has_data_propagation_function()) {
    ElementContext elements(view, types.outputs());
    try {
      schema.GetDataPropagationFunction()(elements);
      for (size_t i = 0; i < out.size(); ++i) out[i].symbolic = std::move(elements.outputs()[i]);
    } catch (const std::exception&) {
      // Nothing is known of the elements then.
    }
  }
  for (size_t i = 0; i < out.size(); ++i) out[i].type = std::move(types.outputs()[i]);
  return out;
}

}  // namespace onnxforge::io
