#include "common/adapters/extract_lora.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/adapters/extract_report.h"
#include "common/adapters/lora_config.h"
#include "common/adapters/lora_folder.h"
#include "common/adapters/new_folder.h"
#include "common/adapters/tensor_bytes.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"

namespace merganser {
namespace {

constexpr uint64_t kPiece = uint64_t{8} << 20;     // bytes that are copied at a time
constexpr uint64_t kCompare = uint64_t{64} << 20;  // that CompareStored and copying take, about

TaskVector DeltaOf(const TensorView& base, const TensorView& expert, const Shape& shape) {
  return {base, expert, static_cast<int64_t>(shape[0]), static_cast<int64_t>(shape[1])};
}

// One extraction, from its first tensor to its folder.
class Extraction {
 public:
  Extraction(const ModelPair& pair, const ExtractLoraOptions& options, Executor& executor,
             ExtractProgress& progress)
      : pair_(pair), options_(options), executor_(executor), progress_(progress) {}

  absl::Status Plan() {
    MERGANSER_ASSIGN_OR_RETURN(targets_, FindLoraTargets(pair_, options_.modules));
    uint64_t bytes = 0;
    for (const LoraTarget& target : targets_.targets) bytes += BytesOf(target.tensor);
    for (const BesideTargets& beside : targets_.beside) bytes += BytesOf(beside.tensor);
    progress_.bytes_total = bytes;
    progress_.tensors_total = targets_.targets.size() + targets_.beside.size();
    return CheckMemory();
  }

  absl::Status Run(const std::string& output) {
    MERGANSER_ASSIGN_OR_RETURN(folder_, LoraFolder::Make(output));
    for (const LoraTarget& target : targets_.targets) {
      MERGANSER_RETURN_IF_ERROR(Factor(target));
      Told(target.tensor);
    }
    for (const BesideTargets& beside : targets_.beside) {
      MERGANSER_RETURN_IF_ERROR(Compare(beside));
      Told(beside.tensor);
    }
    if (options_.save_modules) MERGANSER_RETURN_IF_ERROR(SaveModules());
    if (folder_->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "no layer differs that an adapter can change: ", OneLine(pair_.model->uri), " and ",
          OneLine(pair_.base->uri),
          found_.beside.empty()
              ? " are equal"
              : absl::StrCat(" differ in ", found_.beside.size(), " other tensors, such as ",
                             OneLine(found_.beside.front().name), " (", found_.beside.front().why,
                             ")")));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ExtractedLora> Write(const Stores& stores) {
    MERGANSER_ASSIGN_OR_RETURN(found_.bytes, folder_->WeightBytes());
    MERGANSER_RETURN_IF_ERROR(
        folder_->Write({{kExtractReportKey, ExtractReportJson(found_, pair_, options_)},
                        {kAdapterConfigKey, LoraConfigJson(Config())}},
                       stores));
    return std::move(found_);
  }

 private:
  const AlignedTensor& Aligned(size_t tensor) const { return pair_.alignment.tensors[tensor]; }
  const CheckpointTensor& Before(size_t tensor) const { return pair_.Before(Aligned(tensor)); }
  const CheckpointTensor* After(size_t tensor) const { return pair_.After(Aligned(tensor)); }
  uint64_t BytesOf(size_t tensor) const { return Before(tensor).size + After(tensor)->size; }

  void Told(size_t tensor) {
    progress_.bytes_done += BytesOf(tensor);
    ++progress_.tensors_done;
  }

  absl::Status CheckMemory() const {
    uint64_t need = kCompare;
    std::string largest;
    for (const LoraTarget& target : targets_.targets) {
      const Shape& shape = Aligned(target.tensor).shape;
      const uint64_t bytes =
          BytesOf(target.tensor) + FactorWorkspaceBytes(static_cast<int64_t>(shape[0]),
                                                        static_cast<int64_t>(shape[1]),
                                                        options_.rank.most);
      if (bytes <= need) continue;
      need = bytes;
      largest = Aligned(target.tensor).name;
    }
    if (options_.memory >= options_.process_memory + need) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "--memory: found ", FormatBytes(options_.memory), ", expected ",
        MemoryFlag(options_.process_memory + need), " or more: ",
        largest.empty()
            ? "comparing"
            : absl::StrCat("tensor '", OneLine(largest), "' at rank ", options_.rank.most),
        " takes ", FormatBytes(need), " and the program itself ",
        FormatBytes(options_.process_memory)));
  }

