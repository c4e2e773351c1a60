#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "onnxforge/base/tensor.h"
#include "onnxforge/ir/graph.h"
#include "onnxforge/runtime/session.h"

#include "check.h"
#include "memory_plan.h"

namespace onnxforge::runtime {
namespace {

bool Overlap(const Layout::Slot& a, const Layout::Slot& b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

/// Pieces of pseudo-random size and life, sorted as an Observer gives them.
std::vector<Lifetime> RandomLifetimes(uint32_t seed, int32_t steps) {
  std::vector<Lifetime> lifetimes;
  const auto next = [&seed](uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
  };
  for (int32_t step = 0; step < steps; ++step) {
    for (int32_t index = next(4) == 0 ? -1 : 0; index < static_cast<int32_t>(1 + next(3)); ++index) {
      const int32_t last = index < 0 ? step : std::min(steps - 1, step + static_cast<int32_t>(next(6)));
      lifetimes.push_back({step, index, next(5000), last, next(10) == 0});
    }
  }
  return lifetimes;
}

void TestNoTwoLivingPiecesOverlap() {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    const std::vector<Lifetime> lifetimes = RandomLifetimes(seed, 40);
    const Layout layout = PlanMemory(lifetimes, 40);
    for (size_t i = 0; i < lifetimes.size(); ++i) {
      CHECK(layout.slots[i].offset % kAlignment == 0);
      CHECK(lifetimes[i].escapes || layout.slots[i].offset + lifetimes[i].bytes <= layout.arena_bytes);
      for (size_t j = 0; j < i; ++j) {
        if (lifetimes[i].escapes || lifetimes[j].escapes) continue;
        const bool together =
            lifetimes[i].step <= lifetimes[j].last_step && lifetimes[j].step <= lifetimes[i].last_step;
        CHECK(!together || !Overlap(layout.slots[i], layout.slots[j]));
      }
    }
  }
}

void TestArenaIsNoLargerThanItMustBe() {
  // A chain: two neighbours live at a time, so that three pieces of memory of 1024 bytes never live together.
  std::vector<Lifetime> chain;
  for (int32_t step = 0; step < 10; ++step) chain.push_back({step, 0, 1024, std::min(step + 1, 9), false});
  CHECK_EQ(PlanMemory(chain, 10).arena_bytes, size_t{2048});
}

void TestSlotsAreFoundByStep() {
  const std::vector<Lifetime> lifetimes = {{0, 0, 64, 2, false}, {2, -1, 64, 2, false}, {2, 0, 64, 3, false}};
  const Layout layout = PlanMemory(lifetimes, 4);
  CHECK_EQ(layout.first_slot[0], size_t{0});
  CHECK_EQ(layout.first_slot[1], size_t{1});
  CHECK_EQ(layout.first_slot[2], size_t{1});
  CHECK_EQ(layout.first_slot[3], size_t{3});
  CHECK_EQ(layout.first_slot[4], size_t{3});
  CHECK_EQ(layout.first_expired[3] - layout.first_expired[2], size_t{1});
  CHECK_EQ(layout.expired[layout.first_expired[2]], size_t{0});
}

void TestObserverSeesHowLongMemoryIsHeld() {
  const auto observer = std::make_shared<Observer>();
  observer->BeginStep(0);
  Storage first = observer->Allocate(0, 0, 100);
  Storage kept = observer->Allocate(0, 1, 200);
  observer->BeginStep(1);
  Storage view = first;
  first = nullptr;
  observer->BeginStep(2);
  view = nullptr;
  const std::vector<Lifetime> seen = observer->Finish();
  CHECK_EQ(seen.size(), size_t{2});
  CHECK_EQ(seen[0].last_step, 2);
  CHECK(!seen[0].escapes);
  CHECK(seen[1].escapes);
  kept = nullptr;  // after the end: must not be written down any more
}

void TestMergedLifetimesCoverBoth() {
  const std::vector<Lifetime> merged =
      MergeLifetimes({{0, 0, 10, 1, false}, {1, 0, 10, 1, false}}, {{0, 0, 20, 3, true}, {2, 0, 5, 2, false}});
  CHECK_EQ(merged.size(), size_t{3});
  CHECK_EQ(merged[0].bytes, size_t{20});
  CHECK_EQ(merged[0].last_step, 3);
  CHECK(merged[0].escapes);
  CHECK_EQ(merged[2].step, 2);
}

void TestCacheIsBoundedAndForgetsTheOldest() {
  LayoutCache cache;
  for (int64_t i = 0; i < 100; ++i) cache.Store({i}, {{0, 0, 64, 0, false}});
  CHECK(cache.Find({0}, 1).layout == nullptr);
  CHECK(cache.Find({99}, 1).layout != nullptr);
  size_t kept = 0;
  for (int64_t i = 0; i < 100; ++i) kept += cache.Find({i}, 1).layout != nullptr ? 1 : 0;
  CHECK_EQ(kept, LayoutCache::kMaxSignatures);
}

void TestMissesAreObservedAgainButNotForEver() {
  LayoutCache cache;
  int observed = 0;
  for (int run = 0; run < 20; ++run) {
    if (cache.Find({1}, 1).layout == nullptr) {
      cache.Store({1}, {{0, 0, 64, 0, false}});
      ++observed;
    }
    cache.Missed({1});
  }
  CHECK_EQ(observed, LayoutCache::kMaxObservations);
}

/// y = Neg(Neg(x)) + x
ir::Model SmallModel() {
  ir::Model model;
  model.opsets[""] = 21;
  ir::Graph& graph = model.graph;
  Type type = Type::Tensor(DType::kFloat32);
  type.shape = std::vector<Dim>{Dim{std::nullopt, "N"}};
  const auto add = [&](std::string op, int version, std::vector<ir::ValueId> inputs, std::string output) {
    ir::Node node;
    node.name = "make_" + output;
    node.op_type = std::move(op);
    node.since_version = version;
    node.inputs = std::move(inputs);
    node.outputs = {graph.AddValue(std::move(output), type)};
    const ir::ValueId made = node.outputs[0];
    graph.AddNode(std::move(node));
    return made;
  };
  const ir::ValueId x = graph.AddValue("x", type);
  graph.inputs = {x};
  const ir::ValueId a = add("Neg", 13, {x}, "a");
  const ir::ValueId b = add("Neg", 13, {a}, "b");
  graph.outputs = {add("Add", 14, {b, x}, "y")};
  graph.Sort();
  return model;
}

std::vector<Value> Run(const Session& session, const Tensor& x) { return session.Run({{"x", x}}); }

void TestSessionRuns() {
  const auto session = Session::Create(SmallModel(), {});
  for (int i = 0; i < 4; ++i) {
    const Tensor x = Tensor::FromVector<float>({1, 2, 3});
    const Tensor y = Run(*session, x)[0].tensor();
    CHECK_EQ(y.To<float>()[2], 6.0f);
    CHECK_EQ(y.storage().use_count(), 1L);
    CHECK_EQ(x.To<float>()[2], 3.0f);
  }
}

void TestSessionNamesWhatIsWrong() {
  const auto session = Session::Create(SmallModel(), {});
  CHECK_THROWS(session->Run({}), ErrorCode::kInvalidArgument, "input 'x' (float32[N]) is missing");
  CHECK_THROWS(Run(*session, Tensor::Scalar(1.0)), ErrorCode::kInvalidArgument, "expected float32[N], got float64[]");
  CHECK_THROWS(session->Run({{"x", Tensor::Scalar(1.0f)}, {"x", Tensor::Scalar(1.0f)}}), ErrorCode::kInvalidArgument,
               "the rank is 0, not 1");
}

void TestUnknownOperatorIsNamed() {
  ir::Model model = SmallModel();
  model.graph.node(model.graph.order()[0]).op_type = "Nagate";
  CHECK_THROWS(Session::Create(std::move(model), {}), ErrorCode::kUnsupported, "in node 'make_a' (Nagate)");
}

void TestConcurrentRuns() {
  const auto session = Session::Create(SmallModel(), {});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const Tensor x = Tensor::FromVector(std::vector<float>(static_cast<size_t>(1 + (i + t) % 5), 2.0f));
        for (float value : Run(*session, x)[0].tensor().To<float>()) wrong += value == 4.0f ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace onnxforge::runtime

int main() {
  using namespace onnxforge::runtime;
  return onnxforge::test::RunAll({
      {"NoTwoLivingPiecesOverlap", TestNoTwoLivingPiecesOverlap},
      {"ArenaIsNoLargerThanItMustBe", TestArenaIsNoLargerThanItMustBe},
      {"SlotsAreFoundByStep", TestSlotsAreFoundByStep},
      {"ObserverSeesHowLongMemoryIsHeld", TestObserverSeesHowLongMemoryIsHeld},
      {"MergedLifetimesCoverBoth", TestMergedLifetimesCoverBoth},
      {"CacheIsBoundedAndForgetsTheOldest", TestCacheIsBoundedAndForgetsTheOldest},
      {"MissesAreObservedAgainButNotForEver", TestMissesAreObservedAgainButNotForEver},
      {"SessionRuns", TestSessionRuns},
      {"SessionNamesWhatIsWrong", TestSessionNamesWhatIsWrong},
      {"UnknownOperatorIsNamed", TestUnknownOperatorIsNamed},
      {"ConcurrentRuns", TestConcurrentRuns},
  });
}
