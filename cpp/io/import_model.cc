#include "import_model.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "contrib_functions.h"
#include "function_body.h"
#include "gradient.h"
#include "import_attribute.h"
#include "import_tensor.h"
#include "import_type.h"
#include "inference.h"
#include "schemas.h"
#include "scope.h"

namespace onnxforge::io {
namespace {

// What no real model comes near, and what a hostile one must not go beyond.
constexpr int kMaxDepth = 200;              // bodies and function calls within each other
constexpr int64_t kMaxNodes = 1'000'000;    // after the expansion of functions
constexpr int kMaxAttributes = 4096;        // of one node
constexpr size_t kMaxFollowedBytes = 4096;  // constants larger than this tell inference only their type

std::string DescribeNode(const onnx::NodeProto& node, const Scope& scope) {
  ir::Node named;
  named.op_type = Utf8(node.op_type());
  named.domain = Utf8(NormalizeDomain(node.domain()));
  named.name = scope.prefix + Utf8(node.name());
  if (node.name().empty()) named.name = node.output_size() == 0 ? "" : scope.prefix + Utf8(node.output(0));
  return named.Describe();
}

class Importer {
 public:
  Importer(std::shared_ptr<const onnx::ModelProto> model, const ExternalData& external, const HasKernelFn& has_kernel)
      : model_(std::move(model)), external_(external), has_kernel_(has_kernel), functions_(model_) {}

  ir::Model Run() {
    ir::Model out;
    out.opsets = ModelOpsets(*model_);
    GraphBuilder builder(nullptr);
    Scope scope(Scope::Kind::kGraph, builder, nullptr);
    scope.opsets = out.opsets;
    scope.owner = model_;
    ImportGraph(model_->graph(), scope, nullptr);
    builder.graph.Verify(ErrorCode::kInvalidModel);
    out.graph = std::move(builder.graph);
    return out;
  }

 private:
  using TypeList = std::vector<const onnx::TypeProto*>;

  TensorSource Source(const Scope& scope) const { return {scope.owner, &external_}; }

  /// `body_inputs`: the types a body is called with, null for the main graph.
  void ImportGraph(const onnx::GraphProto& proto, Scope& scope, const TypeList* body_inputs) {
    const bool is_main = body_inputs == nullptr;
    ir::Graph& graph = scope.builder().graph;
    graph.name = Utf8(proto.name());
    for (const auto& info : proto.value_info()) scope.declared_types[info.name()] = &info.type();
    for (const auto& info : proto.output()) scope.declared_types[info.name()] = &info.type();
    DeclareNodes(proto.node(), scope);

    std::unordered_map<std::string, const onnx::TensorProto*> defaults;
    for (const auto& tensor : proto.initializer()) defaults[tensor.name()] = &tensor;
    size_t position = 0;
    for (const auto& input : proto.input()) {
      const auto initializer = defaults.find(input.name());
      const bool has_default = initializer != defaults.end();
      // Up to IR version 3 every initialiser had to be an input too; since then it means that the caller may replace
      // it.
      if (has_default && (!is_main || model_->ir_version() < 4)) continue;
      const ir::ValueId id = ImportInput(input, scope);
      onnx::TypeProto given;
      if (!is_main && position < body_inputs->size() && (*body_inputs)[position] != nullptr)
        given = *(*body_inputs)[position];
      ++position;
      if (has_default) {
        graph.value(id).default_value = ImportTensor(*initializer->second, Source(scope));
        initializer->second = nullptr;
      }
      scope.builder().SetType(id, MergeTypes(given, input.type()));
    }
    ImportInitializers(proto, defaults, scope);
    for (const auto& node : proto.node()) {
      if (!IsGradient(node)) ImportNode(node, scope);
    }
    ImportGradients(proto, scope);
    ImportOutputs(proto, scope, is_main);
    graph.Sort();
  }

  static void DeclareNodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope) {
    for (const auto& node : nodes) DeclareOutputs(node, scope);
  }
  static void DeclareOutputs(const onnx::NodeProto& node, Scope& scope) {
    for (const std::string& output : node.output()) {
      if (!output.empty()) scope.Declare(output);
    }
  }

