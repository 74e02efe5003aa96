#include "common/checkpoint/quantised_inputs.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/quantised_names.h"
#include "common/checkpoint/refusals.h"
#include "common/checkpoint/scale_blocks.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr uint64_t kMxBlock = 32;
// Bytes of a block of 32 values of 4 bits.
constexpr uint64_t kMxBytes = kMxBlock / 2;
constexpr std::string_view kBlocks = "_blocks";
constexpr std::string_view kFetchAgain =
    "was the download or conversion finished? Fetch or quantise the model again, or dequantise it "
    "first and save it as bfloat16";

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

uint64_t Elements(const Shape& shape) {
  uint64_t elements = 1;
  for (const uint64_t extent : shape) elements *= extent;  // checked when the header was read
  return elements;
}

bool IsScaleType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 ||
         dtype == DType::kF8E8M0;
}

class Decoding {
 public:
  explicit Decoding(Checkpoint& checkpoint)
      : checkpoint_(checkpoint),
        method_(checkpoint.config.quantization_method),
        decoded_(checkpoint.tensors.size()),
        gone_(checkpoint.tensors.size(), false) {
    const std::optional<DType> dtype = checkpoint.config.dtype;
    if (dtype == DType::kF32 || dtype == DType::kF16) dtype_ = *dtype;
  }

  absl::Status Find() {
    for (size_t t = 0; t < checkpoint_.tensors.size(); ++t) {
      const CheckpointTensor& tensor = checkpoint_.tensors[t];
      absl::Status found;
      if (IsBlocks(tensor)) {
        found = TakeBlocks(t);
      } else if (IsPackedPart(tensor.name) || IsActivationScale(tensor)) {
        continue;
      } else if (tensor.dtype == DType::kF8E4M3 || tensor.dtype == DType::kF8E5M2) {
        found = TakeScaled(t);
      } else if (tensor.dtype == DType::kI8 || tensor.dtype == DType::kF4) {
        found = TakePairs(t);
      }
      MERGANSER_RETURN_IF_ERROR(found);
    }
    return absl::OkStatus();
  }

  bool any() const { return any_; }

