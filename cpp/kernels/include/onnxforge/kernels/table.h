#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxforge/kernels/kernel.h"

namespace onnxforge {

/// Makes a kernel for one node, or returns null when it does not cover this node (a SIMD kernel asked for a dtype it
/// does not have): the next tier is asked then. The last tier fails instead, saying what it cannot do.
using KernelFactory = std::unique_ptr<Kernel> (*)(const NodeSpec& node);

/// Kernels by (domain, operator, since_version). The default domain is "".
class KernelTable {
 public:
  struct Entry {
    std::string_view domain;
    std::string_view op_type;
    int since_version;
    KernelFactory factory;
  };

  /// Holds what `add_all` adds; two of one key are kInternal.
  explicit KernelTable(void (*add_all)(KernelTable& table));

  /// One factory for several versions of an operator. The names live as long as the program.
  void Add(std::string_view domain, std::string_view op_type, std::initializer_list<int> since_versions,
           KernelFactory factory);
  KernelFactory Find(std::string_view domain, std::string_view op_type, int since_version) const;
  const std::vector<Entry>& entries() const { return entries_; }  // sorted

 private:
  std::vector<Entry> entries_;
};

/// The complete, slow, obviously right kernels: the oracle of every other tier.
const KernelTable& ReferenceKernels();

/// The Highway kernels, which overlay the reference tier.
const KernelTable& SimdKernels();

/// Which kernels a session may use. "auto" is SIMD with the best target of this machine; "reference" is the oracle; any
/// other name is one Highway target ("AVX3_ZEN4", "AVX2", "SSE4", "NEON", …), see AvailableTiers().
class Tier {
 public:
  /// Fails with kInvalidArgument, listing what this machine has, for an unknown or unsupported name.
  static Tier FromName(std::string_view name);
  static Tier Reference();
  static Tier Auto();

  const std::string& name() const { return name_; }
  bool simd() const { return simd_; }
  int64_t target() const { return target_; }  // a Highway target bit, 0 for the best one

 private:
  std::string name_;
  bool simd_ = false;
  int64_t target_ = 0;
};

std::vector<std::string> AvailableTiers();

/// Highway as a mark of the binary (onnxforge/base/component_mark.h).
const char* HighwayMark();

/// The kernel for a node from the first table of the tier that covers it; null where no table has the operator version.
/// Where the tier names one target, the kernel made keeps to it.
std::unique_ptr<Kernel> CreateKernel(const Tier& tier, const NodeSpec& node);

/// Whether any tier has a kernel for the operator version; what decides if a function body is expanded.
bool HasKernel(std::string_view domain, std::string_view op_type, int since_version);

}  // namespace onnxforge