  /// What Gradient stands for comes last: by then the types of what is differentiated are known.
  void ImportGradients(const onnx::GraphProto& proto, Scope& scope) {
    if (!HasGradient(proto)) return;
    const auto opset = scope.opsets.find("");
    GradientExpansion expansion(
        proto, opset == scope.opsets.end() ? 1 : opset->second, [&](const onnx::NodeProto& node, int version) {
          const onnx::FunctionProto* local = functions_.Find(node);
          return local != nullptr ? functions_.Body(*local, node) : OperatorBody(node, version, scope);
        });
    for (const auto& node : proto.node()) {
      if (!IsGradient(node)) continue;
      const auto nodes = std::make_shared<const std::vector<PlacedNode>>(expansion.Expand(node));
      for (const PlacedNode& placed : *nodes) DeclareOutputs(placed.node, scope);
      ImportPlaced(nodes, scope);
    }
  }

  void ImportPlaced(const std::shared_ptr<const std::vector<PlacedNode>>& nodes, Scope& scope) {
    keep_.push_back(nodes);
    const Opsets opsets = scope.opsets;
    const std::shared_ptr<const void> owner = std::exchange(scope.owner, nodes);
    for (const PlacedNode& placed : *nodes) {
      scope.opsets[""] = placed.opset;
      ImportNode(placed.node, scope);
    }
    scope.opsets = opsets;
    scope.owner = owner;
  }

  static ir::ValueId ImportInput(const onnx::ValueInfoProto& input, Scope& scope) {
    Require(!input.name().empty(), ErrorCode::kInvalidModel, "an input of the graph '", scope.builder().graph.name,
            "' has no name");
    scope.builder().Reserve(Utf8(input.name()));
    const ir::ValueId id = scope.Define(input.name());
    scope.builder().graph.inputs.push_back(id);
    return id;
  }

  void ImportInitializers(const onnx::GraphProto& proto,
                          const std::unordered_map<std::string, const onnx::TensorProto*>& defaults, Scope& scope) {
    for (const auto& tensor : proto.initializer()) {
      const auto it = defaults.find(tensor.name());
      if (it->second == nullptr) continue;  // the default of an input
      Require(!tensor.name().empty(), ErrorCode::kInvalidModel, "an initialiser of the graph '",
              scope.builder().graph.name, "' has no name");
      scope.builder().Reserve(Utf8(tensor.name()));
      DefineConstant(tensor.name(), ImportTensor(tensor, Source(scope)), &tensor, scope);
    }
    for (const auto& sparse : proto.sparse_initializer()) {
      const std::string& name = sparse.values().name();
      scope.builder().Reserve(Utf8(name));
      DefineConstant(name, Densify(ImportSparseTensor(sparse, Source(scope)), Utf8(name)), nullptr, scope);
    }
  }

  /// `proto`: the message the tensor is from, where it is one.
  void DefineConstant(const std::string& name, Tensor tensor, const onnx::TensorProto* proto, Scope& scope) {
    const onnx::TensorProto* data = nullptr;
    if (tensor.dtype() != DType::kString && tensor.bytes() <= kMaxFollowedBytes) {
      data = proto != nullptr && !IsExternal(*proto) ? proto : Restate(tensor);
    }
    scope.builder().SetConstant(scope.Define(name), std::move(tensor), data);
  }

  /// A message for inference to read, for a constant that is in none.
  const onnx::TensorProto* Restate(const Tensor& tensor) {
    if (PackedBits(tensor.dtype()) < 8) return nullptr;
    auto proto = std::make_unique<onnx::TensorProto>();
    proto->set_data_type(static_cast<int32_t>(tensor.dtype()));
    for (const int64_t extent : tensor.shape()) proto->add_dims(extent);
    proto->set_raw_data(tensor.raw(), tensor.bytes());
    return restated_.emplace_back(std::move(proto)).get();
  }

  void ImportOutputs(const onnx::GraphProto& proto, Scope& scope, bool is_main) {
    ir::Graph& graph = scope.builder().graph;
    for (const auto& output : proto.output()) {
      const std::optional<ir::ValueId> found = scope.Find(output.name());
      Require(found.has_value() && found->valid(), ErrorCode::kInvalidModel, "nothing makes the output '",
              Utf8(output.name()), "' of the graph '", graph.name, "': no node, input or initialiser has that name");
      ir::ValueId id = *found;
      const std::string name = Utf8(output.name());
      // A function may hand a parameter through; the callers of the model still know its result by the output's name.
      if (is_main && graph.value(id).name != name) id = AddIdentity(id, scope.builder().AddValue(name), scope);
      graph.outputs.push_back(id);
    }
  }

