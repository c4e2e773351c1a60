#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "onnxforge/io/model_file.h"

#include "check.h"
#include "onnx/defs/parser.h"
#include "onnx/defs/schema.h"
#include "onnx/onnx_pb.h"
#include "schema_list.h"

namespace onnxforge::io {
namespace {

namespace fs = std::filesystem;

bool Always(std::string_view, std::string_view, int) { return true; }

/// A kernel for everything that has no function body (some have one in later opsets only): what is expanded must be
/// expanded all the way.
bool OnlyPrimitives(std::string_view domain, std::string_view op_type, int version) {
  const onnx::OpSchema* schema = onnx::OpSchemaRegistry::Schema(std::string(op_type), version, std::string(domain));
  if (schema == nullptr) return true;
  const std::vector<int> built = schema->context_dependent_function_opset_versions();
  return schema->GetFunction(version) == nullptr && (built.empty() || built.front() > version);
}

onnx::ModelProto Parse(const char* text) {
  onnx::ModelProto model;
  const auto status = onnx::OnnxParser::Parse(model, text);
  Require(status.IsOK(), ErrorCode::kInternal, status.ErrorMessage());
  return model;
}

ModelFile Open(const onnx::ModelProto& model, const std::string& base_dir = "") {
  const std::string bytes = model.SerializeAsString();
  return ModelFile::FromBytes({bytes.data(), bytes.size()}, base_dir);
}

ir::Model Import(const onnx::ModelProto& model, const HasKernelFn& has_kernel = Always) {
  return Open(model).ToIr(has_kernel);
}

ModelFile OpenBytes(const std::string& bytes) { return ModelFile::FromBytes({bytes.data(), bytes.size()}); }

std::string Ops(const ir::Graph& graph) {
  std::string out;
  for (const ir::NodeId id : graph.order()) out += (out.empty() ? "" : " ") + graph.node(id).op_type;
  return out;
}

const ir::Node& Find(const ir::Graph& graph, const std::string& op_type) {
  for (const ir::NodeId id : graph.order()) {
    if (graph.node(id).op_type == op_type) return graph.node(id);
  }
  Fail(ErrorCode::kInternal, "no ", op_type, " among ", Ops(graph));
}

/// Whoever asks for one schema gets upstream's, whether the list has it or the registry had to be asked.
void TestSchemasOnDemand() {
  size_t listed = 0;
  for (const onnx::OpSchema& wanted : onnx::OpSchemaRegistry::get_all_schemas_with_history()) {
    const int version = wanted.since_version();
    const onnx::OpSchema* found = FindSchemaOnDemand(wanted.Name(), version, wanted.domain());
    CHECK(found != nullptr);
    if (found != onnx::OpSchemaRegistry::Schema(wanted.Name(), version, wanted.domain())) ++listed;
    CHECK_EQ(found->domain() + "." + found->Name(), wanted.domain() + "." + wanted.Name());
    CHECK_EQ(found->since_version(), version);
    CHECK_EQ(found->max_input(), wanted.max_input());
    CHECK_EQ(found->min_output(), wanted.min_output());
    CHECK_EQ(found->attributes().size(), wanted.attributes().size());
    CHECK_EQ(found->HasFunction(), wanted.HasFunction());
    CHECK_EQ(found->inputs().size() == 0 || found->inputs()[0].GetTypes() == wanted.inputs()[0].GetTypes(), true);
    // Every other version selects what upstream selects, or nothing where upstream finds nothing.
    for (int opset = 0; opset < 30; ++opset) {
      const onnx::OpSchema* upstream = onnx::OpSchemaRegistry::Schema(wanted.Name(), opset, wanted.domain());
      const onnx::OpSchema* ours = FindSchemaOnDemand(wanted.Name(), opset, wanted.domain());
      CHECK_EQ(ours == nullptr ? -1 : ours->since_version(), upstream == nullptr ? -1 : upstream->since_version());
    }
  }
  CHECK(listed > 600);
  CHECK(FindSchemaOnDemand("NoSuchOperator", 20, "") == nullptr);
}

std::string TypeOfOutput(const ir::Graph& graph, size_t i = 0) { return StrCat(graph.value(graph.outputs[i]).type); }

/// A folder of its own that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::random_device seed;
    path_ = fs::temp_directory_path() / StrCat("onnxforge io ü test ", seed(), seed());
    fs::create_directories(path_ / "model");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / fs::u8path(name)).u8string(); }

 private:
  fs::path path_;
};

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(fs::u8path(path), std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(fs::u8path(path), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

size_t FileCount(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(fs::u8path(folder)), fs::directory_iterator()));
}

constexpr const char* kLinear = R"(<ir_version: 8, opset_import: ["" : 17]>
  linear (float[batch, 3] x) => (float[batch, 2] y)
  <float[3, 2] w = {1, 2, 3, 4, 5, 6}, float[2] b = {0.5, -0.5}>
  {
    xw = MatMul(x, w)
    y = Add(xw, b)
  })";

constexpr const char* kControlFlow = R"(<ir_version: 8, opset_import: ["" : 17]>
  branches (bool cond, float[n] x, int64 trips) => (float[n] y, float[n] last)
  <float[1] scale = {2.0}>
  {
    doubled = Mul(x, scale)
    y = If (cond) <
      then_branch = positive () => (float[n] t) {
        inner = If (cond) <
          then_branch = deep () => (float[n] d) { both = Add(doubled, x)  d = Mul(both, scale) },
          else_branch = flat () => (float[n] e) { e = Identity(x) }
        >
        t = Relu(inner)
      },
      else_branch = negative () => (float[n] f) { f = Neg(doubled) }
    >
    last = Loop (trips, cond, x) <
      body = step (int64 i, bool c, float[n] s) => (bool c_out, float[n] s_out) { c_out = Identity(c)  s_out = Add(s, doubled) }
    >
  })";

constexpr const char* kFunctions = R"(<ir_version: 8, opset_import: ["" : 18, "custom" : 1]>
  calls (float[n] x) => (float[n] y, float[n] z)
  {
    y = custom.twice <factor = 3.0> (x)
    z = custom.twice (y)
  }
  <domain: "custom", opset_import: ["" : 12, "custom" : 1]>
  twice <factor: float = 2.0> (a) => (c)
  {
    b = custom.scaled <by: float = @factor> (a)
    axes_made = Constant <value_ints = [0]> ()
    sum = ReduceSum <axes = [0]> (b)
    c = Add(b, sum)
  }
  <domain: "custom", opset_import: ["" : 18]>
  scaled <by: float = 1.0> (p) => (q)
  {
    k = Constant <value_float: float = @by> ()
    q = Mul(p, k)
  })";

// ---- reading ----

void TestVersionsAndSchemas() {
  CHECK_EQ(OnnxVersion().substr(0, 2), "1.");
  const std::string protobuf = ProtobufVersion();
  CHECK_EQ(static_cast<int>(std::count(protobuf.begin(), protobuf.end(), '.')), 2);
  CHECK_EQ(std::string(OnnxMark()), "onnxforge.component onnx " + OnnxVersion());
  CHECK_EQ(std::string(ProtobufMark()).rfind("onnxforge.component protobuf 3", 0), size_t{0});
  const std::vector<SchemaRow> rows = AllSchemas();
  std::set<std::pair<std::string, std::string>> operators;
  size_t contributed = 0;
  for (const SchemaRow& row : rows) {
    const bool is_standard = row.domain.empty() || row.domain.rfind("ai.onnx", 0) == 0;
    if (is_standard) operators.emplace(row.domain, row.op_type);
    contributed += is_standard ? 0 : 1;
  }
  CHECK(rows.size() > 600);
  CHECK(contributed > 20);
  if (OnnxVersion() == "1.23.2") CHECK_EQ(operators.size(), size_t{227});
  const auto find = [&](const char* op, int version) {
    return *std::find_if(rows.begin(), rows.end(),
                         [&](const SchemaRow& row) { return row.op_type == op && row.since_version == version; });
  };
  CHECK(find("Gelu", 20).has_function_body);
  CHECK(!find("Conv", 11).has_function_body);
  CHECK(find("Upsample", 10).deprecated);
}

