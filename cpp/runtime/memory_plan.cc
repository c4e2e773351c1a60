#include "memory_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace onnxforge::runtime {
namespace {

size_t AlignUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

bool ByStepAndIndex(const Lifetime& a, const Lifetime& b) {
  return a.step != b.step ? a.step < b.step : a.index < b.index;
}

bool LiveTogether(const Lifetime& a, const Lifetime& b) { return a.step <= b.last_step && b.step <= a.last_step; }

struct Placed {
  size_t lifetime;
  size_t offset;
  size_t end;
};

/// The offset of the smallest gap for `bytes` between `busy` pieces, which are sorted by offset; behind them if there
/// is none.
size_t BestGap(const std::vector<Placed>& placed, const std::vector<Lifetime>& lifetimes, const Lifetime& wanted,
               size_t bytes) {
  size_t best_offset = 0;
  size_t best_gap = std::numeric_limits<size_t>::max();
  size_t free_from = 0;
  for (const Placed& p : placed) {
    if (!LiveTogether(lifetimes[p.lifetime], wanted)) continue;
    if (p.offset > free_from) {
      const size_t gap = p.offset - free_from;
      if (gap >= bytes && gap < best_gap) {
        best_gap = gap;
        best_offset = free_from;
      }
    }
    free_from = std::max(free_from, p.end);
  }
  return best_gap == std::numeric_limits<size_t>::max() ? free_from : best_offset;
}

}  // namespace

Storage Observer::Allocate(int32_t step, int32_t index, size_t bytes) {
  Storage memory = AllocateStorage(bytes);
  void* data = memory.get();
  const size_t record = records_.size();
  records_.push_back({step, index, bytes, step, true});
  return Storage(data,
                 [memory = std::move(memory), self = shared_from_this(), record](void*) { self->OnRelease(record); });
}

void Observer::OnRelease(size_t record) {
  // What escaped is released by whoever got it, on any thread, after Finish().
  if (!open_.load(std::memory_order_acquire)) return;
  records_[record].last_step = step_;
  records_[record].escapes = false;
}

std::vector<Lifetime> Observer::Finish() {
  open_.store(false, std::memory_order_release);
  std::vector<Lifetime> records = std::move(records_);
  std::stable_sort(records.begin(), records.end(), ByStepAndIndex);
  // A step that makes one output twice (and drops the first) needs the larger piece for the longer time.
  std::vector<Lifetime> unique;
  for (const Lifetime& record : records) {
    if (!unique.empty() && !ByStepAndIndex(unique.back(), record)) {
      Lifetime& last = unique.back();
      last.bytes = std::max(last.bytes, record.bytes);
      last.last_step = std::max(last.last_step, record.last_step);
      last.escapes = last.escapes || record.escapes;
    } else {
      unique.push_back(record);
    }
  }
  return unique;
}

Layout PlanMemory(const std::vector<Lifetime>& lifetimes, size_t step_count) {
  Layout layout;
  layout.slots.resize(lifetimes.size());
  std::vector<size_t> by_size;
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    layout.slots[i] = {lifetimes[i].index, 0, AlignUp(lifetimes[i].bytes), lifetimes[i].escapes};
    if (!lifetimes[i].escapes) by_size.push_back(i);
  }
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  std::vector<Placed> placed;  // sorted by offset
  placed.reserve(by_size.size());
  for (size_t i : by_size) {
    Layout::Slot& slot = layout.slots[i];
    slot.offset = BestGap(placed, lifetimes, lifetimes[i], slot.bytes);
    const Placed entry{i, slot.offset, slot.offset + slot.bytes};
    placed.insert(std::upper_bound(placed.begin(), placed.end(), entry,
                                   [](const Placed& a, const Placed& b) { return a.offset < b.offset; }),
                  entry);
    layout.arena_bytes = std::max(layout.arena_bytes, entry.end);
  }

  layout.first_slot.assign(step_count + 1, lifetimes.size());
  layout.first_expired.assign(step_count + 1, 0);
  for (size_t i = lifetimes.size(); i-- > 0;) layout.first_slot[static_cast<size_t>(lifetimes[i].step)] = i;
  for (size_t s = step_count; s-- > 0;) layout.first_slot[s] = std::min(layout.first_slot[s], layout.first_slot[s + 1]);

  std::vector<size_t> by_end;
  for (size_t i : by_size) {
    if (lifetimes[i].index >= 0 && static_cast<size_t>(lifetimes[i].last_step) < step_count) by_end.push_back(i);
  }
  std::stable_sort(by_end.begin(), by_end.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].last_step < lifetimes[b].last_step; });
  layout.expired = std::move(by_end);
  size_t next = 0;
  for (size_t s = 0; s <= step_count; ++s) {
    layout.first_expired[s] = next;
    while (next < layout.expired.size() && static_cast<size_t>(lifetimes[layout.expired[next]].last_step) == s) ++next;
  }
  return layout;
}

std::vector<Lifetime> MergeLifetimes(std::vector<Lifetime> a, const std::vector<Lifetime>& b) {
  std::vector<Lifetime> merged;
  merged.reserve(a.size() + b.size());
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (j == b.size() || (i < a.size() && ByStepAndIndex(a[i], b[j]))) {
      merged.push_back(a[i++]);
    } else if (i == a.size() || ByStepAndIndex(b[j], a[i])) {
      merged.push_back(b[j++]);
    } else {
      Lifetime both = a[i++];
      const Lifetime& other = b[j++];
      both.bytes = std::max(both.bytes, other.bytes);
      both.last_step = std::max(both.last_step, other.last_step);
      both.escapes = both.escapes || other.escapes;
      merged.push_back(both);
    }
  }
  return merged;
}

LayoutCache::Entry* LayoutCache::FindEntry(const std::vector<int64_t>& signature) {
  for (Entry& entry : entries_) {
    if (entry.signature == signature) return &entry;
  }
  return nullptr;
}

LayoutCache::Choice LayoutCache::Find(const std::vector<int64_t>& signature, size_t step_count) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = FindEntry(signature);
  if (entry == nullptr) return {};
  entry->used = ++clock_;
  if (entry->observe_again) return {};
  if (entry->layout == nullptr) {
    entry->layout = std::make_shared<const Layout>(PlanMemory(entry->lifetimes, step_count));
  }
  return {entry->layout};
}

void LayoutCache::Store(const std::vector<int64_t>& signature, std::vector<Lifetime> lifetimes) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = FindEntry(signature);
  if (entry == nullptr) {
    if (entries_.size() < kMaxSignatures) {
      entry = &entries_.emplace_back();
    } else {
      entry = &*std::min_element(entries_.begin(), entries_.end(),
                                 [](const Entry& a, const Entry& b) { return a.used < b.used; });
      *entry = Entry();
    }
    entry->signature = signature;
    entry->lifetimes = std::move(lifetimes);
  } else {
    entry->lifetimes = MergeLifetimes(std::move(entry->lifetimes), lifetimes);
    entry->layout = nullptr;
  }
  entry->observe_again = false;
  ++entry->observations;
  entry->used = ++clock_;
}

void LayoutCache::Missed(const std::vector<int64_t>& signature) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = FindEntry(signature);
  if (entry != nullptr && entry->observations < kMaxObservations) entry->observe_again = true;
}

}  // namespace onnxforge::runtime