  ir::ValueId AddIdentity(ir::ValueId from, ir::ValueId to, Scope& scope) {
    const auto opset = scope.opsets.find("");
    const onnx::OpSchema* schema = FindSchema("", "Identity", opset == scope.opsets.end() ? 1 : opset->second);
    GraphBuilder& builder = scope.builder();
    ir::Node node;
    node.name = builder.graph.value(to).name;
    node.op_type = "Identity";
    node.since_version = schema == nullptr ? 1 : schema->since_version();
    node.inputs = {from};
    node.outputs = {to};
    builder.graph.AddNode(std::move(node));
    builder.SetType(to, builder.known(from).type);
    return to;
  }

  void ImportNode(const onnx::NodeProto& node, Scope& scope) {
    try {
      Require(++nodes_ <= kMaxNodes, ErrorCode::kUnsupported, "the model has more than ", kMaxNodes,
              " nodes once its functions are expanded");
      Require(node.attribute_size() <= kMaxAttributes, ErrorCode::kInvalidModel, "it has ", node.attribute_size(),
              " attributes");
      ChooseNode(node, scope);
    } catch (Error& error) {
      error.AddContext(StrCat("in ", DescribeNode(node, scope)));
      throw;
    }
  }

  /// What an operator is, as far as domain, type and version decide.
  struct Operator {
    std::string domain;
    int opset = 1;
    const onnx::OpSchema* schema = nullptr;
    int since_version = 1;
  };

  static Operator FindOperator(const onnx::NodeProto& node, const Scope& scope) {
    Operator op;
    op.domain = NormalizeDomain(node.domain());
    const auto opset = scope.opsets.find(op.domain);
    Require(opset != scope.opsets.end() || !IsStandardDomain(op.domain), ErrorCode::kInvalidModel,
            "the model does not say which version of the operator set '", op.domain.empty() ? "ai.onnx" : op.domain,
            "' it uses (opset_import)");
    if (opset != scope.opsets.end()) op.opset = opset->second;
    op.schema = FindSchema(op.domain, node.op_type(), op.opset);
    if (op.schema != nullptr) op.since_version = op.schema->since_version();
    return op;
  }

  void ChooseNode(const onnx::NodeProto& node, Scope& scope) {
    const onnx::FunctionProto* local = functions_.Find(node);
    const std::string domain = NormalizeDomain(node.domain());
    // A model may bring a function for an operator of somebody else's domain, for those who have no kernel for it.
    if (local != nullptr && (IsStandardDomain(domain) || !has_kernel_(domain, node.op_type(), 1))) {
      Expand(functions_.Body(*local, node), node, scope);
      return;
    }
    const Operator op = FindOperator(node, scope);
    if (op.domain.empty() && node.op_type() == "Constant") {
      ImportConstantNode(node, scope);
    } else if (has_kernel_(op.domain, node.op_type(), op.since_version)) {
      AddNode(node, op, scope);
    } else {
      ExpandOperator(node, op, scope);
    }
  }

  void ImportConstantNode(const onnx::NodeProto& node, Scope& scope) {
    if (node.output_size() == 0 || node.output(0).empty()) return;
    const bool in_message = node.attribute_size() == 1 && node.attribute(0).name() == "value";
    DefineConstant(node.output(0), ImportConstant(node, Source(scope)), in_message ? &node.attribute(0).t() : nullptr,
                   scope);
  }

  /// The function that an operator is defined by, of the standard or ours.
  static FunctionBody OperatorBody(const onnx::NodeProto& node, int opset, Scope& scope) {
    std::vector<const onnx::TypeProto*> types;
    std::vector<bool> given;
    for (const std::string& input : node.input()) {
      const std::optional<ir::ValueId> id = input.empty() ? ir::ValueId() : scope.Find(input);
      const bool known = id.has_value() && id->valid();
      const bool typed = known && scope.builder().known(*id).type.value_case() != onnx::TypeProto::VALUE_NOT_SET;
      types.push_back(typed ? &scope.builder().known(*id).type : nullptr);
      given.push_back(known || !id.has_value());
    }
    const std::string domain = NormalizeDomain(node.domain());
    const onnx::OpSchema* schema = FindSchema(domain, node.op_type(), opset);
    if (schema == nullptr) return {ContribFunctionBody(domain, {node, types, given}), nullptr};
    return schema->Deprecated() ? FunctionBody() : SchemaFunctionBody(*schema, opset, node, types, given);
  }