void TestNotAModel() {
  CHECK_THROWS(OpenBytes(""), ErrorCode::kInvalidModel, "it is empty");
  CHECK_THROWS(OpenBytes("version https://git-lfs.github.com/spec/v1\noid sha256:0"), ErrorCode::kInvalidModel,
               "git lfs pull");
  CHECK_THROWS(OpenBytes(std::string("PK\x03\x04rest of a zip")), ErrorCode::kInvalidModel, "a zip archive");
  CHECK_THROWS(OpenBytes("<!DOCTYPE html><p>404"), ErrorCode::kInvalidModel, "HTML page");
  CHECK_THROWS(OpenBytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), ErrorCode::kInvalidModel, "at byte 0");
  CHECK_THROWS(OpenBytes("\x08\x07"), ErrorCode::kInvalidModel, "there is no graph in it");
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    try {
      OpenBytes(bytes).ToIr(Always);
    } catch (const Error& error) {
      CHECK(error.code() != ErrorCode::kInternal);
    }
  }
}

void TestTruncatedModelSaysWhere() {
  const std::string whole = Parse(kLinear).SerializeAsString();
  int refused = 0;
  for (size_t length = 0; length < whole.size(); ++length) {
    try {
      OpenBytes(whole.substr(0, length)).ToIr(Always);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kInvalidModel);
      ++refused;
    }
  }
  CHECK(refused > static_cast<int>(whole.size()) - 16);
  CHECK_THROWS(OpenBytes(whole.substr(0, whole.size() / 2)), ErrorCode::kInvalidModel, "(the graph) is said to have");
}

void TestPaths() {
  const TemporaryFolder folder;
  CHECK_THROWS(ModelFile::FromPath(folder / "none.onnx"), ErrorCode::kIo, "none.onnx");
  CHECK_THROWS(ModelFile::FromPath(folder / "model"), ErrorCode::kIo, "it is a folder");
  WriteFile(folder / "empty.onnx", "");
  CHECK_THROWS(ModelFile::FromPath(folder / "empty.onnx"), ErrorCode::kInvalidModel, "it is empty");
  WriteFile(folder / "cut.onnx", Parse(kLinear).SerializeAsString().substr(0, 60));
  CHECK_THROWS(ModelFile::FromPath(folder / "cut.onnx"), ErrorCode::kInvalidModel, "the data is truncated");
  WriteFile(folder / "mödel.onnx", Parse(kLinear).SerializeAsString());
  CHECK_EQ(Ops(ModelFile::FromPath(folder / "mödel.onnx").ToIr(Always).graph), "MatMul Add");
  // A file that is there, but larger than protobuf can read (sparse, so that it takes no space).
  WriteFile(folder / "huge.onnx", "");
  fs::resize_file(fs::u8path(folder / "huge.onnx"), (uint64_t{2} << 30) + 1);
  CHECK_THROWS(ModelFile::FromPath(folder / "huge.onnx"), ErrorCode::kInvalidModel, "external data");
}

void TestNestingBomb() {
  onnx::ModelProto model = Parse(kLinear);
  onnx::TypeProto* type = model.mutable_graph()->mutable_input(0)->mutable_type();
  for (int i = 0; i < 5000; ++i) type = type->mutable_sequence_type()->mutable_elem_type();
  type->mutable_tensor_type()->set_elem_type(1);
  CHECK_THROWS(Open(model), ErrorCode::kInvalidModel, "nested deeper");
}

// ---- tensors ----

Tensor ImportOne(const onnx::TensorProto& tensor) {
  onnx::ModelProto model = Parse("<ir_version: 8, opset_import: [\"\" : 17]> g () => (float y) { y = Identity(k) }");
  *model.mutable_graph()->add_initializer() = tensor;
  model.mutable_graph()->mutable_initializer(0)->set_name("k");
  const ir::Model imported = Import(model);
  return imported.graph.value(Find(imported.graph, "Identity").inputs[0]).constant;
}

onnx::TensorProto TensorOf(onnx::TensorProto::DataType type, std::initializer_list<int64_t> dims) {
  onnx::TensorProto tensor;
  tensor.set_data_type(type);
  for (const int64_t extent : dims) tensor.add_dims(extent);
  return tensor;
}

void TestTypedFields() {
  onnx::TensorProto halves = TensorOf(onnx::TensorProto::FLOAT16, {2});
  halves.add_int32_data(0x3c00);
  halves.add_int32_data(0xc000);
  const Tensor half = ImportOne(halves);
  CHECK_EQ(static_cast<float>(half.data<Float16>()[0]), 1.0f);
  CHECK_EQ(static_cast<float>(half.data<Float16>()[1]), -2.0f);

  onnx::TensorProto bytes = TensorOf(onnx::TensorProto::INT8, {3});
  for (const int v : {-128, -1, 127}) bytes.add_int32_data(v);
  CHECK_EQ(static_cast<int>(ImportOne(bytes).data<int8_t>()[0]), -128);

  onnx::TensorProto words = TensorOf(onnx::TensorProto::UINT32, {1});
  words.add_uint64_data(0xffffffffu);
  CHECK_EQ(ImportOne(words).data<uint32_t>()[0], 0xffffffffu);

  onnx::TensorProto complex = TensorOf(onnx::TensorProto::COMPLEX64, {1});
  complex.add_float_data(1.5f);
  complex.add_float_data(-2.5f);
  CHECK(ImportOne(complex).data<std::complex<float>>()[0] == std::complex<float>(1.5f, -2.5f));

  onnx::TensorProto text = TensorOf(onnx::TensorProto::STRING, {2});
  text.add_string_data("a");
  text.add_string_data("");
  CHECK_EQ(ImportOne(text).data<std::string>()[0], "a");

  onnx::TensorProto flags = TensorOf(onnx::TensorProto::BOOL, {3});
  flags.set_raw_data(std::string("\x00\x02\x01", 3));
  const Tensor flag = ImportOne(flags);
  CHECK(!flag.data<bool>()[0] && flag.data<bool>()[1] && flag.data<bool>()[2]);

  const Tensor none = ImportOne(TensorOf(onnx::TensorProto::FLOAT, {2, 0, 5}));
  CHECK_EQ(none.elements(), 0);
}

void TestSmallIntegersAreUnpacked() {
  onnx::TensorProto nibbles = TensorOf(onnx::TensorProto::INT4, {3});
  nibbles.set_raw_data(std::string("\x8f\x07", 2));  // -1, -8, 7
  const Tensor raw = ImportOne(nibbles);
  CHECK_EQ(static_cast<int>(raw.data<Int4>()[0]), -1);
  CHECK_EQ(static_cast<int>(raw.data<Int4>()[1]), -8);
  CHECK_EQ(static_cast<int>(raw.data<Int4>()[2]), 7);
  CHECK_EQ(raw.bytes(), size_t{3});
  nibbles.clear_raw_data();
  nibbles.add_int32_data(0x8f);
  nibbles.add_int32_data(0x07);
  CHECK(std::memcmp(ImportOne(nibbles).raw(), raw.raw(), 3) == 0);
  nibbles.clear_int32_data();
  nibbles.add_int32_data(0x078f);  // four bytes an entry
  CHECK(std::memcmp(ImportOne(nibbles).raw(), raw.raw(), 3) == 0);

  onnx::TensorProto unsigned_nibbles = TensorOf(onnx::TensorProto::UINT4, {2});
  unsigned_nibbles.set_raw_data("\x8f");
  CHECK_EQ(static_cast<int>(ImportOne(unsigned_nibbles).data<UInt4>()[0]), 15);
  onnx::TensorProto pairs = TensorOf(onnx::TensorProto::INT2, {5});
  pairs.set_raw_data("\xe4\x02");  // 0, 1, -2, -1; -2
  const int expected[] = {0, 1, -2, -1, -2};
  for (int i = 0; i < 5; ++i) CHECK_EQ(static_cast<int>(ImportOne(pairs).data<Int2>()[i]), expected[i]);
  onnx::TensorProto floats = TensorOf(onnx::TensorProto::FLOAT4E2M1, {2});
  floats.set_raw_data("\x72");  // 1, 6
  CHECK_EQ(static_cast<float>(ImportOne(floats).data<Float4E2M1>()[0]), 1.0f);
  CHECK_EQ(static_cast<float>(ImportOne(floats).data<Float4E2M1>()[1]), 6.0f);
}

