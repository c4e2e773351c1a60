#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "onnxforge/ir/graph.h"
#include "onnxforge/ir/patch.h"

#include "check.h"

namespace onnxforge::ir {
namespace {

Node Op(std::string type, std::vector<ValueId> inputs, std::vector<ValueId> outputs) {
  Node node;
  node.name = type;
  std::transform(node.name.begin(), node.name.end(), node.name.begin(),
                 [](char c) { return static_cast<char>(c | 32); });
  node.op_type = std::move(type);
  node.since_version = 1;
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  return node;
}

std::string Ops(const Graph& graph) {
  std::string out;
  for (NodeId id : graph.order()) out += (out.empty() ? "" : " ") + graph.node(id).op_type;
  return out;
}

/// x → Relu → a → Identity → b → Neg → y
struct Chain {
  Graph graph;
  ValueId x, a, b, y;
  NodeId relu, identity, neg;

  Chain() {
    graph.name = "chain";
    x = graph.AddValue("x");
    a = graph.AddValue("a");
    b = graph.AddValue("b");
    y = graph.AddValue("y");
    relu = graph.AddNode(Op("Relu", {x}, {a}));
    identity = graph.AddNode(Op("Identity", {a}, {b}));
    neg = graph.AddNode(Op("Neg", {b}, {y}));
    graph.inputs = {x};
    graph.outputs = {y};
    graph.Sort();
    graph.Verify();
  }
};

void TestProducersAndConsumers() {
  Chain c;
  CHECK(c.graph.producer(c.a) == c.relu);
  CHECK(!c.graph.producer(c.x).valid());
  CHECK_EQ(c.graph.consumers(c.b).size(), size_t{1});
  const NodeId add = c.graph.AddNode(Op("Add", {c.a, c.a}, {c.graph.AddValue("twice")}));
  CHECK_EQ(c.graph.consumers(c.a).size(), size_t{2});
  CHECK(c.graph.consumers(c.a).back() == add);
  c.graph.RemoveNode(add);
  CHECK_EQ(c.graph.consumers(c.a).size(), size_t{1});
  CHECK(!c.graph.alive(add));
  CHECK_THROWS(c.graph.node(add), ErrorCode::kInternal, "no node 3");
}

void TestSortIsStableAndTopological() {
  Graph graph;
  std::vector<ValueId> v;
  for (int i = 0; i < 6; ++i) v.push_back(graph.AddValue("v" + std::to_string(i)));
  graph.inputs = {v[0]};
  graph.outputs = {v[5]};
  graph.AddNode(Op("Last", {v[3], v[4]}, {v[5]}));
  graph.AddNode(Op("A", {v[0]}, {v[3]}));
  graph.AddNode(Op("Needs2", {v[2]}, {v[4]}));
  graph.AddNode(Op("B", {v[0]}, {v[1]}));
  graph.AddNode(Op("Makes2", {v[1]}, {v[2]}));
  CHECK_THROWS(graph.Verify(), ErrorCode::kInternal, "which nothing makes before it");
  graph.Sort();
  graph.Verify();
  CHECK_EQ(Ops(graph), "A B Makes2 Needs2 Last");
  graph.Sort();
  CHECK_EQ(Ops(graph), "A B Makes2 Needs2 Last");
}

void TestCycleNamesItsNodes() {
  Graph graph;
  graph.name = "g";
  const ValueId x = graph.AddValue("x"), p = graph.AddValue("p"), q = graph.AddValue("q"), r = graph.AddValue("r");
  graph.inputs = {x};
  graph.outputs = {r};
  graph.AddNode(Op("Add", {x, q}, {p}));
  graph.AddNode(Op("Mul", {p}, {q}));
  graph.AddNode(Op("Outside", {q}, {r}));
  CHECK_THROWS(graph.Sort(), ErrorCode::kInvalidModel,
               "'mul' (Mul), which needs node 'add' (Add), which needs the first");
  Graph own;
  const ValueId s = own.AddValue("s");
  own.AddNode(Op("Sub", {s}, {s}));
  CHECK_THROWS(own.Sort(), ErrorCode::kInvalidModel, "node 'sub' (Sub) needs its own output");
}

void TestCycleThroughABody() {
  Graph graph;
  const ValueId cond = graph.AddValue("cond"), out = graph.AddValue("out");
  graph.inputs = {cond};
  graph.outputs = {out};
  auto body = std::make_shared<Graph>();
  const ValueId inner = body->AddValue("inner");
  body->captures = {{inner, out}};
  body->outputs = {inner};
  Node branch = Op("If", {cond}, {out});
  branch.bodies = {{"then_branch", body}};
  graph.AddNode(std::move(branch));
  CHECK_THROWS(graph.Sort(), ErrorCode::kInvalidModel, "needs its own output");
}

void TestVerifyFindsEachFault() {
  {
    Chain c;
    c.graph.AddNode(Op("Dup", {c.x}, {c.a}));
    CHECK_THROWS(c.graph.Verify(ErrorCode::kInvalidModel), ErrorCode::kInvalidModel, "'a' has more than one source");
  }
  {
    Chain c;
    c.graph.outputs.push_back(c.graph.AddValue("nobody"));
    CHECK_THROWS(c.graph.Verify(), ErrorCode::kInternal, "nothing makes the output 'nobody'");
  }
  {
    Chain c;
    c.graph.inputs.push_back(c.x);
    CHECK_THROWS(c.graph.Verify(), ErrorCode::kInternal, "'x' is defined twice");
  }
  {
    Chain c;
    c.graph.node(c.neg).inputs[0].index = 77;
    CHECK_THROWS(c.graph.Verify(), ErrorCode::kInternal, "names value 77, but there are 4");
  }
  {
    Chain c;
    c.graph.node(c.neg).bodies.push_back({"body", nullptr});
    CHECK_THROWS(c.graph.Verify(), ErrorCode::kInternal, "has no graph in 'body'");
  }
  {
    Chain c;
    auto body = std::make_shared<Graph>();
    body->name = "inside";
    body->outputs = {body->AddValue("lost")};
    c.graph.node(c.neg).bodies.push_back({"body", body});
    CHECK_THROWS(c.graph.Verify(), ErrorCode::kInternal, "in 'body' of node 'neg' (Neg)");
  }
  {
    Chain c;
    c.graph.value(c.a).default_value = Tensor::Scalar(1.0f);
    CHECK_THROWS(c.graph.Verify(), ErrorCode::kInternal, "'a' has a default but is no input");
  }
}

void TestPatchRemovesIdentity() {
  Chain c;
  Patch patch(c.graph);
  patch.ReplaceUses(c.b, c.a);
  patch.RemoveNode(c.identity);
  patch.Apply(c.graph);
  CHECK_EQ(Ops(c.graph), "Relu Neg");
  CHECK(c.graph.node(c.neg).inputs[0] == c.a);
  CHECK(c.graph.consumers(c.a) == std::vector<NodeId>{c.neg});
}

void TestPatchRemovesWhatNobodyReads() {
  Chain c;
  Patch patch(c.graph);
  const ValueId k = patch.AddConstant("k", Tensor::Scalar(2.0f));
  patch.ReplaceUses(c.y, k);
  patch.Apply(c.graph);
  // A constant cannot take over an output's name, so the chain stays.
  CHECK_EQ(Ops(c.graph), "Relu Identity Neg");
  CHECK(c.graph.outputs[0] == c.y);
  CHECK(!c.graph.IsConstant(k));

  Patch fused(c.graph);
  const ValueId z = fused.AddValue("z");
  fused.AddNode(Op("Fused", {c.x}, {z}));
  fused.ReplaceUses(c.y, z);
  fused.Apply(c.graph);
  CHECK_EQ(Ops(c.graph), "Fused");
  CHECK_EQ(c.graph.value(c.graph.outputs[0]).name, "y");
}

void TestPatchPutsANodeBehindAValue() {
  Chain c;
  Patch patch(c.graph);
  const ValueId mid = patch.AddValue("mid"), cast = patch.AddValue("cast");
  patch.AddNode(Op("Second", {mid}, {cast}));
  patch.AddNode(Op("First", {c.a}, {mid}));
  patch.ReplaceUses(c.a, cast);
  patch.Apply(c.graph);
  CHECK_EQ(Ops(c.graph), "Relu First Second Identity Neg");
  CHECK(c.graph.node(c.identity).inputs[0] == cast);
}

void TestPatchFollowsChains() {
  Chain c;
  Patch patch(c.graph);
  patch.ReplaceUses(c.b, c.a);
  patch.ReplaceUses(c.a, c.x);
  patch.RemoveNode(c.identity);
  patch.RemoveNode(c.relu);
  patch.Apply(c.graph);
  CHECK_EQ(Ops(c.graph), "Neg");
  CHECK(c.graph.node(c.neg).inputs[0] == c.x);
}

void TestPatchKeepsAnOutputThatCannotMove() {
  Chain c;
  Patch patch(c.graph);
  patch.ReplaceUses(c.y, c.x);
  for (NodeId id : {c.relu, c.identity, c.neg}) patch.RemoveNode(id);
  patch.Apply(c.graph);
  CHECK_EQ(Ops(c.graph), "Relu Identity Neg");
  CHECK_EQ(c.graph.value(c.graph.outputs[0]).name, "y");
}

void TestPatchMovesAnOutputGivenTwice() {
  Chain c;
  c.graph.outputs = {c.y, c.y};
  Patch patch(c.graph);
  patch.ReplaceUses(c.y, c.b);
  patch.Apply(c.graph);
  CHECK(c.graph.outputs == (std::vector<ValueId>{c.b, c.b}));
  CHECK_EQ(c.graph.value(c.b).name, "y");
  CHECK_EQ(Ops(c.graph), "Relu Identity");
}

void TestPatchRedirectsCaptures() {
  Chain c;
  auto body = std::make_shared<Graph>();
  const ValueId inner = body->AddValue("inner"), result = body->AddValue("result");
  body->AddNode(Op("Exp", {inner}, {result}));
  body->captures = {{inner, c.b}};
  body->outputs = {result};
  const ValueId out = c.graph.AddValue("out");
  Node node = Op("If", {c.x}, {out});
  node.bodies = {{"then_branch", body}};
  const NodeId branch = c.graph.AddNode(std::move(node));
  c.graph.outputs.push_back(out);
  c.graph.Sort();
  c.graph.Verify();
  CHECK_EQ(c.graph.consumers(c.b).size(), size_t{2});

  Patch patch(c.graph);
  patch.ReplaceUses(c.b, c.a);
  patch.Apply(c.graph);
  CHECK_EQ(Ops(c.graph), "Relu Neg If");
  CHECK(c.graph.node(branch).bodies[0].graph->captures[0].outer == c.a);
  CHECK(body->captures[0].outer == c.b);  // the body others may share is as it was

  // A body that no longer reads its capture lets go of it.
  Graph& inside = *c.graph.node(branch).bodies[0].graph;
  Patch constant(inside);
  const ValueId k = constant.AddConstant("k", Tensor::Scalar(1.0f));
  const ValueId made = constant.AddValue("made");
  constant.AddNode(Op("Log", {k}, {made}));
  constant.ReplaceUses(result, made);
  constant.Apply(inside);
  CHECK(inside.captures.empty());
}

void TestFailedPatchLeavesTheGraph() {
  Chain c;
  c.graph.value(c.a).type = Type::Tensor(DType::kFloat32);
  Patch patch(c.graph);
  const ValueId z = patch.AddValue("z");
  patch.AddNode(Op("Loop", {c.y}, {z}));
  patch.SetAttribute(c.relu, "alpha", 1.0f);
  patch.ReplaceUses(c.x, z);
  CHECK_THROWS(patch.Apply(c.graph), ErrorCode::kInvalidModel, "has a cycle");
  CHECK_EQ(Ops(c.graph), "Relu Identity Neg");
  CHECK(c.graph.node(c.relu).inputs[0] == c.x);
  CHECK(!c.graph.node(c.relu).attributes.Has("alpha"));
  CHECK_EQ(c.graph.value_count(), size_t{4});
  CHECK(c.graph.consumers(c.x) == std::vector<NodeId>{c.relu});
  c.graph.Verify();

  Patch removal(c.graph);
  removal.RemoveNode(c.identity);
  CHECK_THROWS(removal.Apply(c.graph), ErrorCode::kInternal, "'neg' (Neg) reads 'b'");
  CHECK(c.graph.alive(c.identity));
  CHECK(c.graph.producer(c.b) == c.identity);
  c.graph.Verify();
}

void TestPatchRefusesAnotherGraph() {
  Chain c;
  Patch patch(c.graph);
  patch.AddValue("late");
  c.graph.AddValue("meanwhile");
  CHECK_THROWS(patch.Apply(c.graph), ErrorCode::kInternal, "made for a graph with 4 values");
}

void TestPatchSetsAttributes() {
  Chain c;
  Patch patch(c.graph);
  CHECK(patch.empty());
  patch.SetAttribute(c.neg, "axis", int64_t{3});
  CHECK(!patch.empty());
  patch.Apply(c.graph);
  CHECK_EQ(c.graph.node(c.neg).attributes.Int("axis"), 3);
}

void TestUnreadConstantsGiveTheirMemoryBack() {
  Graph graph;
  const ValueId x = graph.AddValue("x"), y = graph.AddValue("y");
  std::weak_ptr<void> memory;
  ValueId k;
  {
    Tensor weights = Tensor::Allocate(DType::kFloat32, Shape{100});
    memory = weights.storage();
    k = graph.AddConstant("k", std::move(weights));
  }
  graph.inputs = {x};
  graph.outputs = {y};
  const NodeId add = graph.AddNode(Op("Add", {x, k}, {y}));
  graph.Sort();
  CHECK(!memory.expired());
  {
    Patch patch(graph);
    const ValueId z = patch.AddValue("z");
    patch.AddNode(Op("Neg", {x}, {z}));
    patch.ReplaceUses(y, z);
    patch.Apply(graph);
  }
  CHECK(!graph.alive(add));
  CHECK(memory.expired());
}

}  // namespace
}  // namespace onnxforge::ir