  void ExpandOperator(const onnx::NodeProto& node, const Operator& op, Scope& scope) {
    const FunctionBody body = OperatorBody(node, op.opset, scope);
    if (body.function == nullptr) FailNoKernel(node, op);
    Expand(body, node, scope);
  }

  [[noreturn]] static void FailNoKernel(const onnx::NodeProto& node, const Operator& op) {
    const std::string name = Utf8(OperatorName(op.domain, node.op_type()));
    const std::string domain = op.domain.empty() ? "ai.onnx" : Utf8(op.domain);
    Require(op.schema != nullptr || !IsStandardDomain(op.domain), ErrorCode::kUnsupported, "there is no operator ",
            name, " in version ", op.opset, " of the operator set '", domain, "', which the model uses");
    Require(op.schema == nullptr || !op.schema->Deprecated(), ErrorCode::kUnsupported, name,
            " is deprecated since version ", op.since_version, " of the operator set '", domain, "' (the model uses ",
            op.opset, "); export the model again, or convert it to an older version");
    Fail(ErrorCode::kUnsupported, "no kernel for ", name, " of version ", op.since_version, " of the operator set '",
         domain, "' (the model uses ", op.opset, "), and no function body to run instead");
  }

  /// Puts the nodes of a function in place of a call.
  void Expand(const FunctionBody& body, const onnx::NodeProto& call, Scope& scope) {
    const onnx::FunctionProto& function = *body.function;
    Scope inside(Scope::Kind::kFunction, scope.builder(), &scope);
    EnterFunction(body, call, scope, inside);
    try {
      Require(call.input_size() <= function.input_size(), ErrorCode::kInvalidModel, "it has ", call.input_size(),
              " inputs, but the function takes ", function.input_size());
      Require(call.output_size() <= function.output_size(), ErrorCode::kInvalidModel, "it has ", call.output_size(),
              " outputs, but the function makes ", function.output_size());
      const std::vector<ir::ValueId> arguments = FindInputs(call, scope);
      for (int i = 0; i < function.input_size(); ++i) {
        const auto at = static_cast<size_t>(i);
        inside.Bind(function.input(i), at < arguments.size() ? arguments[at] : ir::ValueId());
      }
      for (int i = 0; i < call.output_size(); ++i) {
        if (!call.output(i).empty()) inside.BindResult(function.output(i), scope, call.output(i));
      }
      DeclareNodes(function.node(), inside);
      for (const auto& node : function.node()) ImportNode(node, inside);
      TakeResults(function, call, inside, scope);
    } catch (Error& error) {
      error.AddContext(
          StrCat("in the body of function '", Utf8(OperatorName(function.domain(), function.name())), "'"));
      throw;
    }
  }

  void EnterFunction(const FunctionBody& body, const onnx::NodeProto& call, const Scope& around, Scope& inside) {
    const onnx::FunctionProto& function = *body.function;
    RequireDepth(inside);
    const auto& active = inside.active;
    Require(body.identity == nullptr || std::find(active.begin(), active.end(), body.identity) == active.end(),
            ErrorCode::kInvalidModel, "the function '", Utf8(OperatorName(function.domain(), function.name())),
            "' calls itself");
    inside.active.push_back(body.identity);
    inside.owner = body.function;
    keep_.push_back(body.function);
    for (const auto& [domain, version] : ReadOpsets(function.opset_import())) inside.opsets[domain] = version;
    for (const auto& info : function.value_info()) inside.declared_types[info.name()] = &info.type();
    const std::string label = !call.name().empty()      ? call.name()
                              : call.output_size() != 0 ? call.output(0)
                                                        : call.op_type();
    // The names of nested calls are a path; past some length it says nothing more and only costs memory.
    inside.prefix = StrCat(around.prefix.size() > 256 ? std::string() : around.prefix, Utf8(label), "/");
  }

  void TakeResults(const onnx::FunctionProto& function, const onnx::NodeProto& call, Scope& inside, Scope& scope) {
    for (int i = 0; i < call.output_size(); ++i) {
      if (call.output(i).empty()) continue;
      const std::optional<ir::ValueId> made = inside.Find(function.output(i));
      Require(made.has_value() && made->valid(), ErrorCode::kInvalidModel, "nothing in it makes its output '",
              Utf8(function.output(i)), "'");
      if (const auto read_before = scope.TakeResult(call.output(i), *made)) AddIdentity(*made, *read_before, scope);
      Known& known = scope.builder().known(*made);
      const onnx::TypeProto& declared = scope.DeclaredType(call.output(i));
      if (!scope.builder().graph.IsConstant(*made)) scope.builder().SetType(*made, MergeTypes(known.type, declared));
    }
  }