void TestSixBitsAreUnpacked() {
  onnx::TensorProto proto = TensorOf(onnx::TensorProto::FLOAT6E2M3, {5});
  // 1, 2, 7.5, -7.5; 0.125: the codes 8, 16, 31, 63 and 1 as one stream of bits.
  proto.set_raw_data(std::string("\x08\xf4\xfd\x01", 4));
  const Tensor raw = ImportOne(proto);
  const float expected[] = {1, 2, 7.5f, -7.5f, 0.125f};
  for (int i = 0; i < 5; ++i) CHECK_EQ(static_cast<float>(raw.data<Float6E2M3>()[i]), expected[i]);
  proto.set_raw_data(std::string("\x08\xf4\xfd\x41", 4));
  CHECK_THROWS(ImportOne(proto), ErrorCode::kInvalidModel, "the 2 bits behind the last element");
  proto.set_raw_data(std::string("\x08\xf4\xfd", 3));
  CHECK_THROWS(ImportOne(proto), ErrorCode::kInvalidModel, "has 4 bytes, but raw_data has 3");
  proto.clear_raw_data();
  for (const int code : {8, 16, 31, 63, 1}) proto.add_int32_data(code);
  CHECK(std::memcmp(ImportOne(proto).raw(), raw.raw(), 5) == 0);
  for (const int wrong : {64, -1, 1 << 30}) {
    proto.set_int32_data(3, wrong);
    CHECK_THROWS(ImportOne(proto), ErrorCode::kInvalidModel, "entry 3 of int32_data is");
  }
  proto.mutable_int32_data()->RemoveLast();
  proto.set_int32_data(3, 63);
  CHECK_THROWS(ImportOne(proto), ErrorCode::kInvalidModel, "needs 5 entries in int32_data, but there are 4");
}

void TestRawDataIsShared() {
  onnx::ModelProto model = Parse(kLinear);
  auto* w = model.mutable_graph()->mutable_initializer(0);
  w->clear_float_data();
  w->set_raw_data(std::string(24, '\x01'));
  ir::Model imported;
  {
    const ModelFile file = Open(model);
    imported = file.ToIr(Always);
    const ir::Model again = file.ToIr(Always);
    const ir::ValueId id = Find(imported.graph, "MatMul").inputs[1];
    CHECK(imported.graph.value(id).constant.raw() == again.graph.value(id).constant.raw());
  }
  // The model lives on in its tensors.
  const Tensor& tensor = imported.graph.value(Find(imported.graph, "MatMul").inputs[1]).constant;
  CHECK_EQ(static_cast<const char*>(tensor.raw())[23], '\x01');
}

void TestBadTensors() {
  const auto fails = [](const onnx::TensorProto& tensor, const char* needle) {
    CHECK_THROWS(ImportOne(tensor), ErrorCode::kInvalidModel, needle);
    CHECK_THROWS(ImportOne(tensor), ErrorCode::kInvalidModel, "in tensor 'k'");
  };
  onnx::TensorProto tensor = TensorOf(onnx::TensorProto::FLOAT, {2, 2});
  tensor.set_raw_data("123");
  fails(tensor, "has 16 bytes, but raw_data has 3");
  tensor.clear_raw_data();
  fails(tensor, "needs 4 entries in float_data, but there are 0 (and no data elsewhere)");
  tensor.add_int32_data(1);
  fails(tensor, "needs 4 entries in float_data");
  fails(TensorOf(onnx::TensorProto::FLOAT, {-1}), "extent 0 of its shape is -1");
  const int64_t most = std::numeric_limits<int64_t>::max();
  fails(TensorOf(onnx::TensorProto::DOUBLE, {most}), "more elements than can be counted");
  fails(TensorOf(onnx::TensorProto::DOUBLE, {1 << 30, 1 << 30, 1 << 30}), "more elements than can be counted");
  fails(TensorOf(onnx::TensorProto::FLOAT, {1 << 29, 1 << 29}), "needs 288230376151711744 entries");
  onnx::TensorProto unknown = TensorOf(onnx::TensorProto::FLOAT, {0});
  unknown.set_data_type(99);
  fails(unknown, "data_type 99 is not one of the standard's");
  unknown.set_data_type(-7);
  fails(unknown, "data_type -7");
}

void TestSparseInitializerBecomesDense() {
  onnx::ModelProto model =
      Parse("<ir_version: 8, opset_import: [\"\" : 17]> g () => (float[2, 3] y) { y = Identity(s) }");
  auto* sparse = model.mutable_graph()->add_sparse_initializer();
  sparse->add_dims(2);
  sparse->add_dims(3);
  *sparse->mutable_values() = TensorOf(onnx::TensorProto::FLOAT, {2});
  sparse->mutable_values()->set_name("s");
  sparse->mutable_values()->add_float_data(5);
  sparse->mutable_values()->add_float_data(7);
  *sparse->mutable_indices() = TensorOf(onnx::TensorProto::INT64, {2, 2});
  for (const int64_t i : {0, 1, 1, 2}) sparse->mutable_indices()->add_int64_data(i);
  const ir::Model imported = Import(model);
  const Tensor& dense = imported.graph.value(Find(imported.graph, "Identity").inputs[0]).constant;
  CHECK(dense.To<float>() == (std::vector<float>{0, 5, 0, 0, 0, 7}));
  sparse->mutable_indices()->set_int64_data(3, 3);
  CHECK_THROWS(Import(model), ErrorCode::kInvalidModel, "index 3 is out of range");
}

// ---- external data ----

struct External {
  TemporaryFolder folder;
  onnx::ModelProto model = Parse(kLinear);

  External() {
    std::string data(64, '\0');
    const float w[] = {1, 2, 3, 4, 5, 6}, b[] = {7, 8};
    data.replace(0, sizeof(w), reinterpret_cast<const char*>(w), sizeof(w));
    data.replace(33, sizeof(b), reinterpret_cast<const char*>(b), sizeof(b));  // not aligned
    WriteFile(folder / "model/weights.bin", data);
    WriteFile(folder / "secret.bin", data);
    Place(0, "weights.bin", "0", "24");
    Place(1, "weights.bin", "33", "8");
  }

  void Place(int i, const std::string& location, const std::string& offset, const std::string& length) {
    auto* tensor = model.mutable_graph()->mutable_initializer(i);
    tensor->clear_float_data();
    tensor->clear_raw_data();
    tensor->clear_external_data();
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    const auto entry = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      auto* added = tensor->add_external_data();
      added->set_key(key);
      added->set_value(value);
    };
    entry("location", location);
    entry("offset", offset);
    entry("length", length);
  }

  ModelFile Load() {
    WriteFile(folder / "model/m.onnx", model.SerializeAsString());
    return ModelFile::FromPath(folder / "model/m.onnx");
  }
};

void TestExternalDataIsMapped() {
  External e;
  const ir::Model imported = e.Load().ToIr(Always);
  const Tensor w = imported.graph.value(Find(imported.graph, "MatMul").inputs[1]).constant;
  const Tensor b = imported.graph.value(Find(imported.graph, "Add").inputs[1]).constant;
  CHECK(w.To<float>() == (std::vector<float>{1, 2, 3, 4, 5, 6}));
  CHECK(b.To<float>() == (std::vector<float>{7, 8}));
  CHECK_EQ(reinterpret_cast<uintptr_t>(b.raw()) % kAlignment, uintptr_t{0});
  e.Load().Check(true);
  e.Place(1, "weights.bin", "40", "8");
  const ModelFile file = e.Load();
  const ir::Model both = file.ToIr(Always);
  const auto* first = static_cast<const char*>(both.graph.value(Find(both.graph, "MatMul").inputs[1]).constant.raw());
  const auto* second = static_cast<const char*>(both.graph.value(Find(both.graph, "Add").inputs[1]).constant.raw());
  CHECK_EQ(second - first, std::ptrdiff_t{40});  // one mapping for both
  e.Place(1, "weights.bin", "40", "");
  e.Load().ToIr(Always);
}

