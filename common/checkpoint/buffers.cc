#include "common/checkpoint/buffers.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/names.h"
#include "common/checkpoint/stored_bytes.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr uint64_t kReadWhole = uint64_t{1} << 20;
constexpr uint64_t kReadOfLarger = uint64_t{64} << 10;

// What counts the steps of a training and is of no use to a model.
bool IsCounter(const AlignedTensor& tensor) {
  constexpr std::string_view kCounters[] = {"num_batches_tracked", "n_averaged", "num_updates",
                                            "global_step",         "step",       "steps",
                                            "iteration",           "counter"};
  const bool single = std::all_of(tensor.shape.begin(), tensor.shape.end(),
                                  [](uint64_t extent) { return extent == 1; });
  return single &&
         std::any_of(std::begin(kCounters), std::end(kCounters), [&](std::string_view counter) {
           return EndsInComponent(tensor.name, counter);
         });
}

// Whether a float tensor may hold what is no number: weights may not, and there are too
// many of them to look.
bool MayBeMask(std::string_view name) {
  if (EndsInComponent(name, "weight")) return false;
  return !EndsInComponent(name, "bias") || !ParseLayer(name).has_value();
}

class BufferSettler {
 public:
  BufferSettler(const std::vector<const Checkpoint*>& models, size_t reference)
      : models_(models), reference_(reference) {}

  absl::Status Settle(AlignedTensor& tensor) {
    if (tensor.copied && tensor.sources.size() == 1) return absl::OkStatus();
    const bool computed = IsComputedBuffer(tensor.name, tensor.shape);
    if (!computed && !IsIntegral(tensor.dtype)) {
      // What is decoded as it is read is a weight, and its bytes are none of its dtype.
      if (!MayBeMask(tensor.name) || IsDecoded(tensor)) return absl::OkStatus();
      MERGANSER_ASSIGN_OR_RETURN(const bool mask, HoldsNonFinite(tensor));
      if (!mask) return absl::OkStatus();
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<Difference> other, AnyDifference(tensor));
    const bool harmless = IsCounter(tensor) || (computed && !IsIntegral(tensor.dtype));
    if (other.has_value() && !harmless && !(other->dtypes && computed)) {
      Differ(tensor, *other);
      return absl::OkStatus();
    }
    const TensorSource own = Own(tensor);
    if (other.has_value()) differing_[Pattern(tensor.name)].push_back(own.model);
    tensor.copied = true;
    tensor.sources = {own};
    return absl::OkStatus();
  }

  SettledBuffers Finish() {
    for (const auto& [pattern, of] : differing_) {
      const bool one = std::all_of(of.begin(), of.end(), [&](uint32_t m) { return m == of[0]; });
      settled_.warnings.push_back(
          absl::StrCat(of.size(), of.size() == 1 ? " tensor " : " tensors ", Quoted(pattern),
                       of.size() == 1 ? " is" : " are",
                       " not the same in all models, and no parameter: the output has ",
                       one ? absl::StrCat("what model ", Quoted(models_[of[0]]->given), " has")
                           : std::string("what the first model of each slice has")));
    }
    return std::move(settled_);
  }

 private:
  struct Difference {
    size_t source;
    uint64_t byte;
    bool dtypes;  // the types differ
  };

  StoredTensor Stored(const TensorSource& source) const {
    const Checkpoint* model = models_[source.model];
    return {model, &model->tensors[source.tensor]};
  }
  const TensorSource& Own(const AlignedTensor& tensor) const {
    return tensor.sources[std::min(reference_, tensor.sources.size() - 1)];
  }

  bool IsDecoded(const AlignedTensor& tensor) const {
    return std::any_of(tensor.sources.begin(), tensor.sources.end(),
                       [&](const TensorSource& source) {
                         return models_[source.model]->tensors[source.tensor].scales.has_value();
                       });
  }

  absl::StatusOr<bool> HoldsNonFinite(const AlignedTensor& tensor) const {
    for (const TensorSource& source : tensor.sources) {
      const StoredTensor stored = Stored(source);
      const uint64_t bytes = stored.tensor->size <= kReadWhole ? kReadWhole : kReadOfLarger;
      MERGANSER_ASSIGN_OR_RETURN(const bool found, HasNonFinite(stored, bytes));
      if (found) return true;
    }
    return false;
  }

  absl::StatusOr<std::optional<Difference>> AnyDifference(const AlignedTensor& tensor) const {
    const StoredTensor own = Stored(Own(tensor));
    for (size_t k = 0; k < tensor.sources.size(); ++k) {
      const StoredTensor other = Stored(tensor.sources[k]);
      if (other.tensor == own.tensor) continue;
      if (other.tensor->dtype != own.tensor->dtype) return Difference{k, 0, true};
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<uint64_t> byte, FirstDifference(own, other));
      if (byte.has_value()) return Difference{k, *byte, false};
    }
    return std::nullopt;
  }

  void Differ(const AlignedTensor& tensor, const Difference& other) {
    const StoredTensor own = Stored(Own(tensor));
    const StoredTensor stored = Stored(tensor.sources[other.source]);
    const std::string what =
        other.dtypes ? absl::StrCat("found dtype ", std::string(DTypeName(stored.tensor->dtype)),
                                    ", expected ", std::string(DTypeName(own.tensor->dtype)), " as")
                     : absl::StrCat("element ", other.byte / BytesPerElement(own.tensor->dtype),
                                    " differs from the same tensor");
    settled_.differences.push_back(absl::StrCat(
        "model ", Quoted(stored.model->given), ": ",
        stored.model->DescribeShard(stored.tensor->shard), ": tensor ", Quoted(stored.tensor->name),
        ": ", what, " in ", own.model->DescribeShard(own.tensor->shard), "; ",
        IsIntegral(tensor.dtype)
            ? absl::StrCat(std::string(DTypeName(tensor.dtype)), " tensors are not merged")
            : std::string("it holds NaN or infinite values, which are not merged"),
        ", expected equal values in all models"));
  }

  const std::vector<const Checkpoint*>& models_;
  const size_t reference_;
  SettledBuffers settled_;
  std::map<std::string, std::vector<uint32_t>> differing_;  // whose each is
};

}  // namespace

absl::StatusOr<SettledBuffers> SettleBuffers(const std::vector<const Checkpoint*>& models,
                                             size_t reference,
                                             std::vector<AlignedTensor>& tensors) {
  BufferSettler settler(models, reference);
  for (AlignedTensor& tensor : tensors) MERGANSER_RETURN_IF_ERROR(settler.Settle(tensor));
  return settler.Finish();
}

}  // namespace merganser