  static void RequireDepth(const Scope& scope) {
    Require(scope.depth <= kMaxDepth, ErrorCode::kUnsupported, "bodies and functions are nested more than ", kMaxDepth,
            " deep");
  }

  static std::vector<ir::ValueId> FindInputs(const onnx::NodeProto& node, Scope& scope) {
    std::vector<ir::ValueId> ids;
    ids.reserve(static_cast<size_t>(node.input_size()));
    for (const std::string& name : node.input()) {
      if (name.empty()) {
        ids.emplace_back();
        continue;
      }
      const std::optional<ir::ValueId> id = scope.Find(name);
      Require(id.has_value(), ErrorCode::kInvalidModel, "it reads '", Utf8(name),
              "', but no input, initialiser or node output has that name");
      ids.push_back(*id);
    }
    return ids;
  }

  /// A body being imported: at the latest when its node is done, at the earliest when inference knows its inputs'
  /// types.
  struct PendingBody {
    const onnx::AttributeProto* attribute = nullptr;
    std::shared_ptr<ir::Graph> graph;
    std::vector<onnx::TypeProto> output_types;
  };

  void AddNode(const onnx::NodeProto& proto, const Operator& op, Scope& scope) {
    if (op.schema != nullptr) CheckAgainstSchema(proto, *op.schema);
    ir::Node node;
    node.name = proto.name().empty() ? FirstOutput(proto, scope) : scope.prefix + Utf8(proto.name());
    node.domain = Utf8(op.domain);
    node.op_type = Utf8(proto.op_type());
    node.since_version = op.since_version;
    node.inputs = FindInputs(proto, scope);
    if (op.schema != nullptr) RequireInputs(node.inputs, *op.schema);
    std::vector<PendingBody> bodies = ImportAttributes(proto, node, scope);

    std::vector<Inferred> inferred = Infer(proto, op, node, bodies, scope);
    for (PendingBody& body : bodies) {
      if (body.graph == nullptr) ImportBody(body, {}, proto, scope);
      node.bodies.push_back({Utf8(body.attribute->name()), std::move(body.graph)});
    }
    for (int i = 0; i < proto.output_size(); ++i) {
      node.outputs.push_back(DefineOutput(proto.output(i), inferred, static_cast<size_t>(i), scope));
    }
    scope.builder().graph.AddNode(std::move(node));
  }

  static std::string FirstOutput(const onnx::NodeProto& proto, const Scope& scope) {
    for (const std::string& output : proto.output()) {
      if (!output.empty()) return scope.prefix + Utf8(output);
    }
    return {};
  }

  static ir::ValueId DefineOutput(const std::string& name, std::vector<Inferred>& inferred, size_t i, Scope& scope) {
    if (name.empty()) return {};
    const ir::ValueId id = scope.Define(name);
    const bool has = i < inferred.size();
    scope.builder().SetType(id, MergeTypes(has ? inferred[i].type : onnx::TypeProto(), scope.DeclaredType(name)));
    if (has) scope.builder().known(id).symbolic = std::move(inferred[i].symbolic);
    return id;
  }

  /// What a kernel may rely on: the number of inputs and outputs, and the attributes that must be there.
  static void CheckAgainstSchema(const onnx::NodeProto& node, const onnx::OpSchema& schema) {
    Require(node.input_size() >= schema.min_input() && node.input_size() <= schema.max_input(),
            ErrorCode::kInvalidModel, "it has ", node.input_size(), " inputs, but takes ", schema.min_input(), " to ",
            schema.max_input());
    Require(node.output_size() >= schema.min_output() && node.output_size() <= schema.max_output(),
            ErrorCode::kInvalidModel, "it has ", node.output_size(), " outputs, but makes ", schema.min_output(),
            " to ", schema.max_output());
    for (const auto& [name, attribute] : schema.attributes()) {
      if (!attribute.required) continue;
      const bool there = std::any_of(node.attribute().begin(), node.attribute().end(),
                                     [&wanted = name](const auto& given) { return given.name() == wanted; });
      Require(there, ErrorCode::kInvalidModel, "the required attribute '", name, "' is missing");
    }
  }