void TestExternalDataStaysInItsFolder() {
  External e;
  const auto fails = [&](const std::string& location, ErrorCode code, const char* needle) {
    e.Place(0, location, "0", "24");
    CHECK_THROWS(e.Load().ToIr(Always), code, needle);
    CHECK_THROWS(e.Load().ToIr(Always), code, "in tensor 'w'");
    CHECK_THROWS(e.Load().Check(false), code, needle);
  };
  fails("../secret.bin", ErrorCode::kInvalidModel, "outside the model's folder");
  fails("a/../../secret.bin", ErrorCode::kInvalidModel, "outside the model's folder");
  fails(e.folder / "secret.bin", ErrorCode::kInvalidModel, "outside the model's folder");
  fails("none.bin", ErrorCode::kIo, "none.bin");
  fails(".", ErrorCode::kIo, "not a regular file");
  fails("", ErrorCode::kInvalidModel, "no file is named");
  fails(std::string("weights.bin\0x", 13), ErrorCode::kInvalidModel, "outside the model's folder");
  std::error_code cannot_link;
  fs::create_symlink(fs::u8path(e.folder / "secret.bin"), fs::u8path(e.folder / "model/link.bin"), cannot_link);
  if (!cannot_link) {
    fails("link.bin", ErrorCode::kInvalidModel, "is a link to");
    fs::create_directory_symlink(fs::u8path(e.folder / ""), fs::u8path(e.folder / "model/up"));
    fails("up/secret.bin", ErrorCode::kInvalidModel, "is a link to");
    // A cache that keeps both model and data as links into a store: the store is the model's folder too.
    e.Place(0, "weights.bin", "0", "24");
    e.Load();
    fs::create_directory(fs::u8path(e.folder / "snapshot"));
    fs::create_symlink("../model/m.onnx", fs::u8path(e.folder / "snapshot/m.onnx"));
    fs::create_symlink("../model/weights.bin", fs::u8path(e.folder / "snapshot/weights.bin"));
    ModelFile::FromPath(e.folder / "snapshot/m.onnx").ToIr(Always);
  }
  e.Place(0, "weights.bin", "0", "24");
  CHECK_THROWS(Import(e.model), ErrorCode::kInvalidModel, "has no folder to look in");
  Open(e.model, e.folder / "model").ToIr(Always);
}

void TestExternalDataRanges() {
  External e;
  const auto fails = [&](const char* offset, const char* length, const char* needle) {
    e.Place(0, "weights.bin", offset, length);
    CHECK_THROWS(e.Load().ToIr(Always), ErrorCode::kInvalidModel, needle);
  };
  fails("41", "24", "needs 24 bytes from byte 41 of 'weights.bin', but the file has only 64 bytes");
  fails("18446744073709551615", "24", "but the file has only 64 bytes");
  fails("99999999999999999999999", "24", "no number of bytes");
  fails("-4", "24", "no number of bytes");
  fails("0", "12", "needs 24 bytes, but its external data is said to have 12");
  fails("four", "24", "no number of bytes");
}

// ---- import ----

void TestLinear() {
  const ir::Model model = Import(Parse(kLinear));
  CHECK_EQ(model.opsets.at(""), 17);
  CHECK_EQ(Ops(model.graph), "MatMul Add");
  CHECK_EQ(model.graph.inputs.size(), size_t{1});
  CHECK_EQ(model.graph.value(model.graph.inputs[0]).name, "x");
  CHECK_EQ(TypeOfOutput(model.graph), "float32[batch, 2]");
  const ir::Node& matmul = Find(model.graph, "MatMul");
  CHECK_EQ(matmul.since_version, 13);
  CHECK_EQ(matmul.name, "xw");
  CHECK_EQ(StrCat(model.graph.value(matmul.outputs[0]).type), "float32[batch, 2]");
}

void TestNodesInAnyOrder() {
  onnx::ModelProto model = Parse(kLinear);
  model.mutable_graph()->mutable_node()->SwapElements(0, 1);
  CHECK_EQ(Ops(Import(model).graph), "MatMul Add");
}

void TestInitializersThatAreInputs() {
  const char* text = R"(<ir_version: IR, opset_import: ["" : 9]>
    g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) })";
  const auto with = [&](const char* ir_version) {
    std::string changed = text;
    changed.replace(changed.find("IR,"), 2, ir_version);
    return Import(Parse(changed.c_str()));
  };
  const ir::Model old = with("3");
  CHECK_EQ(old.graph.inputs.size(), size_t{1});
  CHECK(old.graph.IsConstant(Find(old.graph, "Add").inputs[1]));
  const ir::Model recent = with("4");
  CHECK_EQ(recent.graph.inputs.size(), size_t{2});
  const ir::ValueInfo& w = recent.graph.value(recent.graph.inputs[1]);
  CHECK(!w.constant.defined());
  CHECK(w.default_value.To<float>() == (std::vector<float>{1, 2}));
  CHECK_EQ(Open(Parse(kLinear)).Summarize().inputs.size(), size_t{1});
}

void TestOneDomainTwice() {
  onnx::ModelProto model = Parse(kLinear);
  auto* again = model.add_opset_import();
  again->set_domain("ai.onnx");
  again->set_version(9);
  CHECK_EQ(Import(model).opsets.at(""), 17);
  Open(model).Check(false);
}

void TestWrongDeclaredShapeIsTolerated() {
  onnx::ModelProto model = Parse(kLinear);
  auto* shape = model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  shape->mutable_dim(1)->set_dim_value(99);
  CHECK_EQ(TypeOfOutput(Import(model).graph), "float32[batch, 2]");
  shape->add_dim()->set_dim_value(1);
  CHECK_EQ(TypeOfOutput(Import(model).graph), "float32[batch, 2]");
  shape->mutable_dim(0)->set_dim_value(-1);
  CHECK_EQ(TypeOfOutput(Import(model).graph), "float32[batch, 2]");
}

void TestForeignOperator() {
  onnx::ModelProto model = Parse(R"(<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    g (float[2] x) => (float[2] y) { y = com.microsoft.FusedThing <alpha = 1.5> (x) })");
  const ir::Model imported = Import(model);
  const ir::Node& node = imported.graph.node(imported.graph.order()[0]);
  CHECK_EQ(node.domain, "com.microsoft");
  CHECK_EQ(node.since_version, 1);
  CHECK_EQ(node.attributes.Float("alpha", 0), 1.5f);
  CHECK_THROWS(Import(model, OnlyPrimitives).graph.node({5}), ErrorCode::kInternal, "no node 5");
  const auto never = [](std::string_view, std::string_view, int) { return false; };
  CHECK_THROWS(Import(model, never), ErrorCode::kUnsupported, "no kernel for com.microsoft.FusedThing of version 1");
  CHECK_THROWS(Import(model, never), ErrorCode::kUnsupported, "in node 'y' (com.microsoft.FusedThing)");
  Open(model).Check(true);
}

void TestOperatorsThatAreNotThere() {
  const auto never = [](std::string_view, std::string_view, int) { return false; };
  const auto model = [](const char* op, int opset) {
    return Parse(
        StrCat("<ir_version: 8, opset_import: [\"\" : ", opset, "]> g (float[2] x) => (float[2] y) { y = ", op, "(x) }")
            .c_str());
  };
  CHECK_THROWS(Import(model("Conv", 17)), ErrorCode::kInvalidModel, "it has 1 inputs");
  CHECK_THROWS(Import(model("Conv", 17)), ErrorCode::kInvalidModel, "in node 'y' (Conv)");
  CHECK_THROWS(Import(model("Exp", 17), never), ErrorCode::kUnsupported,
               "no kernel for Exp of version 13 of the operator set 'ai.onnx' (the model uses 17)");
  CHECK_THROWS(Import(model("Nonsense", 17), never), ErrorCode::kUnsupported, "there is no operator Nonsense");
  CHECK_THROWS(Import(model("Gelu", 19), never), ErrorCode::kUnsupported, "there is no operator Gelu in version 19");
  CHECK_THROWS(Import(model("Upsample", 11), never), ErrorCode::kUnsupported, "is deprecated since version 10");
  CHECK_THROWS(Import(model("Exp", 9999), Always), ErrorCode::kUnsupported, "this build knows versions up to");
  CHECK_THROWS(Import(model("Exp", 0), Always), ErrorCode::kInvalidModel, "imports version 0");
}