  absl::StatusOr<std::vector<std::byte>> Load(const Checkpoint& model,
                                              const CheckpointTensor& tensor) {
    std::vector<std::byte> bytes(tensor.size);
    MERGANSER_RETURN_IF_ERROR(ReadTensorBytes(model, tensor, 0, bytes, executor_));
    const TensorView view{bytes.data(), tensor.dtype, tensor.size / BytesPerElement(tensor.dtype)};
    if (const std::optional<uint64_t> index = FindNonFinite(view, executor_)) {
      return absl::InvalidArgumentError(absl::StrCat(
          DescribeTensor(model, tensor), ": element ", *index, " is ",
          std::isnan(ElementAt(view, *index)) ? "NaN" : "infinite",
          ", expected a finite number: the model is damaged or its training diverged"));
    }
    return bytes;
  }

  absl::Status Factor(const LoraTarget& target) {
    if (executor_.cancelled()) return absl::CancelledError("interrupted");
    const CheckpointTensor& before = Before(target.tensor);
    const CheckpointTensor& after = *After(target.tensor);
    const Shape& shape = Aligned(target.tensor).shape;
    if (shape[0] == 0 || shape[1] == 0) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<std::byte> base, Load(*pair_.base, before));
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<std::byte> expert, Load(*pair_.model, after));
    const uint64_t elements = shape[0] * shape[1];
    LoraFactors factors;
    if (before.dtype != after.dtype || base != expert) {
      const TaskVector delta = DeltaOf({base.data(), before.dtype, elements},
                                       {expert.data(), after.dtype, elements}, shape);
      absl::StatusOr<LoraFactors> made =
          FactorDifference(delta, options_.rank, options_.dtype, executor_);
      if (!made.ok()) return Annotate(made.status(), DescribeTensor(*pair_.model, after));
      factors = *std::move(made);
    }
    if (factors.rank == 0) {
      ++found_.equal;
      return absl::OkStatus();
    }
    MERGANSER_RETURN_IF_ERROR(
        folder_->AddFactors(target.module, target.layer, shape, options_.dtype, factors));
    ExtractedTensor tensor;
    tensor.name = Aligned(target.tensor).name;
    tensor.module = target.module;
    tensor.layer = target.layer;
    tensor.rank = factors.rank;
    tensor.squares = factors.squares;
    tensor.lost = factors.lost;
    tensor.sigma = std::move(factors.sigma);
    found_.tensors.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  absl::Status Compare(const BesideTargets& beside) {
    if (executor_.cancelled()) return absl::CancelledError("interrupted");
    const CheckpointTensor& after = *After(beside.tensor);
    MERGANSER_ASSIGN_OR_RETURN(
        const TensorDifference difference,
        CompareStored(*pair_.base, Before(beside.tensor), *pair_.model, after, executor_));
    if (difference.elements == 0) {
      ++found_.equal;
      return absl::OkStatus();
    }
    if (!std::isfinite(difference.squares)) {
      return absl::InvalidArgumentError(
          absl::StrCat(DescribeTensor(*pair_.model, after),
                       ": it or the base's holds NaN or infinities, expected finite numbers: the "
                       "model is damaged or its training diverged"));
    }
    found_.beside.push_back(
        {Aligned(beside.tensor).name, beside.why, difference.elements, difference.squares, false});
    return absl::OkStatus();
  }

  // Modules that are taken whole: those of tensors that differ, where all that is in the module
  // stands directly in it and no product is among it.
  absl::Status SaveModules() {
    std::set<std::string, std::less<>> products;
    for (const ExtractedTensor& tensor : found_.tensors) products.insert(tensor.module);
    std::map<std::string, size_t, std::less<>> names;
    for (size_t t = 0; t < pair_.alignment.tensors.size(); ++t) names.emplace(Aligned(t).name, t);
    std::map<std::string, bool> taken;
    for (BesideTensor& beside : found_.beside) {
      const AlignedTensor& aligned = Aligned(names.find(beside.name)->second);
      const size_t dot = beside.name.rfind('.');
      if (dot == std::string::npos || aligned.tied || !aligned.aliases.empty()) continue;
      const std::string module = beside.name.substr(0, dot);
      const auto [known, fresh] = taken.emplace(module, false);
      if (fresh && !products.contains(module)) {
        MERGANSER_ASSIGN_OR_RETURN(known->second, SaveModule(module, names));
      }
      beside.saved = known->second;
    }
    for (const auto& [module, saved] : taken) {
      if (saved) saved_.push_back(module);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> SaveModule(const std::string& module,
                                  const std::map<std::string, size_t, std::less<>>& names) {
    const std::string prefix = module + ".";
    std::vector<size_t> tensors;
    for (auto at = names.lower_bound(prefix); at != names.end() && at->first.starts_with(prefix);
         ++at) {
      if (at->first.find('.', prefix.size()) != std::string::npos) return false;
      tensors.push_back(at->second);
    }
    for (const size_t t : tensors) {
      const CheckpointTensor* const after = After(t);
      const CheckpointTensor& tensor = after != nullptr ? *after : Before(t);
      const Checkpoint& model = after != nullptr ? *pair_.model : *pair_.base;
      if (executor_.cancelled()) return absl::CancelledError("interrupted");
      folder_->Begin({SavedKey(Aligned(t).name), tensor.dtype, tensor.shape});
      std::vector<std::byte> piece(std::min(kPiece, tensor.size));
      for (uint64_t at = 0; at < tensor.size; at += kPiece) {
        const std::span<std::byte> bytes =
            std::span(piece).first(std::min(kPiece, tensor.size - at));
        MERGANSER_RETURN_IF_ERROR(ReadTensorBytes(model, tensor, at, bytes, executor_));
        MERGANSER_RETURN_IF_ERROR(folder_->Append(bytes));
      }
    }
    return true;
  }

  LoraConfig Config() const {
    LoraConfig config;
    config.base = pair_.base->given;
    config.architecture = pair_.base->config.architecture;
    std::set<std::string, std::less<>> targets;
    for (const ExtractedTensor& tensor : found_.tensors) {
      config.modules.push_back({tensor.module, tensor.layer, tensor.rank});
      targets.insert(tensor.module);
    }
    for (const AlignedTensor& aligned : pair_.alignment.tensors) {
      const size_t dot = aligned.name.rfind('.');
      if (dot == std::string::npos) continue;
      std::string module = aligned.name.substr(0, dot);
      if (targets.insert(module).second) config.others.push_back(std::move(module));
    }
    config.saved = saved_;
    return config;
  }

  const ModelPair& pair_;
  const ExtractLoraOptions& options_;
  Executor& executor_;
  ExtractProgress& progress_;
  LoraTargets targets_;
  std::unique_ptr<LoraFolder> folder_;
  std::vector<std::string> saved_;  // modules that are in it whole
  ExtractedLora found_;
};

}  // namespace

double ExtractedLora::kept() const {
  double all = 0, lost = 0;
  for (const ExtractedTensor& tensor : tensors) {
    all += tensor.squares;
    lost += tensor.lost;
  }
  for (const BesideTensor& tensor : beside) {
    all += tensor.squares;
    lost += tensor.saved ? 0 : tensor.squares;
  }
  return all > 0 ? 1 - lost / all : 1;
}

absl::StatusOr<ExtractedLora> ExtractLora(const ModelPair& pair, const ExtractLoraOptions& options,
                                          const std::string& output, const Stores& stores,
                                          Executor& executor, ExtractProgress& progress) {
  MERGANSER_RETURN_IF_ERROR(CheckNothingAt(output));
  Extraction extraction(pair, options, executor, progress);
  MERGANSER_RETURN_IF_ERROR(extraction.Plan());
  MERGANSER_RETURN_IF_ERROR(extraction.Run(output));
  return extraction.Write(stores);
}

}  // namespace merganser