  /// That those are there which the operator cannot do without; the node may be in a function whose call left them out.
  static void RequireInputs(const std::vector<ir::ValueId>& ids, const onnx::OpSchema& schema) {
    // Version 11 asks for all inputs of Resize, and exporters leave out what the mode has no use for.
    if (schema.Name() == "Resize") return;
    for (size_t i = 0; i < std::min(ids.size(), schema.inputs().size()); ++i) {
      const onnx::OpSchema::FormalParameter& formal = schema.inputs()[i];
      Require(ids[i].valid() || formal.GetOption() != onnx::OpSchema::Single, ErrorCode::kInvalidModel, "its input '",
              formal.GetName(), "' is left out, and is not optional");
    }
  }

  std::vector<PendingBody> ImportAttributes(const onnx::NodeProto& proto, ir::Node& node, Scope& scope) {
    std::vector<PendingBody> bodies;
    std::unordered_set<std::string> seen;
    for (const auto& attribute : proto.attribute()) {
      const std::string name = Utf8(attribute.name());
      Require(seen.insert(attribute.name()).second, ErrorCode::kInvalidModel, "it has two attributes '", name, "'");
      Require(attribute.ref_attr_name().empty(), ErrorCode::kInvalidModel, "the attribute '", name, "' refers to '",
              Utf8(attribute.ref_attr_name()), "' of a function, but is in none");
      const auto type = AttributeTypeOf(attribute);
      Require(type != onnx::AttributeProto::GRAPHS, ErrorCode::kUnsupported, "the attribute '", name,
              "' is a list of graphs");
      if (type == onnx::AttributeProto::GRAPH) {
        bodies.push_back({&attribute, nullptr, {}});
      } else {
        node.attributes.Set(name, ImportAttribute(attribute, Source(scope)));
      }
    }
    return bodies;
  }

  std::vector<Inferred> Infer(const onnx::NodeProto& proto, const Operator& op, const ir::Node& node,
                              std::vector<PendingBody>& bodies, Scope& scope) {
    if (op.schema == nullptr) return {};
    NodeView view{proto, {}, {}, {}};
    for (const ir::ValueId id : node.inputs) view.inputs.push_back(id.valid() ? &scope.builder().known(id) : nullptr);
    for (const std::string& output : proto.output()) view.outputs_used.push_back(!output.empty());
    view.infer_body = [&](const std::string& attribute, const TypeList& inputs) {
      const auto body = std::find_if(bodies.begin(), bodies.end(),
                                     [&](const PendingBody& b) { return b.attribute->name() == attribute; });
      Require(body != bodies.end(), ErrorCode::kInvalidModel, "the attribute '", attribute,
              "' holds a graph, but its type says that it is something else");
      // Once is enough: types are hints, and importing again at every level would take exponential time.
      if (body->graph == nullptr) ImportBody(*body, inputs, proto, scope);
      TypeList types;
      for (const auto& type : body->output_types) types.push_back(&type);
      return types;
    };
    return InferNode(*op.schema, view);
  }

  void ImportBody(PendingBody& body, const TypeList& inputs, const onnx::NodeProto& node, Scope& around) {
    GraphBuilder builder(&around.builder());
    Scope scope(Scope::Kind::kGraph, builder, &around);
    RequireDepth(scope);
    try {
      ImportGraph(body.attribute->g(), scope, &inputs);
    } catch (Error& error) {
      error.AddContext(StrCat("in '", Utf8(body.attribute->name()), "' of ", DescribeNode(node, around)));
      throw;
    }
    for (const ir::ValueId id : builder.graph.outputs) body.output_types.push_back(builder.known(id).type);
    body.graph = std::make_shared<ir::Graph>(std::move(builder.graph));
  }

  const std::shared_ptr<const onnx::ModelProto> model_;
  const ExternalData& external_;
  const HasKernelFn& has_kernel_;
  const LocalFunctions functions_;
  int64_t nodes_ = 0;
  std::vector<std::unique_ptr<onnx::TensorProto>> restated_;
  std::vector<std::shared_ptr<const void>> keep_;  // bound functions: inference points into their constants
};

}  // namespace

ir::Model ImportModel(std::shared_ptr<const onnx::ModelProto> model, const ExternalData& external,
                      const HasKernelFn& has_kernel) {
  return Importer(std::move(model), external, has_kernel).Run();
}

}  // namespace onnxforge::io