void TestControlFlowCaptures() {
  const ir::Model model = Import(Parse(kControlFlow));
  CHECK_EQ(Ops(model.graph), "Mul If Loop");
  const ir::Node& branch = Find(model.graph, "If");
  CHECK_EQ(branch.bodies.size(), size_t{2});
  const ir::Graph& positive = *branch.bodies[0].graph;
  CHECK_EQ(Ops(positive), "If Relu");
  // cond, doubled and x come through the middle graph; the initialiser is a constant of the innermost one.
  CHECK_EQ(positive.captures.size(), size_t{3});
  const ir::Graph& deep = *Find(positive, "If").bodies[0].graph;
  CHECK_EQ(Ops(deep), "Add Mul");
  CHECK_EQ(deep.captures.size(), size_t{2});
  CHECK(deep.IsConstant(Find(deep, "Mul").inputs[1]));
  for (const ir::Capture& capture : deep.captures) {
    CHECK_EQ(deep.value(capture.inner).name, positive.value(capture.outer).name);
  }
  CHECK_EQ(TypeOfOutput(deep), "float32[n]");
  CHECK_EQ(TypeOfOutput(model.graph), "float32[n]");
  const ir::Graph& step = *Find(model.graph, "Loop").bodies[0].graph;
  CHECK_EQ(step.inputs.size(), size_t{3});
  CHECK_EQ(step.captures.size(), size_t{1});
  CHECK_EQ(model.graph.consumers(Find(model.graph, "Mul").outputs[0]).size(), size_t{2});
}

