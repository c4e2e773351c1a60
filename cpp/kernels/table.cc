#include "onnxforge/kernels/table.h"

#include <algorithm>
#include <tuple>

#include "onnxforge/base/error.h"

#include "reference/list.h"
#include "simd/list.h"
#include "simd/targets.h"

namespace onnxforge {
namespace {

using Key = std::tuple<std::string_view, std::string_view, int>;

Key KeyOf(const KernelTable::Entry& entry) { return {entry.domain, entry.op_type, entry.since_version}; }

bool Before(const KernelTable::Entry& entry, const Key& key) { return KeyOf(entry) < key; }

std::string Listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::unique_ptr<Kernel> Make(const KernelTable& table, const NodeSpec& node) {
  const KernelFactory factory = table.Find(node.domain, node.op_type, node.since_version);
  return factory == nullptr ? nullptr : factory(node);
}

}  // namespace

KernelTable::KernelTable(void (*add_all)(KernelTable& table)) {
  add_all(*this);
  const auto before = [](const Entry& a, const Entry& b) { return KeyOf(a) < KeyOf(b); };
  const auto same = [](const Entry& a, const Entry& b) { return KeyOf(a) == KeyOf(b); };
  std::sort(entries_.begin(), entries_.end(), before);
  const auto twice = std::adjacent_find(entries_.begin(), entries_.end(), same);
  if (twice == entries_.end()) return;
  Fail(ErrorCode::kInternal, "two kernels for ", twice->domain, ":", twice->op_type, "-", twice->since_version,
       " in one table");
}

void KernelTable::Add(std::string_view domain, std::string_view op_type, std::initializer_list<int> since_versions,
                      KernelFactory factory) {
  for (const int version : since_versions) entries_.push_back({domain, op_type, version, factory});
}

KernelFactory KernelTable::Find(std::string_view domain, std::string_view op_type, int since_version) const {
  const Key key{domain, op_type, since_version};
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), key, Before);
  return at != entries_.end() && KeyOf(*at) == key ? at->factory : nullptr;
}

const KernelTable& ReferenceKernels() {
  static const KernelTable table(reference::AddAll);
  return table;
}

const KernelTable& SimdKernels() {
  static const KernelTable table(simd::AddAll);
  return table;
}

Tier Tier::Reference() {
  Tier tier;
  tier.name_ = "reference";
  return tier;
}

Tier Tier::Auto() {
  Tier tier;
  tier.name_ = "auto";
  tier.simd_ = true;
  return tier;
}

Tier Tier::FromName(std::string_view name) {
  if (name == "auto") return Auto();
  if (name == "reference") return Reference();
  for (const simd::Target& target : simd::SupportedTargets()) {
    if (target.name != name) continue;
    Tier tier = Auto();
    tier.name_ = target.name;
    tier.target_ = target.bit;
    return tier;
  }
  Fail(ErrorCode::kInvalidArgument, "no tier '", name, "' on this machine; it has: ", Listed(AvailableTiers()));
}

std::vector<std::string> AvailableTiers() {
  std::vector<std::string> names = {"auto", "reference"};
  for (const simd::Target& target : simd::SupportedTargets()) names.push_back(target.name);
  return names;
}

std::unique_ptr<Kernel> CreateKernel(const Tier& tier, const NodeSpec& node) {
  if (tier.simd()) {
    NodeSpec targeted = node;
    targeted.target = tier.target();
    if (std::unique_ptr<Kernel> kernel = Make(SimdKernels(), targeted)) return kernel;
  }
  return Make(ReferenceKernels(), node);
}

bool HasKernel(std::string_view domain, std::string_view op_type, int since_version) {
  return ReferenceKernels().Find(domain, op_type, since_version) != nullptr ||
         SimdKernels().Find(domain, op_type, since_version) != nullptr;
}

}  // namespace onnxforge
