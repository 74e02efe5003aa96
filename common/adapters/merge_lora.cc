#include "common/adapters/merge_lora.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/adapters/lora_config.h"
#include "common/adapters/lora_factors.h"
#include "common/adapters/lora_folder.h"
#include "common/adapters/new_folder.h"
#include "common/adapters/product_factors.h"
#include "common/adapters/read_factors.h"
#include "common/adapters/tensor_merge.h"
#include "common/base/bytes.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "common/linalg/block_ops.h"

namespace merganser {
namespace {

constexpr uint64_t kCopying = uint64_t{16} << 20;  // what writing the folder takes, about

// One merge, from its first module to its folder.
class LoraMerge {
 public:
  LoraMerge(const PreparedMerge& prepared, const MergedModules& modules,
            const MergeLoraOptions& options, PlannedReader& reader, Executor& executor,
            ExtractProgress& progress)
      : prepared_(prepared),
        plan_(prepared.plan),
        modules_(modules),
        options_(options),
        reader_(reader),
        executor_(executor),
        progress_(progress) {}

  absl::Status Check() {
    if (modules_.products.empty()) return Nothing();
    uint64_t bytes = 0;
    for (const MergedProduct& product : modules_.products) {
      bytes += BytesOf(product.deltas);
      if (options_.rank.has_value() || !product.coefficients.empty()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("--rank: missing, expected the rank of the merged adapter: what ",
                       MethodOf(plan_, product.deltas).method, " makes of ", Shown(product.module),
                       " is no sum of products, and has any rank up to ",
                       std::min(product.deltas.spec.shape[0], product.deltas.spec.shape[1])));
    }
    for (const MergedWhole& whole : modules_.whole) bytes += BytesOf(plan_.tensors[whole.tensor]);
    progress_.bytes_total = bytes;
    progress_.tensors_total = modules_.products.size() + modules_.whole.size();
    return CheckMemory();
  }