void TestConstantNodes() {
  const ir::Model model = Import(Parse(R"(<ir_version: 8, opset_import: ["" : 17]>
    g (float[6] x) => (float[a, b] y, float f) {
      shape = Constant <value_ints = [2, 3]> ()
      y = Reshape(x, shape)
      f = Constant <value_float = 1.5> ()
    })"));
  CHECK_EQ(Ops(model.graph), "Reshape");
  CHECK_EQ(TypeOfOutput(model.graph), "float32[2, 3]");
  CHECK_EQ(model.graph.value(model.graph.outputs[1]).constant.data<float>()[0], 1.5f);
  onnx::ModelProto none = Parse(kLinear);
  none.mutable_graph()->mutable_node(1)->set_op_type("Constant");
  none.mutable_graph()->mutable_node(1)->clear_input();
  CHECK_THROWS(Import(none), ErrorCode::kInvalidModel, "a Constant needs one of");
}

void TestShapesAreFollowed() {
  const ir::Model model = Import(Parse(R"(<ir_version: 8, opset_import: ["" : 17]>
    g (float[2, 3, 4] x) => (float[a, b] y) {
      shape = Shape(x)
      zero = Constant <value_int = 0> ()
      first = Gather(shape, zero)
      axis = Constant <value_ints = [0]> ()
      head = Unsqueeze(first, axis)
      rest = Constant <value_ints = [-1]> ()
      target = Concat <axis = 0> (head, rest)
      y = Reshape(x, target)
    })"));
  CHECK_EQ(TypeOfOutput(model.graph), "float32[2, 12]");
}

void TestLocalFunctions() {
  const auto no_custom = [](std::string_view domain, std::string_view, int) { return domain.empty(); };
  const ir::Model model = Import(Parse(kFunctions), no_custom);
  CHECK_EQ(Ops(model.graph), "Mul ReduceSum Add Mul ReduceSum Add");
  CHECK_EQ(model.graph.value(model.graph.outputs[0]).name, "y");
  CHECK_EQ(model.graph.value(model.graph.outputs[1]).name, "z");
  // Each node has the version that the opset of its own function selects.
  CHECK_EQ(Find(model.graph, "ReduceSum").since_version, 11);
  CHECK_EQ(Find(model.graph, "Mul").since_version, 14);
  const auto factor = [&](const ir::Node& mul) { return model.graph.value(mul.inputs[1]).constant.data<float>()[0]; };
  CHECK_EQ(factor(model.graph.node(model.graph.order()[0])), 3.0f);
  CHECK_EQ(factor(model.graph.node(model.graph.order()[3])), 2.0f);
  std::set<std::string> names;
  for (size_t i = 0; i < model.graph.value_count(); ++i) {
    CHECK(names.insert(model.graph.value({static_cast<int32_t>(i)}).name).second);
  }
  // Somebody who has a kernel for it gets the call itself.
  CHECK_EQ(Ops(Import(Parse(kFunctions)).graph), "twice twice");
}

void TestFunctionsInsideBodies() {
  onnx::ModelProto model = Parse(R"(<ir_version: 10, opset_import: ["" : 20, "f" : 1]>
    g (bool c, float[n] x) => (float[n] y, float[n] same) {
      y = If (c) <
        then_branch = a () => (float[n] t) { t = f.keep_or_gelu(x, c) },
        else_branch = b () => (float[n] e) { e = Gelu(x) }
      >
      same = f.pass(x)
    }
    <domain: "f", opset_import: ["" : 20]>
    keep_or_gelu (v, flag) => (w) {
      w = If (flag) <
        then_branch = p () => (float[n] s) { s = Gelu(v) },
        else_branch = q () => (float[n] u) { u = Identity(v) }
      >
    }
    <domain: "f", opset_import: ["" : 20]>
    pass (v) => (v) { unused = Neg(v) })");
  const auto primitives = [](std::string_view domain, std::string_view op, int version) {
    return domain != "f" && OnlyPrimitives(domain, op, version);
  };
  const ir::Model imported = Import(model, primitives);
  const ir::Graph& then_branch = *Find(imported.graph, "If").bodies[0].graph;
  CHECK_EQ(Ops(then_branch), "If");
  const ir::Graph& inner = *Find(then_branch, "If").bodies[0].graph;
  CHECK(Ops(inner).find("Gelu") == std::string::npos);
  CHECK(Ops(inner).find("Erf") != std::string::npos);
  CHECK_EQ(TypeOfOutput(inner), "float32[n]");
  // An argument that is handed through still comes out under the name of the output.
  CHECK_EQ(imported.graph.value(imported.graph.outputs[1]).name, "same");
  CHECK_EQ(Find(imported.graph, "Identity").inputs[0].index, imported.graph.inputs[1].index);
}

void TestFunctionFaults() {
  const auto model = [](const char* body) {
    return Parse(
        StrCat(R"(<ir_version: 8, opset_import: ["" : 17, "f" : 1]> g (float[2] x) => (float[2] y) { y = f.a(x) } )",
               body)
            .c_str());
  };
  const auto no_f = [](std::string_view domain, std::string_view, int) { return domain.empty(); };
  CHECK_THROWS(Import(model(R"(<domain: "f", opset_import: ["" : 17, "f" : 1]> a (p) => (q) { q = f.a(p) })"), no_f),
               ErrorCode::kInvalidModel, "the function 'f.a' calls itself");
  CHECK_THROWS(Import(model(R"(<domain: "f", opset_import: ["" : 17]> a (p) => (q) { r = Neg(p) })"), no_f),
               ErrorCode::kInvalidModel, "nothing in it makes its output 'q'");
  CHECK_THROWS(Import(model(R"(<domain: "f", opset_import: ["" : 17]> a (p) => (q) { q = Add(p, x) })"), no_f),
               ErrorCode::kInvalidModel, "it reads 'x'");
  CHECK_THROWS(
      Import(model(R"(<domain: "f", opset_import: ["" : 17]> a () => (q) { q = Constant <value_int = 1> () })"), no_f),
      ErrorCode::kInvalidModel, "it has 1 inputs, but the function takes 0");
}

void TestFunctionBomb() {
  // Each function calls the one before it four times: 4^30 nodes.
  std::string text =
      R"(<ir_version: 8, opset_import: ["" : 17, "f" : 1]> g (float[2] x) => (float[2] y) { y = f.f30(x) }
    <domain: "f", opset_import: ["" : 17]> f0 (p) => (q) { q = Neg(p) })";
  for (int i = 1; i <= 30; ++i) {
    const std::string callee = StrCat("f.f", i - 1);
    text += StrCat("<domain: \"f\", opset_import: [\"\" : 17, \"f\" : 1]> f", i, " (p) => (q) { a = ", callee,
                   "(p) b = ", callee, "(a) c = ", callee, "(b) q = ", callee, "(c) }\n");
  }
  CHECK_THROWS(
      Import(Parse(text.c_str()), [](std::string_view domain, std::string_view, int) { return domain.empty(); }),
      ErrorCode::kUnsupported, "nodes once its functions are expanded");
}

void TestFaultsNameTheNode() {
  const auto fails = [](const std::function<void(onnx::GraphProto&)>& spoil, const char* needle) {
    onnx::ModelProto model = Parse(kLinear);
    spoil(*model.mutable_graph());
    CHECK_THROWS(Import(model), ErrorCode::kInvalidModel, needle);
    CHECK_THROWS(Open(model).Check(false), ErrorCode::kInvalidModel, needle);
  };
  fails([](auto& g) { g.mutable_initializer()->RemoveLast(); },
        "it reads 'b', but no input, initialiser or node output");
  fails([](auto& g) { g.mutable_initializer()->RemoveLast(); }, "in node 'y' (Add)");
  fails([](auto& g) { g.mutable_node(0)->set_input(0, "y"); },
        "has a cycle: node 'y' (Add), which needs node 'xw' (MatMul)");
  fails([](auto& g) { g.mutable_node(1)->set_output(0, "xw"); }, "the value 'xw' is defined twice");
  fails([](auto& g) { g.mutable_initializer(1)->set_name("w"); }, "the value 'w' is defined twice");
  fails([](auto& g) { g.mutable_output(0)->set_name("nowhere"); },
        "nothing makes the output 'nowhere' of the graph 'linear'");
  fails([](auto& g) { g.mutable_node(0)->clear_input(); }, "it has 0 inputs, but takes 2 to 2");
  fails(
      [](auto& g) {
        *g.mutable_node(0)->add_attribute() = Parse(kFunctions).graph().node(0).attribute(0);
        *g.mutable_node(0)->add_attribute() = Parse(kFunctions).graph().node(0).attribute(0);
      },
      "it has two attributes 'factor'");
  fails(
      [](auto& g) {
        g.mutable_node(0)->set_op_type("Cast");
        g.mutable_node(0)->mutable_input()->RemoveLast();
      },
      "the required attribute 'to' is missing");
  fails([](auto& g) { *g.add_input() = g.input(0); }, "the value 'x' is defined twice");
}

void TestCheck() {
  Open(Parse(kLinear)).Check(true);
  Open(Parse(kControlFlow)).Check(false);
  // To upstream's checker a function may not use an operator in another version than the model's opset has.
  CHECK_THROWS(Open(Parse(kFunctions)).Check(false), ErrorCode::kInvalidModel, "ONNX's checker: Opset import");
  onnx::ModelProto model = Parse(kLinear);
  auto* dim =
      model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(0);
  dim->set_dim_value(-4);
  CHECK_THROWS(Open(model).Check(false), ErrorCode::kInvalidModel,
               "the declared shape of 'x' has the extent -4 in axis 0");
  dim->set_dim_value(std::numeric_limits<int64_t>::max());
  CHECK_THROWS(Open(model).Check(false), ErrorCode::kInvalidModel, "the declared shape of 'x' has more elements");
  model = Parse(kLinear);
  model.clear_ir_version();
  CHECK_THROWS(Open(model).Check(false), ErrorCode::kInvalidModel, "ONNX's checker");
  model = Parse(kLinear);
  model.mutable_graph()
      ->mutable_output(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(1)
      ->set_dim_value(7);
  Open(model).Check(false);
  CHECK_THROWS(Open(model).Check(true), ErrorCode::kInvalidModel, "ONNX's shape inference");
}

// ---- out again ----

void TestInferShapes() {
  onnx::ModelProto model = Parse(kLinear);
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  CHECK_EQ(StrCat(Open(model).InferShapes(true, true).Summarize().outputs[0].type), "float32[batch, 2]");
  // A list of a billion elements is data, not a shape to follow one by one.
  const auto list =
      Parse(R"(<ir_version: 8, opset_import: ["" : 17]> g (int64[1000000000] x) => (int64[n] y) { y = Add(x, x) })");
  CHECK_EQ(StrCat(Open(list).InferShapes(false, true).Summarize().outputs[0].type), "int64[1000000000]");
  CHECK_EQ(TypeOfOutput(Import(list).graph), "int64[1000000000]");
}

void TestConvertVersion() {
  const ModelFile converted = Open(Parse(kLinear)).ConvertVersion(21);
  CHECK_EQ(converted.Summarize().opsets[0].second, int64_t{21});
  CHECK_EQ(converted.ToIr(Always).opsets.at(""), 21);
  CHECK_THROWS(Open(Parse(kLinear)).ConvertVersion(0), ErrorCode::kInvalidArgument, "there are versions 1 to");
  CHECK_THROWS(Open(Parse(kLinear)).ConvertVersion(9999), ErrorCode::kInvalidArgument, "9999");
  External e;
  const ir::Model external = e.Load().ConvertVersion(18).ToIr(Always);
  CHECK(external.graph.value(Find(external.graph, "Add").inputs[1]).constant.To<float>() == (std::vector<float>{7, 8}));
}

void TestSaveAndLoad() {
  const TemporaryFolder folder;
  const std::string path = folder / "model/out.onnx";
  const ModelFile model = Open(Parse(kLinear));
  WriteFile(path, "something older");
  model.Save(path, {});
  CHECK(ReadFile(path) == model.Serialize());
  CHECK_EQ(FileCount(folder / "model"), size_t{1});

  model.Save(path, {20});
  CHECK_EQ(FileCount(folder / "model"), size_t{2});
  CHECK_EQ(ReadFile(path + ".data").size(), size_t{24});  // w, not b
  const ModelFile external = ModelFile::FromPath(path);
  const ir::Model imported = external.ToIr(Always);
  CHECK(imported.graph.value(Find(imported.graph, "MatMul").inputs[1]).constant.To<float>() ==
        (std::vector<float>{1, 2, 3, 4, 5, 6}));
  external.Check(true);

  // Everything back into one file, over the model whose data is mapped just now; and from its bytes alone.
  CHECK(OpenBytes(external.Serialize())
            .ToIr(Always)
            .graph.value(Find(imported.graph, "MatMul").inputs[1])
            .constant.To<float>() == (std::vector<float>{1, 2, 3, 4, 5, 6}));
  external.Save(path, {1});
  external.Save(path, {});
  fs::remove(fs::u8path(path + ".data"));
  CHECK_EQ(Ops(ModelFile::FromPath(path).ToIr(Always).graph), "MatMul Add");
}

/// A model with tensors that are left in its file: as an initialiser, in a node of the graph and in one of a body.
onnx::ModelProto WithLargeTensors() {
  onnx::ModelProto model = Parse(R"(<ir_version: 8, opset_import: ["" : 17]>
    large (bool cond, float[4, 98304] x) => (float[4, 98304] y)
    <float[98304] w = {1}>
    {
      c = Constant <value = float[1] {1.0}> ()
      a = Add(x, w)
      b = Sub(a, c)
      y = If (cond) <
        then_branch = scaled () => (float[4, 98304] t) { k = Constant <value = float[1] {1.0}> ()  t = Mul(b, k) },
        else_branch = same () => (float[4, 98304] e) { e = Identity(b) }
      >
    })");
  const auto fill = [](onnx::TensorProto& tensor, float value) {
    const std::vector<float> values(98304, value);
    tensor.clear_float_data();
    tensor.clear_dims();
    tensor.add_dims(98304);
    tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  };
  auto& graph = *model.mutable_graph();
  fill(*graph.mutable_initializer(0), 1.0f);
  fill(*graph.mutable_node(0)->mutable_attribute(0)->mutable_t(), 2.0f);
  auto& branches = *graph.mutable_node(3);
  fill(*branches.mutable_attribute(0)->mutable_g()->mutable_node(0)->mutable_attribute(0)->mutable_t(), 3.0f);
  return model;
}

float FirstOf(const ir::Graph& graph, const std::string& op_type, size_t input) {
  return graph.value(Find(graph, op_type).inputs[input]).constant.data<float>()[0];
}

void TestLargeTensorsStayInTheFile() {
  const TemporaryFolder folder;
  const std::string path = folder / "model/large.onnx";
  const std::string bytes = WithLargeTensors().SerializeAsString();
  WriteFile(path, bytes);
  const ModelFile file = ModelFile::FromPath(path);
  const ir::Model imported = file.ToIr(Always);
  CHECK_EQ(FirstOf(imported.graph, "Add", 1), 1.0f);
  CHECK_EQ(FirstOf(imported.graph, "Sub", 1), 2.0f);
  CHECK_EQ(FirstOf(*Find(imported.graph, "If").bodies[0].graph, "Mul", 1), 3.0f);
  // What somebody still has is shared, as long as that is.
  const ir::Model again = file.ToIr(Always);
  const auto weights = [](const ir::Model& m) { return m.graph.value(Find(m.graph, "Add").inputs[1]).constant.raw(); };
  CHECK(weights(imported) == weights(again));
  CHECK_EQ(reinterpret_cast<uintptr_t>(weights(again)) % kAlignment, uintptr_t{0});

  CHECK(file.Serialize() == bytes);
  file.Check(true);
  CHECK(file.InferShapes(true, true).Serialize().size() > bytes.size());
  CHECK_EQ(FirstOf(file.ConvertVersion(18).ToIr(Always).graph, "Add", 1), 1.0f);
  file.Save(path, {});  // over the file that the data is in
  CHECK(ReadFile(path) == bytes);
  file.Save(folder / "model/other.onnx", {1});
  CHECK_EQ(FirstOf(ModelFile::FromPath(folder / "model/other.onnx").ToIr(Always).graph, "Sub", 1), 2.0f);
}

/// As onnxruntime's quantizer writes models: a tensor says that its data is where it would be anyway.
void TestLargeTensorsThatSayTheyAreInTheFile() {
  const TemporaryFolder folder;
  const std::string path = folder / "model/large.onnx";
  onnx::ModelProto model = WithLargeTensors();
  model.mutable_graph()->mutable_initializer(0)->set_data_location(onnx::TensorProto::DEFAULT);
  WriteFile(path, model.SerializeAsString());
  const ModelFile file = ModelFile::FromPath(path);
  CHECK_EQ(FirstOf(file.ToIr(Always).graph, "Add", 1), 1.0f);
  CHECK(file.Serialize() == WithLargeTensors().SerializeAsString());
  WriteFile(path, "cut");
  CHECK_THROWS(file.ToIr(Always), ErrorCode::kIo, "in tensor 'w'");
}

void TestFileThatWasChangedSinceItWasLoaded() {
  const TemporaryFolder folder;
  const std::string path = folder / "model/large.onnx";
  WriteFile(path, WithLargeTensors().SerializeAsString());
  const ModelFile file = ModelFile::FromPath(path);
  WriteFile(path, "cut");  // in place: the same file, as other programs write
  CHECK_THROWS(file.ToIr(Always), ErrorCode::kIo, "it was changed since it was loaded");
  CHECK_THROWS(file.ToIr(Always), ErrorCode::kIo, "in tensor 'w'");
}

void TestLargeTensorsThatAreWrong() {
  const TemporaryFolder folder;
  const std::string path = folder / "model/large.onnx";
  const auto load = [&](const onnx::ModelProto& model) {
    WriteFile(path, model.SerializeAsString());
    return ModelFile::FromPath(path).ToIr(Always);
  };
  onnx::ModelProto model = WithLargeTensors();
  auto* w = model.mutable_graph()->mutable_initializer(0);
  w->set_dims(0, 5);
  CHECK_THROWS(load(model), ErrorCode::kInvalidModel, "its shape needs 20 bytes, but raw_data has 393216");
  w->set_dims(0, 98304);
  w->set_data_type(onnx::TensorProto::STRING);
  CHECK_THROWS(load(model), ErrorCode::kInvalidModel, "needs 98304 entries in string_data");
  w->set_data_type(onnx::TensorProto::FLOAT);
  w->set_data_location(onnx::TensorProto::DEFAULT);
  CHECK_EQ(FirstOf(load(model).graph, "Add", 1), 1.0f);
}

/// However the structure is broken: a file is read as protobuf reads it, or refused as protobuf refuses it.
void TestSkimmedIsParsed() {
  const TemporaryFolder folder;
  const std::string path = folder / "model/large.onnx";
  const std::string bytes = WithLargeTensors().SerializeAsString();
  std::vector<size_t> structure;  // where no tensor's data is
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i < 8 || bytes.compare(i - 8, 4, bytes, i - 4, 4) != 0) structure.push_back(i);
  }
  CHECK(structure.size() > 100 && structure.size() < 2000);
  std::mt19937 random(7);
  const auto outcome = [](auto open) {
    try {
      return open().Serialize();
    } catch (const Error& error) {
      return std::string(error.code() == ErrorCode::kInvalidModel ? "refused" : "failed");
    }
  };
  for (int i = 0; i < 300; ++i) {
    std::string mutant = bytes;
    for (int n = i == 0 ? 0 : 1 + i % 2; n != 0; --n) {
      const size_t at = structure[random() % structure.size()] % mutant.size();
      if (random() % 3 == 0) {
        mutant.erase(at, 1 + random() % 4);
      } else {
        mutant[at] = static_cast<char>(random());
      }
    }
    WriteFile(path, mutant);
    const std::string read = outcome([&] { return ModelFile::FromPath(path); });
    CHECK(read == outcome([&] { return OpenBytes(mutant); }));
  }
}