  absl::Status Apply() {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> kinds;
    std::vector<std::string> left_out;
    std::vector<CheckpointTensor> tensors;
    for (size_t t = 0; t < decoded_.size(); ++t) {
      CheckpointTensor& tensor = checkpoint_.tensors[t];
      if (!gone_[t] && IsActivationScale(tensor)) {
        left_out.push_back(tensor.name);
        checkpoint_.left_out.push_back(tensor);
        gone_[t] = true;
      }
      if (gone_[t]) continue;
      if (decoded_[t].has_value()) {
        kinds[Kind(*decoded_[t])].push_back(decoded_[t]->name);
        tensor = *std::move(decoded_[t]);
      }
      tensors.push_back(std::move(tensor));
    }
    checkpoint_.tensors = std::move(tensors);
    checkpoint_.by_name.clear();
    for (uint32_t t = 0; t < checkpoint_.tensors.size(); ++t) {
      const CheckpointTensor& tensor = checkpoint_.tensors[t];
      if (checkpoint_.by_name.emplace(tensor.name, t).second) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(checkpoint_.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name),
                       " is there as it is and as blocks with scales, expected one of them; remove "
                       "the one that is not meant"));
    }
    const std::string model = absl::StrCat("model ", Quoted(checkpoint_.given), ": ");
    for (const auto& [kind, names] : kinds) {
      const bool one = names.size() == 1;
      checkpoint_.notes.push_back(
          absl::StrCat(model, names.size(), one ? " tensor" : " tensors", " stored as ", kind.first,
                       one ? " is" : " are", " decoded to ", kind.second, " as ",
                       one ? "it is" : "they are", " read (", FirstFew(names), ")"));
    }
    if (!left_out.empty()) {
      checkpoint_.notes.push_back(absl::StrCat(model, FirstFew(left_out),
                                               left_out.size() == 1 ? " is" : " are",
                                               " left out of what is merged: scales of activations "
                                               "or of the cache, which the quantised form "
                                               "alone uses (out_dtype: source copies the base's)"));
    }
    return absl::OkStatus();
  }

 private:
  // What a tensor is stored as, and what it becomes.
  static std::pair<std::string, std::string> Kind(const CheckpointTensor& tensor) {
    const bool mx = tensor.scales->code == BlockCode::kMxfp4;
    return {mx ? "MXFP4" : absl::StrCat(std::string(DTypeName(*tensor.coded)), " with scales"),
            std::string(DTypeName(tensor.dtype))};
  }

  std::string Place(const CheckpointTensor& tensor) const {
    return absl::StrCat(checkpoint_.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name));
  }

  absl::Status WrongShape(const CheckpointTensor& tensor, const CheckpointTensor& scales,
                          const std::string& expected) const {
    return absl::InvalidArgumentError(
        absl::StrCat(Place(scales), ": found shape ", ShapeText(scales.shape), ", expected ",
                     expected, " for the scales of ", Quoted(tensor.name), " of ",
                     ShapeText(tensor.shape), "; ", std::string(kFetchAgain)));
  }

  // The scales of a tensor under the names that writers give them: those of blocks
  // (weight_scale_inv), of rows or all (weight_scale), DeepSeek-V4's (scale of weight), Mistral's.
  absl::StatusOr<const CheckpointTensor*> ScalesOf(const CheckpointTensor& tensor) const {
    std::vector<std::string> names = {absl::StrCat(tensor.name, "_scale_inv"),
                                      absl::StrCat(tensor.name, "_scale")};
    if (LastComponent(tensor.name) == "weight") {
      const std::string module = tensor.name.substr(0, tensor.name.size() - 6);
      names.push_back(absl::StrCat(module, "scale"));
      names.push_back(absl::StrCat(module, "qscale_weight"));
    }
    const CheckpointTensor* found = nullptr;
    for (const std::string& name : names) {
      const CheckpointTensor* const one = checkpoint_.Find(name);
      if (one == nullptr) continue;
      if (found != nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(
            Place(tensor), ": found scales for it in ", Quoted(found->name), " and in ",
            Quoted(name), ", expected one of them; remove the one that is not meant"));
      }
      found = one;
    }
    return found;
  }

  // The type of scales as they are read.
  absl::StatusOr<DType> TypeOf(const CheckpointTensor& scales) const {
    // What transformers takes for powers of two.
    const bool bytes = scales.dtype == DType::kU8 &&
                       (scales.name.ends_with("_scale_inv") || scales.name.ends_with("_scales"));
    if (bytes) return DType::kF8E8M0;
    if (IsScaleType(scales.dtype)) return scales.dtype;
    return absl::InvalidArgumentError(
        absl::StrCat(Place(scales), ": found dtype ", std::string(DTypeName(scales.dtype)),
                     ", expected F32, BF16, F16 or F8_E8M0 for scales of FP8: weights that are "
                     "quantised this way "
                     "are not supported: ",
                     UnpackAdvice(QuantisedKind(checkpoint_))));
  }

  void Decode(size_t t, const CheckpointTensor& scales, DType type, BlockScales how,
              CheckpointTensor decoded) {
    how.scales = {scales.shard, scales.offset, type, Elements(scales.shape)};
    decoded.dtype = dtype_;
    decoded.scales = how;
    const CheckpointTensor& values = checkpoint_.tensors[t];
    decoded.parts = {{values.name, values.dtype, values.shape},
                     {scales.name, scales.dtype, scales.shape}};
    decoded_[t] = std::move(decoded);
    gone_[static_cast<size_t>(&scales - checkpoint_.tensors.data())] = true;
    any_ = true;
  }

  absl::Status TakeScaled(size_t t) {
    const CheckpointTensor& tensor = checkpoint_.tensors[t];
    MERGANSER_ASSIGN_OR_RETURN(const CheckpointTensor* const scales, ScalesOf(tensor));
    const std::string coded(DTypeName(tensor.dtype));
    if (scales == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(tensor), " of dtype ", coded, " has no scales: expected ",
                       Quoted(absl::StrCat(tensor.name, "_scale_inv")), " or ",
                       Quoted(absl::StrCat(tensor.name, "_scale")), " in one of the files; ",
                       std::string(kFetchAgain)));
    }
    if (IsConsolidated(checkpoint_)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(tensor), " of dtype ", coded,
                       ": quantised weights in Mistral's own layout are not supported: take the "
                       "files for transformers, or dequantise it first and save it as bfloat16"));
    }
    MERGANSER_ASSIGN_OR_RETURN(const DType type, TypeOf(*scales));
    const std::vector<BlockSize>& sizes = checkpoint_.config.quantised_blocks;
    // fp8's config.json tells of one size for all; groups of compressed-tensors differ.
    const bool only_these = method_ == "fp8" && !sizes.empty();
    const std::optional<BlockSize> blocks =
        BlocksOf(tensor.shape, scales->shape, sizes, only_these);
    if (!blocks.has_value()) {
      std::string expected = "one for all, for each row, or for each block of 128 x 128";
      if (!sizes.empty()) {
        expected = absl::StrCat("one for each block of ", sizes[0].first, " x ", sizes[0].second,
                                " (as config.json has it)");
      }
      return WrongShape(tensor, *scales, expected);
    }
    CheckpointTensor decoded = tensor;
    decoded.coded = tensor.dtype;
    BlockScales how;
    how.block_rows = blocks->first;
    how.block_cols = blocks->second;
    Decode(t, *scales, type, how, std::move(decoded));
    return absl::OkStatus();
  }

  // DeepSeek-V4's experts: two values of 4 bits a byte along the last dimension, with a power of
  // two for each 32 of them. I8 without such scales may be INT8, of which RefuseQuantised tells.
  absl::Status TakePairs(size_t t) {
    const CheckpointTensor& tensor = checkpoint_.tensors[t];
    MERGANSER_ASSIGN_OR_RETURN(const CheckpointTensor* const scales, ScalesOf(tensor));
    if (scales == nullptr || tensor.shape.size() < 2) return absl::OkStatus();
    const bool powers = scales->dtype == DType::kF8E8M0 ||
                        (scales->dtype == DType::kU8 && scales->name.ends_with("_scale_inv"));
    if (!powers) return absl::OkStatus();
    CheckpointTensor decoded = tensor;
    if (tensor.dtype == DType::kI8) decoded.shape.back() *= 2;
    Shape expected = decoded.shape;
    expected.back() /= kMxBlock;
    if (decoded.shape.back() % kMxBlock != 0 || scales->shape != expected) {
      return WrongShape(
          tensor, *scales,
          absl::StrCat(ShapeText(expected), ", one for each ", kMxBlock, " values of 4 bits,"));
    }
    decoded.coded = DType::kF4;
    Decode(t, *scales, DType::kF8E8M0, {BlockCode::kMxfp4, {}, 1, kMxBlock, false},
           std::move(decoded));
    return absl::OkStatus();
  }

  // "NAME_blocks" with "NAME_scales".
  const CheckpointTensor* ScalesOfBlocks(const CheckpointTensor& tensor) const {
    const std::string_view stem =
        std::string_view(tensor.name).substr(0, tensor.name.size() - kBlocks.size());
    return checkpoint_.Find(absl::StrCat(std::string(stem), "_scales"));
  }
  bool IsBlocks(const CheckpointTensor& tensor) const {
    return tensor.dtype == DType::kU8 && tensor.name.ends_with(kBlocks) &&
           (method_ == "mxfp4" || ScalesOfBlocks(tensor) != nullptr);
  }

  // gpt-oss: [experts, rows, groups, 16], of which transformers makes [experts, groups * 32, rows].
  absl::Status TakeBlocks(size_t t) {
    const CheckpointTensor& tensor = checkpoint_.tensors[t];
    const CheckpointTensor* const scales = ScalesOfBlocks(tensor);
    const Shape& shape = tensor.shape;
    std::string stem = tensor.name.substr(0, tensor.name.size() - kBlocks.size());
    if (scales == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          Place(tensor), " has no scales: expected ", Quoted(absl::StrCat(stem, "_scales")),
          " in one of the files; ", std::string(kFetchAgain)));
    }
    if (shape.size() != 4 || shape[3] != kMxBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          Place(tensor), " of dtype U8 (with ", Quoted(scales->name), "): found shape ",
          ShapeText(shape), ", expected [experts, rows, groups, 16] as of MXFP4's blocks; ",
          UnpackAdvice("")));
    }
    if (scales->dtype != DType::kU8 && scales->dtype != DType::kF8E8M0) {
      return absl::InvalidArgumentError(absl::StrCat(Place(*scales), ": found dtype ",
                                                     std::string(DTypeName(scales->dtype)),
                                                     ", expected U8 or F8_E8M0 for the scales of ",
                                                     Quoted(tensor.name), "; ", UnpackAdvice("")));
    }
    const Shape expected(shape.begin(), shape.begin() + 3);
    if (scales->shape != expected) return WrongShape(tensor, *scales, ShapeText(expected));
    CheckpointTensor decoded = tensor;
    decoded.stored = std::exchange(decoded.name, std::move(stem));
    decoded.shape = {shape[0], shape[2] * kMxBlock, shape[1]};
    decoded.coded = DType::kF4;
    Decode(t, *scales, DType::kF8E8M0, {BlockCode::kMxfp4, {}, 1, kMxBlock, true},
           std::move(decoded));
    return absl::OkStatus();
  }

  Checkpoint& checkpoint_;
  const std::string& method_;
  DType dtype_ = DType::kBF16;
  std::vector<std::optional<CheckpointTensor>> decoded_;  // one a tensor
  std::vector<bool> gone_;
  bool any_ = false;
};

}  // namespace

absl::Status DecodeQuantised(Checkpoint& checkpoint) {
  const std::string& method = checkpoint.config.quantization_method;
  if (method.empty() || IsDecodedMethod(method)) {
    Decoding decoding(checkpoint);
    MERGANSER_RETURN_IF_ERROR(decoding.Find());
    if (decoding.any()) MERGANSER_RETURN_IF_ERROR(decoding.Apply());
  }
  return RefuseQuantised(checkpoint);
}

}  // namespace merganser
