#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "onnxforge/base/attribute.h"
#include "onnxforge/base/float_types.h"
#include "onnxforge/base/packed.h"
#include "onnxforge/base/shape.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/base/threads.h"
#include "onnxforge/base/value.h"

#include "check.h"

namespace onnxforge {
namespace {

void TestShapeBeyondInlineRank() {
  Shape shape = Shape::Filled(Shape::kInline, 2);
  shape.Append(3);
  CHECK_EQ(shape.rank(), Shape::kInline + 1);
  CHECK_EQ(shape.elements(), 256 * 3);
  const Shape copy = shape;
  shape.Erase(0);
  CHECK_EQ(shape.elements(), 128 * 3);
  CHECK_EQ(copy.elements(), 256 * 3);
  const Shape moved = std::move(shape);
  CHECK_EQ(moved[moved.rank() - 1], 3);
}

void TestShapeOverflowIsAnError() {
  CHECK_THROWS((Shape{int64_t{1} << 40, int64_t{1} << 40}.elements()), ErrorCode::kInvalidArgument, "more elements");
  CHECK_EQ((Shape{int64_t{1} << 40, 0, int64_t{1} << 40}.elements()), 0);
}

void TestBroadcastShapes() {
  CHECK_EQ(BroadcastShapes({2, 1, 4}, {3, 1}), (Shape{2, 3, 4}));
  CHECK_EQ(BroadcastShapes({}, {5}), (Shape{5}));
  CHECK_EQ(BroadcastShapes({0}, {1}), (Shape{0}));
  CHECK_THROWS(BroadcastShapes({2}, {3}), ErrorCode::kInvalidArgument, "cannot be broadcast: 2 against 3");
}

void TestNormalizeAxis() {
  CHECK_EQ(NormalizeAxis(-1, 3), size_t{2});
  CHECK_THROWS(NormalizeAxis(3, 3), ErrorCode::kInvalidArgument, "axis 3 is out of range");
  CHECK_THROWS(NormalizeAxis(0, 0), ErrorCode::kInvalidArgument, "rank 0");
}

void TestTensorSharesAndClones() {
  Tensor a = Tensor::FromVector<float>({1, 2, 3, 4, 5, 6}, Shape{3, 2});
  Tensor rows = a.Rows(1, 3);
  rows.data<float>()[0] = 9;
  CHECK_EQ(a.data<float>()[2], 9.0f);
  Tensor clone = a.Clone();
  clone.data<float>()[2] = 0;
  CHECK_EQ(a.data<float>()[2], 9.0f);
  CHECK_EQ(a.Reshaped({6}).shape(), (Shape{6}));
  CHECK_THROWS(a.Reshaped({4}), ErrorCode::kInvalidArgument, "cannot reshape [3, 2] to [4]");
  CHECK_THROWS(a.data<double>(), ErrorCode::kInternal, "float32 was read as float64");
}

void TestArenaGivesPiecesOfBlocks() {
  StorageArena arena(size_t{4} << 20);
  const auto begin = [](const Storage& s) { return static_cast<char*>(s.get()); };
  Storage first = arena.Allocate(100);
  Storage second = arena.Allocate(1);
  CHECK_EQ(begin(second) - begin(first), 128);
  CHECK_EQ(first.use_count(), 2);  // of the block
  const Storage third = arena.Allocate(size_t{1} << 20);
  CHECK(begin(third) == begin(second) + kAlignment);
  const Storage large = arena.Allocate((size_t{1} << 20) + 1);
  CHECK_EQ(large.use_count(), 1);
  // The fourth of a mebibyte does not fit any more.
  std::vector<Storage> more;
  for (int i = 0; i < 3; ++i) more.push_back(arena.Allocate(size_t{1} << 20));
  CHECK_EQ(more.back().use_count(), 1);
  const std::weak_ptr<void> block = first;
  first.reset();
  second.reset();
  more.clear();
  CHECK(!block.expired());
  CHECK_EQ(third.use_count(), 1);
}

void TestTensorKnowsWhoHoldsItsMemory() {
  const Tensor owned = Tensor::FromVector<float>({1, 2, 3, 4}, Shape{2, 2});
  CHECK(owned.IsHeldBy(1));
  const std::vector<Tensor> copies(2, owned);
  CHECK(owned.IsHeldBy(3) && !owned.IsHeldBy(1));
  CHECK(!copies[0].Rows(1, 2).IsHeldBy(4));  // a part of it
  float lent[2] = {};
  CHECK(!Tensor::View(DType::kFloat32, {2}, Storage(lent, [](void*) {}), lent).IsHeldBy(1));
  CHECK(!Tensor().IsHeldBy(0));
}

void TestTensorTooLargeIsAnError() {
  CHECK_THROWS(Tensor::Allocate(DType::kFloat64, {int64_t{1} << 61}), ErrorCode::kInvalidArgument, "address space");
  CHECK_THROWS(Tensor::Allocate(DType::kUInt8, {int64_t{1} << 60}), ErrorCode::kInvalidArgument, "not enough memory");
}

void TestStrings() {
  Tensor t = Tensor::FromVector<std::string>({"a", std::string(100, 'b')});
  const Tensor clone = t.Clone();
  t.data<std::string>()[1] = "c";
  CHECK_EQ(clone.data<std::string>()[1].size(), size_t{100});
}

void TestValueKinds() {
  CHECK(!Value().has_value());
  const Value v = Sequence{{Tensor::Scalar(1.0f)}, DType::kFloat32};
  CHECK_EQ(v.sequence().items.size(), size_t{1});
  CHECK_THROWS(v.tensor(), ErrorCode::kInvalidArgument, "expected a tensor, got a sequence");
}

void TestAttributes() {
  Attributes attributes;
  attributes.Set("axis", int64_t{1});
  attributes.Set("axis", int64_t{2});
  CHECK_EQ(attributes.Int("axis", 0), 2);
  CHECK_EQ(attributes.Int("keepdims", 1), 1);
  CHECK_THROWS(attributes.Float("axis", 0), ErrorCode::kInvalidModel, "'axis' has the wrong type: it holds an int");
  CHECK_THROWS(attributes.Int("missing"), ErrorCode::kInvalidModel, "'missing' is missing");
}

template <typename T>
void CheckRoundTrip(int bits) {
  for (uint32_t i = 0; i < (1u << bits); ++i) {
    T value;
    value.bits = static_cast<decltype(value.bits)>(i);
    const float f = value;
    const T back(f);
    if (std::isnan(f)) {
      CHECK(std::isnan(static_cast<float>(back)));
    } else if (!std::isinf(f)) {
      CHECK_EQ(static_cast<uint32_t>(back.bits), i);
    }
  }
}

void TestEverySmallFloatRoundTrips() {
  CheckRoundTrip<Float16>(16);
  CheckRoundTrip<BFloat16>(16);
  CheckRoundTrip<Float8E4M3FN>(8);
  CheckRoundTrip<Float8E4M3FNUZ>(8);
  CheckRoundTrip<Float8E5M2>(8);
  CheckRoundTrip<Float8E5M2FNUZ>(8);
  CheckRoundTrip<Float8E8M0>(8);
  CheckRoundTrip<Float6E2M3>(6);
  CheckRoundTrip<Float6E3M2>(6);
  CheckRoundTrip<Float4E2M1>(4);
}

void TestSmallFloatEdges() {
  const float inf = std::numeric_limits<float>::infinity();
  CHECK_EQ(Float16(65520.0f).bits, 0x7C00);  // rounds to infinity
  CHECK_EQ(Float16(65519.0f).bits, 0x7BFF);
  CHECK_EQ(Float16(std::ldexp(1.0f, -25)).bits, 0);  // tie to even
  CHECK_EQ(Float16(std::ldexp(1.5f, -25)).bits, 1);
  CHECK_EQ(BFloat16(1.00390625f).bits, 0x3F80);                 // tie to even
  CHECK_EQ(static_cast<float>(Float8E4M3FN(1000.0f)), 448.0f);  // saturates
  CHECK(std::isnan(static_cast<float>(Float8E4M3FN::FromFloat(1000.0f, false))));
  CHECK_EQ(static_cast<float>(Float8E5M2::FromFloat(1e9f, false)), inf);
  CHECK_EQ(static_cast<float>(Float8E5M2(-inf)), -57344.0f);
  CHECK_EQ(Float8E4M3FNUZ(-0.0f).bits, 0);
  CHECK_EQ(static_cast<float>(Float6E2M3(-100.0f)), -7.5f);
  CHECK_EQ(static_cast<float>(Float6E2M3(inf)), 7.5f);
  CHECK_EQ(static_cast<float>(Float6E3M2(-inf)), -28.0f);
  CHECK_EQ(static_cast<float>(Float6E3M2(1e9f)), 28.0f);
  CHECK_EQ(Float6E2M3(0.0625f).bits, 0);  // half of the smallest subnormal: tie to even
  CHECK_EQ(Float6E2M3(0.1875f).bits, 2);
  CHECK_EQ(Float6E3M2(0.03126f).bits, 1);
  CHECK_EQ(Float6E3M2(-0.0f).bits, 0x20);
  CHECK_EQ(Float6E3M2(std::numeric_limits<float>::quiet_NaN()).bits, 0x20);
  CHECK_EQ(Float6E2M3(-std::numeric_limits<float>::quiet_NaN()).bits, 0x20);
  CHECK_EQ(static_cast<float>(Float4E2M1(100.0f)), 6.0f);
  CHECK_EQ(static_cast<float>(Float4E2M1(-2.5f)), -2.0f);
  CHECK_EQ(static_cast<float>(Float8E8M0(3.0f)), 4.0f);  // rounds up
  CHECK_EQ(static_cast<float>(Float8E8M0::FromFloat(3.0f, true, Float8E8M0::Rounding::kDown)), 2.0f);
}

void TestSmallIntegersWrap() {
  CHECK_EQ(static_cast<int>(Int4(9)), -7);
  CHECK_EQ(static_cast<int>(UInt4(-1)), 15);
  CHECK_EQ(static_cast<int>(Int2(2)), -2);
  CHECK_EQ(static_cast<int>(UInt2(5)), 1);
}

void TestPackedElements() {
  CHECK_EQ(PackedBytes(DType::kFloat6E2M3, 4), size_t{3});
  CHECK_EQ(PackedBytes(DType::kFloat6E2M3, 5), size_t{4});
  CHECK_EQ(PackedBytes(DType::kInt2, 5), size_t{2});
  CHECK_EQ(PackedBytes(DType::kComplex128, 3), size_t{48});
  CHECK_EQ(PackedBytes(DType::kString, 3), size_t{0});
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  CHECK_EQ(PackedBytes(DType::kFloat6E3M2, kMost), static_cast<size_t>(kMost / 8) * 6 + 6);
  for (const DType dtype : {DType::kInt2, DType::kUInt2, DType::kInt4, DType::kUInt4, DType::kFloat4E2M1,
                            DType::kFloat6E2M3, DType::kFloat6E3M2}) {
    const auto mask = static_cast<unsigned char>((1u << PackedBits(dtype)) - 1);
    for (int64_t count = 0; count < 18; ++count) {
      std::vector<unsigned char> elements(static_cast<size_t>(count));
      for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<unsigned char>(0xff - i * 11);
      // One byte more, to see that it is left alone.
      std::vector<unsigned char> packed(PackedBytes(dtype, count) + 1, 0xa5);
      PackElements(dtype, elements.data(), count, packed.data());
      CHECK_EQ(static_cast<int>(packed.back()), 0xa5);
      const std::vector<unsigned char> whole(packed.begin(), packed.end() - 1);
      std::vector<unsigned char> back(static_cast<size_t>(count));
      UnpackElements(dtype, whole.data(), count, back.data());
      for (size_t i = 0; i < back.size(); ++i) {
        CHECK_EQ(back[i] & mask, elements[i] & mask);
        const bool negative = IsSignedInteger(dtype) && (back[i] & mask) > mask / 2;
        CHECK_EQ(back[i] & ~mask & 0xff, negative ? ~mask & 0xff : 0);
      }
    }
  }
}

void TestParallelForCoversEveryIndexOnce() {
  ThreadPool pool(4);
  for (const int64_t n : {0, 1, 7, 1000, 100000}) {
    std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
    pool.ParallelFor(n, 3, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) hits[static_cast<size_t>(i)].fetch_add(1);
    });
    for (const auto& h : hits) CHECK_EQ(h.load(), 1);
  }
}