void TestSaveFails() {
  const TemporaryFolder folder;
  const ModelFile model = Open(Parse(kLinear));
  CHECK_THROWS(model.Save(folder / "none/out.onnx", {}), ErrorCode::kIo, "cannot write");
  CHECK_THROWS(model.Save(folder / "model", {}), ErrorCode::kIo, "it is a folder");
  External e;
  const ModelFile external = e.Load();
  fs::remove(fs::u8path(e.folder / "model/weights.bin"));
  WriteFile(e.folder / "model/out.onnx", "the old one");
  CHECK_THROWS(external.Save(e.folder / "model/out.onnx", {1}), ErrorCode::kIo, "weights.bin");
  CHECK_EQ(ReadFile(e.folder / "model/out.onnx"), "the old one");
  CHECK_EQ(FileCount(e.folder / "model"), size_t{2});  // no temporary file is left
}

void TestSummary() {
  const Summary summary = Open(Parse(kControlFlow)).Summarize();
  CHECK_EQ(summary.nodes, int64_t{11});
  CHECK_EQ(summary.operators[0].first, "Add");
  CHECK_EQ(summary.inputs.size(), size_t{3});
  CHECK_EQ(StrCat(summary.inputs[1].type), "float32[n]");
  CHECK_EQ(summary.parameters, int64_t{1});
  CHECK_EQ(summary.parameter_bytes, int64_t{4});
  onnx::ModelProto hostile = Parse(kLinear);
  for (int i = 0; i < 4; ++i)
    hostile.mutable_graph()->mutable_initializer(0)->add_dims(std::numeric_limits<int64_t>::max());
  hostile.set_producer_name("\xff\xfe name");
  CHECK_EQ(Open(hostile).Summarize().parameter_bytes, std::numeric_limits<int64_t>::max());
  CHECK_EQ(Open(hostile).Summarize().producer.substr(0, 6), "\xef\xbf\xbd\xef\xbf\xbd");
}

// ---- hostile input ----

/// Everything a caller may do with a model; only Error may come out of it, and never kInternal.
void TryEverything(const std::string& bytes, bool thorough) {
  const auto guarded = [](const auto& f) {
    try {
      f();
    } catch (const Error& error) {
      Require(error.code() != ErrorCode::kInternal, ErrorCode::kInternal, "an internal error came: ", error.what());
    }
  };
  guarded([&] {
    const ModelFile model = OpenBytes(bytes);
    guarded([&] { model.ToIr(Always); });
    guarded([&] { model.ToIr(OnlyPrimitives); });
    guarded([&] { model.Summarize(); });
    guarded([&] { model.Check(true); });
    if (!thorough) return;
    guarded([&] { model.Serialize(); });
    guarded([&] { model.InferShapes(false, true); });
    guarded([&] { model.ConvertVersion(21); });
  });
}

