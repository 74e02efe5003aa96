#include "common/adapters/tensor_merge.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/adapters/read_factors.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/plan/known_rank.h"

namespace merganser {
namespace {

bool NeedsZeroBase(const PlannedTensor& tensor) {
  return tensor.needs.reads_base && !tensor.has_base_source;
}

// Bytes of an element of every source, and of a base that is zero.
uint64_t BytesAnElement(const PlannedTensor& tensor) {
  uint64_t bytes = NeedsZeroBase(tensor) ? BytesPerElement(DType::kF32) : 0;
  for (const PlannedSource& source : tensor.sources) bytes += BytesPerElement(source.dtype);
  return bytes;
}

class TensorMerge {
 public:
  TensorMerge(const MergeMethod& method, const PlannedTensor& tensor, PlannedReader& reader,
              Executor& executor)
      : method_(method),
        tensor_(tensor),
        reader_(reader),
        executor_(executor),
        most_(std::min(tensor.leaf_elements, tensor.elements)),
        bytes_(std::make_unique_for_overwrite<std::byte[]>(most_ * BytesAnElement(tensor))),
        keepsakes_(tensor.leaves) {}

  absl::Status Run(const LeafPlace& place, const LeafDone& done) {
    MERGANSER_RETURN_IF_ERROR(LoadFactors());
    const bool shared = !tensor_.needs.group.empty();
    Gate gate;
    if (shared) MERGANSER_RETURN_IF_ERROR(Settle(0, tensor_.leaves, gate));
    for (uint64_t i = 0; i < tensor_.leaves; ++i) {
      if (!shared) {
        gate = Gate();
        MERGANSER_RETURN_IF_ERROR(Settle(i, i + 1, gate));
      }
      MERGANSER_RETURN_IF_ERROR(Load(i));
      const MutableTensorView out = place(leaf_.first_element, views_[0].size);
      ReportFields unused;
      MERGANSER_RETURN_IF_ERROR(
          Named(method_.Apply(leaf_, gate, keepsakes_[i], out, unused, executor_)));
      keepsakes_[i] = Keepsake();
      MERGANSER_RETURN_IF_ERROR(done(out));
    }
    return absl::OkStatus();
  }

 private:
  // What the method says, of this tensor.
  absl::Status Named(const absl::Status& status) const {
    return Annotate(status, absl::StrCat("tensor ", Shown(tensor_.spec.name)));
  }

  // The gate of leaves [begin, end).
  absl::Status Settle(uint64_t begin, uint64_t end, Gate& gate) {
    for (int round = 0; round < tensor_.needs.rounds && !gate.settled; ++round) {
      GroupStats stats;
      for (uint64_t i = begin; i < end; ++i) {
        MERGANSER_RETURN_IF_ERROR(Load(i));
        absl::StatusOr<Analysis> found = method_.Analyze(leaf_, round, gate, executor_);
        if (!found.ok()) return Named(found.status());
        AddCounts(found->stats.counts, stats.counts);
        stats.leaves.push_back({0, i, std::move(found->stats.sums)});
        stats.elements += views_[0].size;
        if (!found->keepsake.values.empty()) keepsakes_[i] = std::move(found->keepsake);
      }
      ReportFields unused;
      absl::StatusOr<Gate> next = method_.Reduce(tensor_.needs, round, gate, stats, unused);
      if (!next.ok()) return Named(next.status());
      gate = *std::move(next);
    }
    return absl::OkStatus();
  }

  // Those of task vectors whose rank is known, where the method asks for them: of matrices, which
  // are one leaf.
  absl::Status LoadFactors() {
    if (!tensor_.needs.takes_factors || tensor_.leaves != 1 || tensor_.spec.shape.size() != 2) {
      return absl::OkStatus();
    }
    const size_t first = tensor_.has_base_source ? 1 : 0;
    known_.resize(tensor_.sources.size() - first);
    for (size_t i = 0; i < known_.size(); ++i) {
      const PlannedSource& source = tensor_.sources[first + i];
      factors_.push_back(nullptr);
      if (!KnownRank(tensor_, source).has_value()) continue;
      MERGANSER_ASSIGN_OR_RETURN(known_[i], ReadFactors(tensor_, source, reader_));
      factors_.back() = &known_[i];
    }
    return absl::OkStatus();
  }

  // Has leaf `index` in memory.
  absl::Status Load(uint64_t index) {
    if (executor_.cancelled()) return absl::CancelledError("interrupted");
    if (loaded_ == index + 1) return absl::OkStatus();
    const uint64_t first = index * tensor_.leaf_elements;
    const uint64_t count = std::min(tensor_.leaf_elements, tensor_.elements - first);
    views_.clear();
    std::byte* at = bytes_.get();
    for (const PlannedSource& source : tensor_.sources) {
      views_.push_back({at, source.dtype, count, source.delta});
      at += views_.back().bytes();
    }
    MERGANSER_RETURN_IF_ERROR(reader_.Read(tensor_, first, views_));
    leaf_.tensor = &tensor_.spec;
    leaf_.needs = &tensor_.needs;
    leaf_.index = index;
    leaf_.first_element = first;
    const Shape& shape = tensor_.spec.shape;
    const bool flat = tensor_.needs.split == Split::kElements || shape.empty();
    leaf_.cols = static_cast<int64_t>(flat ? count : shape.back());
    leaf_.rows = static_cast<int64_t>(count) / leaf_.cols;
    leaf_.factors = factors_;
    leaf_.experts = views_;
    leaf_.base = TensorView();
    if (tensor_.has_base_source) {
      leaf_.base = views_[0];
      leaf_.experts = leaf_.experts.subspan(1);
    } else if (NeedsZeroBase(tensor_)) {
      std::fill_n(at, count * BytesPerElement(DType::kF32), std::byte{0});
      leaf_.base = {at, DType::kF32, count};
    }
    loaded_ = index + 1;
    return absl::OkStatus();
  }

  const MergeMethod& method_;
  const PlannedTensor& tensor_;
  PlannedReader& reader_;
  Executor& executor_;
  const uint64_t most_;  // elements of a leaf
  std::unique_ptr<std::byte[]> bytes_;
  std::vector<TensorView> views_;
  Leaf leaf_;
  std::vector<FactoredDelta> known_;
  std::vector<const FactoredDelta*> factors_;  // one an expert, or none at all
  uint64_t loaded_ = 0;                        // of the leaf that is there, its index and one
  std::vector<Keepsake> keepsakes_;
};

}  // namespace

absl::Status MergeTensor(const MergeMethod& method, const PlannedTensor& tensor,
                         PlannedReader& reader, Executor& executor, const LeafPlace& place,
                         const LeafDone& done) {
  if (tensor.elements == 0) return absl::OkStatus();
  return TensorMerge(method, tensor, reader, executor).Run(place, done);
}

uint64_t MergeTensorBytes(const PlannedTensor& tensor, const PlannedReader& reader) {
  const uint64_t leaf = std::min(tensor.leaf_elements, tensor.elements);
  return leaf * BytesAnElement(tensor) +
         std::max(reader.ReadBytes(tensor, leaf), tensor.needs.workspace_bytes) +
         (tensor.needs.takes_factors ? FactorBytes(tensor, 1) : 0) +
         tensor.leaves * (tensor.needs.retained_bytes + sizeof(Keepsake));
}

}  // namespace merganser