  absl::Status Run(const std::string& output) {
    MERGANSER_ASSIGN_OR_RETURN(const PlanMethods methods, PlanMethods::Make(plan_));
    MERGANSER_ASSIGN_OR_RETURN(folder_, LoraFolder::Make(output));
    for (const MergedProduct& product : modules_.products) {
      if (executor_.cancelled()) return absl::CancelledError("interrupted");
      absl::Status status = Factor(product, methods.of(product.deltas));
      if (absl::IsCancelled(status)) return status;
      MERGANSER_RETURN_IF_ERROR(Annotate(status, absl::StrCat("module ", Shown(product.module))));
      Told(product.deltas);
    }
    if (found_.lora.tensors.empty()) return Nothing();
    for (const MergedWhole& whole : modules_.whole) {
      const PlannedTensor& tensor = plan_.tensors[whole.tensor];
      MERGANSER_RETURN_IF_ERROR(Save(whole, tensor, methods.of(tensor)));
      Told(tensor);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<MergedLora> Write(const Stores& stores) {
    MERGANSER_ASSIGN_OR_RETURN(found_.lora.bytes, folder_->WeightBytes());
    MERGANSER_RETURN_IF_ERROR(folder_->Write(
        {{kMergeLoraReportKey, MergeLoraReportJson(found_, prepared_, modules_, options_)},
         {kAdapterConfigKey, LoraConfigJson(Config())}},
        stores));
    return std::move(found_);
  }

 private:
  absl::Status Nothing() const {
    return absl::InvalidArgumentError(
        absl::StrCat(prepared_.recipe.source_name,
                     ": the merged adapters have no product, expected one of some module that is "
                     "not zero: are they trained, and do their weights not cancel?"));
  }

  // Of the tensor's values; what progress is counted in.
  static uint64_t BytesOf(const PlannedTensor& tensor) {
    return tensor.elements * BytesPerElement(DType::kF32) * tensor.sources.size();
  }
  void Told(const PlannedTensor& tensor) {
    progress_.bytes_done += BytesOf(tensor);
    ++progress_.tensors_done;
  }

  LoraRank RankOf(const MergedProduct& product) const {
    return {options_.rank.value_or(product.ranks), options_.energy};
  }

  static uint64_t TermsOf(const MergedProduct& product) {
    uint64_t count = 0;
    for (const PlannedSource& source : product.deltas.sources) {
      if (!source.update.has_value()) continue;
      for (const LowRankTerm& term : source.update->terms) count += term.rank;
    }
    return count;
  }

  uint64_t NeedOf(const MergedProduct& product) const {
    const Shape& shape = product.deltas.spec.shape;
    const uint64_t most = RankOf(product).most;
    if (!product.coefficients.empty()) {
      // The factors of one model, and one of them as it is read.
      const uint64_t factors = 4 * TermsOf(product) * (shape[0] + shape[1]) * sizeof(double);
      return FactorProductBytes(shape[0], shape[1], TermsOf(product), most) + factors;
    }
    const uint64_t values = product.deltas.elements * BytesPerElement(DType::kF32);
    return values + std::max(MergeTensorBytes(product.deltas, reader_),
                             FactorWorkspaceBytes(static_cast<int64_t>(shape[0]),
                                                  static_cast<int64_t>(shape[1]), most));
  }

  absl::Status CheckMemory() const {
    uint64_t need = kCopying;
    std::string largest;
    const auto see = [&](uint64_t bytes, const std::string& what) {
      if (bytes <= need) return;
      need = bytes;
      largest = what;
    };
    for (const MergedProduct& product : modules_.products) {
      see(NeedOf(product),
          absl::StrCat("module ", Shown(product.module), " at rank ", RankOf(product).most));
    }
    for (const MergedWhole& whole : modules_.whole) {
      const PlannedTensor& tensor = plan_.tensors[whole.tensor];
      const uint64_t leaf = std::min(tensor.leaf_elements, tensor.elements);
      see(MergeTensorBytes(tensor, reader_) + leaf * BytesPerElement(tensor.dtype),
          absl::StrCat("tensor ", Shown(whole.name)));
    }
    if (options_.memory >= options_.process_memory + need) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "--memory: found ", FormatBytes(options_.memory), ", expected ",
        MemoryFlag(options_.process_memory + need),
        " or more: ", largest.empty() ? "writing" : largest, " takes ", FormatBytes(need),
        " and the program itself ", FormatBytes(options_.process_memory)));
  }

  absl::Status Factor(const MergedProduct& product, const MergeMethod& method) {
    MERGANSER_ASSIGN_OR_RETURN(LoraFactors factors, product.coefficients.empty()
                                                        ? Approximate(product, method)
                                                        : Combine(product));
    if (factors.rank == 0) {
      ++found_.lora.equal;
      return absl::OkStatus();
    }
    MERGANSER_RETURN_IF_ERROR(folder_->AddFactors(
        product.module, product.layer, product.deltas.spec.shape, options_.dtype, factors));
    ExtractedTensor& tensor = found_.lora.tensors.emplace_back();
    tensor.name = product.deltas.spec.name;
    tensor.module = product.module;
    tensor.layer = product.layer;
    tensor.rank = factors.rank;
    tensor.squares = factors.squares;
    tensor.lost = factors.lost;
    tensor.sigma = std::move(factors.sigma);
    found_.ranks.push_back(TermsOf(product));
    return absl::OkStatus();
  }