std::string Mutate(std::string bytes, std::mt19937& random) {
  const auto pick = [&](size_t n) { return static_cast<size_t>(random()) % std::max<size_t>(n, 1); };
  for (size_t n = 1 + pick(4); n != 0 && !bytes.empty(); --n) {
    const size_t at = pick(bytes.size());
    switch (pick(6)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
        break;
      case 2:
        bytes.erase(at, 1 + pick(8));
        break;
      case 3:
        bytes.insert(at, bytes.substr(pick(bytes.size()), 1 + pick(32)));
        break;
      case 4:
        bytes.resize(at);
        break;
      default: {
        const size_t length = std::min(bytes.size() - at, 1 + pick(16));
        bytes.replace(at, length, bytes.substr(pick(bytes.size()), length));
      }
    }
  }
  return bytes;
}

/// Changes that keep the message readable: names, numbers and types in the wrong places.
onnx::ModelProto Scramble(onnx::ModelProto model, std::mt19937& random) {
  const auto pick = [&](int n) { return n <= 0 ? 0 : static_cast<int>(random() % static_cast<unsigned>(n)); };
  const int64_t odd[] = {0,
                         1,
                         -1,
                         2,
                         3,
                         1 << 20,
                         int64_t{1} << 40,
                         std::numeric_limits<int64_t>::max(),
                         std::numeric_limits<int64_t>::min()};
  auto* graph = model.mutable_graph();
  for (int n = 1 + pick(3); n != 0; --n) {
    if (graph->node_size() == 0) break;
    auto* node = graph->mutable_node(pick(graph->node_size()));
    const auto* other = &graph->node(pick(graph->node_size()));
    switch (pick(9)) {
      case 0:
        if (node->input_size() != 0 && other->output_size() != 0)
          node->set_input(pick(node->input_size()), other->output(0));
        break;
      case 1:
        if (other->input_size() != 0) node->add_input(other->input(pick(other->input_size())));
        break;
      case 2:
        if (node->input_size() != 0) node->mutable_input()->RemoveLast();
        break;
      case 3:
        node->set_op_type(other->op_type());
        break;
      case 4:
        for (auto& attribute : *node->mutable_attribute()) {
          attribute.set_i(odd[pick(9)]);
          for (auto& i : *attribute.mutable_ints()) i = odd[pick(9)];
        }
        break;
      case 5:
        for (auto& tensor : *graph->mutable_initializer()) {
          for (auto& value : *tensor.mutable_int64_data()) value = odd[pick(9)];
          if (tensor.dims_size() != 0 && pick(2) == 0) tensor.set_dims(pick(tensor.dims_size()), odd[pick(9)]);
        }
        break;
      case 6:
        for (auto& input : *graph->mutable_input()) {
          auto* type = input.mutable_type();
          if (!type->has_tensor_type()) continue;
          for (auto& dim : *type->mutable_tensor_type()->mutable_shape()->mutable_dim())
            dim.set_dim_value(odd[pick(9)]);
          if (pick(3) == 0) type->mutable_tensor_type()->set_elem_type(pick(30));
        }
        break;
      case 7:
        if (node->attribute_size() != 0) node->mutable_attribute()->RemoveLast();
        break;
      default:
        model.mutable_opset_import(0)->set_version(1 + pick(28));
    }
  }
  return model;
}

void TestMutatedModels() {
  std::mt19937 random(2026);
  for (const char* text : {kLinear, kControlFlow, kFunctions}) {
    const onnx::ModelProto model = Parse(text);
    const std::string bytes = model.SerializeAsString();
    for (int i = 0; i < 1500; ++i) TryEverything(Mutate(bytes, random), i % 4 == 0);
    for (int i = 0; i < 500; ++i) TryEverything(Scramble(model, random).SerializeAsString(), i % 4 == 0);
  }
}

/// With ONNXFORGE_TEST_MODELS: every model in that folder is imported both ways and comes back the same, and
/// ONNXFORGE_TEST_MUTATIONS mutants of each do no harm.
void TestModelFolder() {
  const char* folder = std::getenv("ONNXFORGE_TEST_MODELS");
  if (folder == nullptr) return;
  const char* wanted = std::getenv("ONNXFORGE_TEST_MUTATIONS");
  const int mutations = wanted == nullptr ? 0 : std::atoi(wanted);
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".onnx") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::mt19937 random(11);
  std::string problems;
  size_t unknown_types = 0;
  for (const fs::path& path : paths) {
    try {
      const ModelFile model = ModelFile::FromPath(path.u8string());
      const ir::Model imported = model.ToIr(Always);
      for (const ir::ValueId id : imported.graph.outputs) {
        unknown_types += imported.graph.value(id).type.kind == Type::Kind::kUnknown ? 1 : 0;
      }
      const ir::Model expanded = model.ToIr(OnlyPrimitives);
      CHECK(Ops(OpenBytes(model.Serialize()).ToIr(Always).graph) == Ops(imported.graph));
      CHECK_EQ(expanded.graph.outputs.size(), imported.graph.outputs.size());
      const std::string bytes = model.Serialize();
      for (int i = 0; i < mutations; ++i) {
        TryEverything(Mutate(bytes, random), i % 4 == 0);
        onnx::ModelProto proto;
        if (proto.ParseFromString(bytes)) TryEverything(Scramble(proto, random).SerializeAsString(), i % 4 == 0);
      }
    } catch (const std::exception& error) {
      problems += StrCat("\n  ", path.filename().u8string(), ": ", error.what());
    }
  }
  std::printf("%zu models from the folder, %zu outputs of unknown type%s\n", paths.size(), unknown_types,
              problems.c_str());
  CHECK(!paths.empty());
  CHECK(problems.empty());
}

}  // namespace
}  // namespace onnxforge::io

int main() {
  using namespace onnxforge;
  using namespace onnxforge::io;
  return test::RunAll({
      {"VersionsAndSchemas", TestVersionsAndSchemas},
      {"NotAModel", TestNotAModel},
      {"TruncatedModelSaysWhere", TestTruncatedModelSaysWhere},
      {"Paths", TestPaths},
      {"NestingBomb", TestNestingBomb},
      {"TypedFields", TestTypedFields},
      {"SmallIntegersAreUnpacked", TestSmallIntegersAreUnpacked},
      {"SixBitsAreUnpacked", TestSixBitsAreUnpacked},
      {"RawDataIsShared", TestRawDataIsShared},
      {"BadTensors", TestBadTensors},
      {"SparseInitializerBecomesDense", TestSparseInitializerBecomesDense},
      {"ExternalDataIsMapped", TestExternalDataIsMapped},
      {"ExternalDataStaysInItsFolder", TestExternalDataStaysInItsFolder},
      {"SchemasOnDemand", TestSchemasOnDemand},
      {"ExternalDataRanges", TestExternalDataRanges},
      {"Linear", TestLinear},
      {"NodesInAnyOrder", TestNodesInAnyOrder},
      {"InitializersThatAreInputs", TestInitializersThatAreInputs},
      {"OneDomainTwice", TestOneDomainTwice},
      {"WrongDeclaredShapeIsTolerated", TestWrongDeclaredShapeIsTolerated},
      {"ForeignOperator", TestForeignOperator},
      {"OperatorsThatAreNotThere", TestOperatorsThatAreNotThere},
      {"ControlFlowCaptures", TestControlFlowCaptures},
      {"ConstantNodes", TestConstantNodes},
      {"ShapesAreFollowed", TestShapesAreFollowed},
      {"LocalFunctions", TestLocalFunctions},
      {"FunctionsInsideBodies", TestFunctionsInsideBodies},
      {"FunctionFaults", TestFunctionFaults},
      {"FunctionBomb", TestFunctionBomb},
      {"FaultsNameTheNode", TestFaultsNameTheNode},
      {"Check", TestCheck},
      {"InferShapes", TestInferShapes},
      {"ConvertVersion", TestConvertVersion},
      {"SaveAndLoad", TestSaveAndLoad},
      {"LargeTensorsStayInTheFile", TestLargeTensorsStayInTheFile},
      {"FileThatWasChangedSinceItWasLoaded", TestFileThatWasChangedSinceItWasLoaded},
      {"LargeTensorsThatAreWrong", TestLargeTensorsThatAreWrong},
      {"SkimmedIsParsed", TestSkimmedIsParsed},
      {"LargeTensorsThatSayTheyAreInTheFile", TestLargeTensorsThatSayTheyAreInTheFile},
      {"SaveFails", TestSaveFails},
      {"Summary", TestSummary},
      {"MutatedModels", TestMutatedModels},
      {"ModelFolder", TestModelFolder},
  });
}