void TestParallelForManyRegionsAndNesting() {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  for (int region = 0; region < 20000; ++region) {
    pool.ParallelFor(8, 1, [&](int64_t begin, int64_t end) {
      pool.ParallelFor(end - begin, 1, [&](int64_t b, int64_t e) { sum.fetch_add(e - b); });
    });
  }
  CHECK_EQ(sum.load(), 20000 * 8);
}

void TestParallelForPassesTheErrorOn() {
  ThreadPool pool(2);
  CHECK_THROWS(pool.ParallelFor(100, 1,
                                [](int64_t begin, int64_t) {
                                  if (begin > 10) Fail(ErrorCode::kInternal, "chunk failed");
                                }),
               ErrorCode::kInternal, "chunk failed");
  std::atomic<int> after{0};
  pool.ParallelFor(10, 1, [&](int64_t b, int64_t e) { after.fetch_add(static_cast<int>(e - b)); });
  CHECK_EQ(after.load(), 10);
}

void TestParallelForFromSeveralThreads() {
  ThreadPool pool(2);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        pool.ParallelFor(16, 1, [&](int64_t b, int64_t e) { sum.fetch_add(e - b); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK_EQ(sum.load(), 4 * 2000 * 16);
}

#if defined(__linux__)
/// Lets a thread run on these processors only while this lives; those it starts meanwhile may use no other ones either.
class Pinned {
 public:
  explicit Pinned(const std::vector<int>& processors) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int processor : processors) CPU_SET(static_cast<size_t>(processor), &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
  }
  ~Pinned() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

/// How many of several regions a worker, and not the caller, had a part in. After every other one the worker sleeps.
template <typename SeenByWorker>
int RegionsWithHelp(ThreadPool& pool, SeenByWorker seen) {
  const std::thread::id caller = std::this_thread::get_id();
  int helped = 0;
  for (int region = 0; region < 40; ++region) {
    if (region % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<bool> worker{false};
    pool.ParallelFor(8, 1, [&](int64_t, int64_t) {
      if (std::this_thread::get_id() != caller) {
        worker = true;
        seen();
      }
      const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(200);
      while (std::chrono::steady_clock::now() < end) {
      }
    });
    helped += worker ? 1 : 0;
  }
  return helped;
}

void TestWorkersKeepOffTheCallersProcessor() {
  const int here = sched_getcpu();
  cpu_set_t usable;
  CHECK_EQ(sched_getaffinity(0, sizeof usable, &usable), 0);
  {
    // A worker with no processor but the caller's leaves all work to it.
    const Pinned both({here});
    ThreadPool pool(2);
    CHECK_EQ(RegionsWithHelp(pool, [] {}), 0);
  }
  if (CPU_COUNT(&usable) < 2) return;
  ThreadPool pool(2);
  const Pinned caller({here});
  // The system may move it back between two looks, but seldom does.
  std::atomic<int> chunks{0}, shared{0};
  CHECK(RegionsWithHelp(pool, [&] {
          ++chunks;
          if (sched_getcpu() == here) ++shared;
        }) > 0);
  CHECK(shared.load() * 5 <= chunks.load());
}
#endif

}  // namespace
}  // namespace onnxforge

int main() {
  using namespace onnxforge;
  return test::RunAll({
      {"ShapeBeyondInlineRank", TestShapeBeyondInlineRank},
      {"ShapeOverflowIsAnError", TestShapeOverflowIsAnError},
      {"BroadcastShapes", TestBroadcastShapes},
      {"NormalizeAxis", TestNormalizeAxis},
      {"TensorSharesAndClones", TestTensorSharesAndClones},
      {"ArenaGivesPiecesOfBlocks", TestArenaGivesPiecesOfBlocks},
      {"TensorKnowsWhoHoldsItsMemory", TestTensorKnowsWhoHoldsItsMemory},
      {"TensorTooLargeIsAnError", TestTensorTooLargeIsAnError},
      {"Strings", TestStrings},
      {"ValueKinds", TestValueKinds},
      {"Attributes", TestAttributes},
      {"EverySmallFloatRoundTrips", TestEverySmallFloatRoundTrips},
      {"SmallFloatEdges", TestSmallFloatEdges},
      {"SmallIntegersWrap", TestSmallIntegersWrap},
      {"PackedElements", TestPackedElements},
      {"ParallelForCoversEveryIndexOnce", TestParallelForCoversEveryIndexOnce},
      {"ParallelForManyRegionsAndNesting", TestParallelForManyRegionsAndNesting},
      {"ParallelForPassesTheErrorOn", TestParallelForPassesTheErrorOn},
      {"ParallelForFromSeveralThreads", TestParallelForFromSeveralThreads},
#if defined(__linux__)
      {"WorkersKeepOffTheCallersProcessor", TestWorkersKeepOffTheCallersProcessor},
#endif
  });
}