  // The sum of all products, never formed.
  absl::StatusOr<LoraFactors> Combine(const MergedProduct& product) {
    const PlannedTensor& deltas = product.deltas;
    const uint64_t count = TermsOf(product);
    FactorColumns left(deltas.spec.shape[0], count), right(deltas.spec.shape[1], count);
    size_t column = 0;
    for (size_t s = 0; s < deltas.sources.size(); ++s) {
      MERGANSER_ASSIGN_OR_RETURN(const FactoredDelta delta,
                                 ReadFactors(deltas, deltas.sources[s], reader_));
      for (size_t k = 0; k < delta.rank(); ++k, ++column) {
        linalg::Scale(product.coefficients[s] * delta.scales[k],
                      delta.rows.data() + k * left.length(), left.length(), left.column(column));
        std::copy_n(delta.columns.data() + k * right.length(), right.length(),
                    right.column(column));
      }
    }
    return FactorProduct(std::move(left), std::move(right), RankOf(product), options_.dtype,
                         executor_);
  }

  // What the method makes of the products, and the best of its rank.
  absl::StatusOr<LoraFactors> Approximate(const MergedProduct& product, const MergeMethod& method) {
    const PlannedTensor& deltas = product.deltas;
    const uint64_t width = BytesPerElement(DType::kF32);
    const auto bytes = std::make_unique_for_overwrite<std::byte[]>(deltas.elements * width);
    MERGANSER_RETURN_IF_ERROR(MergeTensor(
        method, deltas, reader_, executor_,
        [&](uint64_t first, uint64_t count) {
          return MutableTensorView{bytes.get() + first * width, DType::kF32, count};
        },
        [](const MutableTensorView&) { return absl::OkStatus(); }));
    const TensorView view{bytes.get(), DType::kF32, deltas.elements, /*delta=*/true};
    // Of a task vector nothing is subtracted: its base is not looked at.
    const TaskVector delta{view, view, static_cast<int64_t>(deltas.spec.shape[0]),
                           static_cast<int64_t>(deltas.spec.shape[1])};
    return FactorDifference(delta, RankOf(product), options_.dtype, executor_);
  }

  absl::Status Save(const MergedWhole& whole, const PlannedTensor& tensor,
                    const MergeMethod& method) {
    folder_->Begin({SavedKey(whole.name), tensor.dtype, tensor.spec.shape});
    found_.saved.push_back(whole.name);
    std::vector<std::byte> leaf;
    return MergeTensor(
        method, tensor, reader_, executor_,
        [&](uint64_t, uint64_t count) {
          leaf.resize(count * BytesPerElement(tensor.dtype));
          return MutableTensorView{leaf.data(), tensor.dtype, count};
        },
        [&](const MutableTensorView& out) {
          return folder_->Append({out.data, static_cast<size_t>(out.bytes())});
        });
  }

  LoraConfig Config() const {
    LoraConfig config;
    config.base = modules_.base;
    config.architecture = prepared_.reference->config.architecture;
    for (const ExtractedTensor& tensor : found_.lora.tensors) {
      config.modules.push_back({tensor.module, tensor.layer, tensor.rank});
    }
    config.others = modules_.others;
    for (const MergedWhole& whole : modules_.whole) {
      if (std::find(config.saved.begin(), config.saved.end(), whole.module) == config.saved.end()) {
        config.saved.push_back(whole.module);
      }
    }
    return config;
  }

  const PreparedMerge& prepared_;
  const Plan& plan_;
  const MergedModules& modules_;
  const MergeLoraOptions& options_;
  PlannedReader& reader_;
  Executor& executor_;
  ExtractProgress& progress_;
  std::unique_ptr<LoraFolder> folder_;
  MergedLora found_;
};

}  // namespace

absl::StatusOr<MergedLora> MergeLora(const PreparedMerge& prepared, const MergedModules& modules,
                                     const MergeLoraOptions& options, const std::string& output,
                                     const Stores& stores, PlannedReader& reader,
                                     Executor& executor, ExtractProgress& progress) {
  MERGANSER_RETURN_IF_ERROR(CheckNothingAt(output));
  LoraMerge merge(prepared, modules, options, reader, executor, progress);
  MERGANSER_RETURN_IF_ERROR(merge.Check());
  MERGANSER_RETURN_IF_ERROR(merge.Run(output));
  return merge.Write(stores);
}

}  // namespace merganser
