#include "control_flow.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace onnxforge::runtime {
namespace {

struct Row {
  std::string_view domain;
  std::string_view op_type;
  ControlFlowFactory factory;
};

// Every version of these: they differ in the types they admit, and Scan-8 tells itself apart.
constexpr Row kOperators[] = {
    {"", "If", CreateIf},
    {"", "Loop", CreateLoop},
    {"", "Scan", CreateScan},
    {"", "SequenceMap", CreateSequenceMap},
};

/// Copies `count` elements, which need not be trivially copyable.
void CopyElements(DType dtype, const void* from, void* to, int64_t count) {
  if (dtype == DType::kString) {
    std::copy_n(static_cast<const std::string*>(from), count, static_cast<std::string*>(to));
  } else if (count > 0) {
    std::memcpy(to, from, static_cast<size_t>(count) * ElementSize(dtype));
  }
}

char* At(Tensor& tensor, int64_t element) {
  return static_cast<char*>(tensor.raw()) + static_cast<size_t>(element) * ElementSize(tensor.dtype());
}

const char* At(const Tensor& tensor, int64_t element) {
  return static_cast<const char*>(tensor.raw()) + static_cast<size_t>(element) * ElementSize(tensor.dtype());
}

}  // namespace

ControlFlowFactory FindControlFlow(std::string_view domain, std::string_view op_type) {
  for (const Row& row : kOperators) {
    if (row.domain == domain && row.op_type == op_type) return row.factory;
  }
  return nullptr;
}

std::unique_ptr<ControlFlow> CreateControlFlow(const NodeSpec& node, const std::vector<BodyPlan>& bodies) {
  const ControlFlowFactory factory = FindControlFlow(node.domain, node.op_type);
  return factory == nullptr ? nullptr : factory(node, bodies);
}

size_t FindBody(const std::vector<BodyPlan>& bodies, std::string_view attribute) {
  for (size_t i = 0; i < bodies.size(); ++i) {
    if (bodies[i].attribute == attribute) return i;
  }
  Fail(ErrorCode::kInvalidModel, "the graph attribute '", attribute, "' is missing");
}

void RequireBodyArity(const BodyPlan& body, size_t inputs, size_t outputs) {
  Require(body.plan->inputs.size() == inputs && body.plan->outputs.size() == outputs, ErrorCode::kInvalidModel,
          "the graph of attribute '", body.attribute, "' must have ", inputs, " inputs and ", outputs,
          " outputs, and has ", body.plan->inputs.size(), " and ", body.plan->outputs.size());
}

bool ReadCondition(const Value& value, std::string_view what) {
  Require(value.is_tensor(), ErrorCode::kInvalidModel, what, " must be a tensor, and is a ", KindName(value.kind()));
  const Tensor& tensor = value.tensor();
  Require(tensor.dtype() == DType::kBool && tensor.elements() == 1, ErrorCode::kInvalidModel, what,
          " must be one bool, and is ", tensor.dtype(), tensor.shape());
  return *tensor.data<bool>();
}

void StackedOutput::Add(Value value) {
  Require(value.is_tensor(), ErrorCode::kInvalidModel, "a scan output must be a tensor, and is a ",
          KindName(value.kind()));
  const Tensor& row = value.tensor();
  if (!rows_.empty()) {
    const Tensor& first = rows_.front();
    Require(row.dtype() == first.dtype() && row.shape() == first.shape(), ErrorCode::kInvalidModel,
            "a scan output must have one type and shape in every iteration; it was ", first.dtype(), first.shape(),
            " and is ", row.dtype(), row.shape(), " in iteration ", rows_.size());
  }
  rows_.push_back(row);
}

DType StackedOutput::RowDType(const Type& type) const {
  const DType dtype = rows_.empty() ? type.dtype : rows_.front().dtype();
  Require(IsValid(dtype), ErrorCode::kInvalidModel,
          "the body declares no element type for a scan output, and there was no iteration to show it");
  return dtype;
}

Shape StackedOutput::RowShape(const Type& type) const {
  if (!rows_.empty()) return rows_.front().shape();
  Shape shape;
  if (!type.shape) return shape;
  for (const Dim& dim : *type.shape) shape.Append(std::max<int64_t>(dim.value.value_or(0), 0));
  return shape;
}

void StackedOutput::Finish(KernelContext& context, size_t index, const Type& type, int64_t axis, bool reversed) const {
  const Shape row = RowShape(type);
  const DType dtype = RowDType(type);
  const size_t at = NormalizeAxis(axis, row.rank() + 1);
  Shape shape = row;
  shape.Insert(at, static_cast<int64_t>(rows_.size()));
  Tensor& out = context.Output(index, dtype, shape);
  const int64_t outer = row.elements(0, at);
  const int64_t inner = row.elements(at, row.rank());
  const auto count = static_cast<int64_t>(rows_.size());
  for (int64_t r = 0; r < count; ++r) {
    const Tensor& from = rows_[static_cast<size_t>(reversed ? count - 1 - r : r)];
    for (int64_t o = 0; o < outer; ++o) {
      CopyElements(dtype, At(from, o * inner), At(out, (o * count + r) * inner), inner);
    }
  }
}

Tensor StackedOutput::Stack(const Type& type) const {
  Shape shape = RowShape(type);
  const int64_t row = shape.elements();
  shape.Insert(0, static_cast<int64_t>(rows_.size()));
  Tensor out = Tensor::Allocate(RowDType(type), shape);
  for (size_t r = 0; r < rows_.size(); ++r) {
    CopyElements(out.dtype(), rows_[r].raw(), At(out, static_cast<int64_t>(r) * row), row);
  }
  return out;
}

Tensor MoveAxis(const Tensor& tensor, size_t from, size_t to) {
  Shape shape = tensor.shape();
  const int64_t extent = shape[from];
  shape.Erase(from);
  shape.Insert(to, extent);
  Tensor out = Tensor::Allocate(tensor.dtype(), shape);
  // Elements move in runs of what lies inside both axes; the axes between the two shift by one place.
  const size_t low = std::min(from, to);
  const size_t high = std::max(from, to) + 1;
  const int64_t outer = tensor.shape().elements(0, low);
  const int64_t inner = tensor.shape().elements(high, tensor.rank());
  const int64_t between = extent == 0 ? 0 : tensor.shape().elements(low, high) / extent;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t e = 0; e < extent; ++e) {
      for (int64_t b = 0; b < between; ++b) {
        const int64_t axis_first = (o * extent + e) * between + b;
        const int64_t axis_last = (o * between + b) * extent + e;
        CopyElements(tensor.dtype(), At(tensor, (from < to ? axis_first : axis_last) * inner),
                     At(out, (from < to ? axis_last : axis_first) * inner), inner);
      }
    }
  }
  return out;
}

}  // namespace onnxforge::runtime