int main() {
  using namespace onnxforge;
  using namespace onnxforge::ir;
  return test::RunAll({
      {"ProducersAndConsumers", TestProducersAndConsumers},
      {"SortIsStableAndTopological", TestSortIsStableAndTopological},
      {"CycleNamesItsNodes", TestCycleNamesItsNodes},
      {"CycleThroughABody", TestCycleThroughABody},
      {"VerifyFindsEachFault", TestVerifyFindsEachFault},
      {"PatchRemovesIdentity", TestPatchRemovesIdentity},
      {"PatchRemovesWhatNobodyReads", TestPatchRemovesWhatNobodyReads},
      {"PatchPutsANodeBehindAValue", TestPatchPutsANodeBehindAValue},
      {"PatchFollowsChains", TestPatchFollowsChains},
      {"PatchKeepsAnOutputThatCannotMove", TestPatchKeepsAnOutputThatCannotMove},
      {"PatchMovesAnOutputGivenTwice", TestPatchMovesAnOutputGivenTwice},
      {"PatchRedirectsCaptures", TestPatchRedirectsCaptures},
      {"FailedPatchLeavesTheGraph", TestFailedPatchLeavesTheGraph},
      {"PatchRefusesAnotherGraph", TestPatchRefusesAnotherGraph},
      {"PatchSetsAttributes", TestPatchSetsAttributes},
      {"UnreadConstantsGiveTheirMemoryBack", TestUnreadConstantsGiveTheirMemoryBack},
  });
}
