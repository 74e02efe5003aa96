#include "common/plan/validate_origins.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/checkpoint/block_layout.h"
#include "common/format/safetensors.h"
#include "common/plan/encoding.h"
#include "common/plan/origin_bytes.h"
#include "common/tensor/dtype.h"

namespace merganser {
namespace {

using Fault = std::optional<OriginFault>;

// Far more than anybody trains; products of such sizes do not wrap.
constexpr uint64_t kMaxRank = uint64_t{1} << 20;
constexpr size_t kMaxTerms = 1024;

Fault Found(std::string field, std::string problem) {
  return OriginFault{std::move(field), std::move(problem)};
}

// Index of the last entry of `lines` lines of a factor; nullopt where it wraps.
std::optional<uint64_t> LastEntry(const LowRankFactor& factor, uint64_t matrices, uint64_t lines,
                                  uint64_t rank) {
  std::optional<uint64_t> last = 0;
  const auto add = [&](uint64_t count, uint64_t stride) {
    const std::optional<uint64_t> far = CheckedMul(count - 1, stride);
    last = last.has_value() && far.has_value() ? CheckedAdd(*last, *far) : std::nullopt;
  };
  add(matrices, factor.matrix_stride);
  add(lines, factor.stride);
  add(rank, factor.rank_stride);
  return last;
}

class OriginCheck {
 public:
  OriginCheck(const Plan& plan, const PlannedTensor& tensor, size_t index)
      : plan_(plan), tensor_(tensor), index_(index), source_(tensor.sources[index]) {}

  Fault Run() const {
    if (!IsDecoded(source_)) {
      if (!source_.coded.has_value() && !source_.added_to.has_value()) return std::nullopt;
      return Found(source_.coded.has_value() ? "coded" : "added_to",
                   "found of a source that is stored as it is");
    }
    if (tensor_.needs.mode == "copy") {
      return Found("update", "found a decoded source of a tensor that is copied");
    }
    if (!source_.parts.empty()) return Found("parts", "found parts of a source that is decoded");
    if (tensor_.elements == 0) return Found("update", "found one of a tensor without elements");
    if (Fault fault = CheckDelta()) return fault;
    if (Fault fault = CheckScales()) return fault;
    if (Fault fault = CheckUpdate()) return fault;
    return CheckValues();
  }

 private:
  const std::vector<CheckpointShard>& shards() const { return plan_.models[source_.model].shards; }

  Fault CheckDelta() const {
    if (!source_.delta) return std::nullopt;
    if (!tensor_.needs.takes_deltas) {
      return Found("delta", "found a task vector for a method that takes none");
    }
    if (!tensor_.has_base_source || index_ == 0) {
      return Found("delta", index_ == 0 ? "found the base, or the only model, as a task vector"
                                        : "found a task vector without a base");
    }
    if (source_.update.has_value() || source_.dtype == DType::kF32) return std::nullopt;
    return Found("dtype", absl::StrCat("found ", std::string(DTypeName(source_.dtype)),
                                       ", expected F32 of a task vector of zeros"));
  }

  Fault CheckBlock(const std::string& field, const StoredBlock& block, bool floats) const {
    if (block.shard >= shards().size()) {
      return Found(field + ".shard",
                   absl::StrCat("found ", block.shard, ", expected less than ", shards().size()));
    }
    if (floats ? !IsComputable(block.dtype) : BytesPerElement(block.dtype) == 0) {
      return Found(field + ".dtype",
                   absl::StrCat("found ", std::string(DTypeName(block.dtype)), ", expected ",
                                floats ? "F64, F32, F16 or BF16" : "a type of whole bytes"));
    }
    if (block.elements == 0 || block.elements > kMaxElements) {
      return Found(field + ".elements",
                   absl::StrCat("found ", block.elements, ", expected 1 to ", kMaxElements));
    }
    return CheckEnd(field + ".offset", block.shard, block.offset,
                    block.elements * BytesPerElement(block.dtype));
  }

  Fault CheckEnd(std::string field, uint32_t shard, uint64_t offset, uint64_t bytes) const {
    const uint64_t size = shards()[shard].info.size;
    const std::optional<uint64_t> end = CheckedAdd(offset, bytes);
    if (end.has_value() && *end <= size) return std::nullopt;
    return Found(std::move(field),
                 absl::StrCat("found ", bytes, " bytes at ", offset, ", expected them within the ",
                              size, " bytes of their file"));
  }

  Fault CheckScales() const {
    if (!source_.scales.has_value()) {
      if (!source_.coded.has_value()) return std::nullopt;
      return Found("coded", "found a type of values with scales, and no scales");
    }
    if (!ReadsValues(source_)) return Found("scales", "found those of values that are not read");
    const BlockScales& scales = *source_.scales;
    const DType coded = source_.coded.value_or(DType::kBool);
    const bool scaled = scales.code == BlockCode::kScaled;
    const bool fits = scaled ? coded == DType::kF8E4M3 || coded == DType::kF8E5M2
                             : coded == DType::kU8 || coded == DType::kF4;
    if (!fits) {
      return Found("coded", absl::StrCat("found ", std::string(DTypeName(coded)), ", expected ",
                                         scaled ? "F8_E4M3 or F8_E5M2" : "U8 or F4"));
    }
    if (Fault fault = CheckBlock("scales.scales", scales.scales, false)) return fault;
    if (scales.scales.elements == 1) return std::nullopt;  // of all values, whatever the blocks
    if (scales.block_rows == 0 || scales.block_cols == 0) {
      return Found("scales.block_rows",
                   absl::StrCat("found blocks of ", scales.block_rows, " x ", scales.block_cols,
                                ", expected at least 1 x 1"));
    }
    const Shape& shape = tensor_.spec.shape;
    uint64_t rows = shape.size() < 2 ? 1 : shape[shape.size() - 2];
    uint64_t cols = shape.empty() ? 1 : shape.back();
    const uint64_t matrices = tensor_.elements / (rows * cols);
    if (scales.transposed) std::swap(rows, cols);
    const uint64_t expected =
        matrices * CeilDiv(rows, scales.block_rows) * CeilDiv(cols, scales.block_cols);
    if (scales.scales.elements == expected) return std::nullopt;
    return Found("scales.scales.elements",
                 absl::StrCat("found ", scales.scales.elements, ", expected ", expected));
  }

  Fault CheckUpdate() const {
    if (!source_.update.has_value()) {
      if (!source_.added_to.has_value()) return std::nullopt;
      return Found("added_to", "found a type of values without an update");
    }
    const LowRankUpdate& update = *source_.update;
    const DType added_to = source_.added_to.value_or(DType::kBool);
    if (!IsComputable(added_to)) {
      return Found("added_to", absl::StrCat("found ", std::string(DTypeName(added_to)),
                                            ", expected F64, F32, F16 or BF16"));
    }
    const DType sums = ReadsValues(source_) && added_to == DType::kF64 ? DType::kF64 : DType::kF32;
    if (source_.dtype != sums) {
      return Found("dtype", absl::StrCat("found ", std::string(DTypeName(source_.dtype)),
                                         ", expected ", std::string(DTypeName(sums))));
    }
    if (update.terms.empty() || update.terms.size() > kMaxTerms) {
      return Found("update.terms",
                   absl::StrCat("found ", update.terms.size(), ", expected 1 to ", kMaxTerms));
    }
    for (size_t t = 0; t < update.terms.size(); ++t) {
      if (Fault fault = CheckTerm(absl::StrCat("update.terms[", t, "]"), update.terms[t])) {
        return fault;
      }
    }
    const DType rounded = update.rounded_to.value_or(DType::kF16);
    if (rounded != DType::kF16 && rounded != DType::kBF16) {
      return Found("update.rounded_to", absl::StrCat("found ", std::string(DTypeName(rounded)),
                                                     ", expected F16 or BF16"));
    }
    return CheckMagnitudes(update);
  }

  Fault CheckTerm(const std::string& field, const LowRankTerm& term) const {
    if (term.rank == 0 || term.rank > kMaxRank) {
      return Found(field + ".rank",
                   absl::StrCat("found ", term.rank, ", expected 1 to ", kMaxRank));
    }
    const uint64_t matrices = source_.update->terms[0].matrices;
    const Matrices shape = MatricesOf(tensor_.spec.shape, term.matrices);
    if (term.matrices != matrices || term.matrices != shape.count) {
      return Found(field + ".matrices",
                   absl::StrCat("found ", term.matrices, ", expected ",
                                term.matrices != matrices ? matrices : shape.count));
    }
    if (!std::isfinite(term.scale)) return Found(field + ".scale", "found no finite number");
    if (Fault fault = CheckFactor(field + ".row_factor", term.row_factor, term, shape.rows)) {
      return fault;
    }
    if (!term.column_factor.has_value()) return std::nullopt;
    return CheckFactor(field + ".column_factor", *term.column_factor, term, shape.cols);
  }

  Fault CheckFactor(const std::string& field, const LowRankFactor& factor, const LowRankTerm& term,
                    uint64_t lines) const {
    if (Fault fault = CheckBlock(field + ".block", factor.block, true)) return fault;
    const std::optional<uint64_t> last = LastEntry(factor, term.matrices, lines, term.rank);
    if (last.has_value() && *last < factor.block.elements) return std::nullopt;
    return Found(field + ".stride",
                 absl::StrCat("found strides ", factor.matrix_stride, ", ", factor.stride, ", ",
                              factor.rank_stride, ", expected them to stay within ",
                              factor.block.elements, " elements"));
  }

  Fault CheckMagnitudes(const LowRankUpdate& update) const {
    if (!update.magnitudes.has_value()) return std::nullopt;
    const std::string field = "update.magnitudes.magnitude";
    const StoredBlock& block = update.magnitudes->magnitude;
    if (Fault fault = CheckBlock(field, block, true)) return fault;
    const Matrices shape = MatricesOf(tensor_, update);
    const uint64_t expected =
        shape.count * (update.magnitudes->of_columns ? shape.cols : shape.rows);
    if (block.elements == expected) return std::nullopt;
    return Found(field + ".elements",
                 absl::StrCat("found ", block.elements, ", expected ", expected));
  }

  // Those at the source's offset.
  Fault CheckValues() const {
    if (!ReadsValues(source_)) return std::nullopt;
    uint64_t bytes = tensor_.elements * BytesPerElement(ValueType(source_));
    if (source_.scales.has_value()) {
      bytes = source_.scales->code == BlockCode::kMxfp4 ? CeilDiv(tensor_.elements, 2)
                                                        : tensor_.elements;
    }
    return CheckEnd("offset", source_.shard, source_.offset, bytes);
  }

  const Plan& plan_;
  const PlannedTensor& tensor_;
  const size_t index_;
  const PlannedSource& source_;
};

}  // namespace

std::optional<OriginFault> FindOriginFault(const Plan& plan, const PlannedTensor& tensor,
                                           size_t index) {
  return OriginCheck(plan, tensor, index).Run();
}

std::optional<OriginFault> FindEncodingFault(const Plan& plan, const PlannedTensor& tensor) {
  const PlannedEncoding& encoding = *tensor.encoding;
  const PlannedSource& original = encoding.original;
  if (tensor.needs.mode == "copy" || tensor.dtype != DType::kF32) {
    return OriginFault{"original",
                       "found that of a tensor that is copied, or merged as another type than F32"};
  }
  if (tensor.elements == 0 || !original.scales.has_value() || original.update.has_value() ||
      original.delta || !original.parts.empty()) {
    return OriginFault{"original", "found another than values with scales"};
  }
  if (original.dtype != DType::kF32 && original.dtype != DType::kF16 &&
      original.dtype != DType::kBF16) {
    return OriginFault{"original.dtype",
                       absl::StrCat("found ", std::string(DTypeName(original.dtype)),
                                    ", expected F32, F16 or BF16")};
  }
  const DType scale = original.scales->scales.dtype;
  if (scale != DType::kF32 && scale != DType::kF16 && scale != DType::kBF16 &&
      scale != DType::kF8E8M0) {
    return OriginFault{"original.scales.scales.dtype",
                       absl::StrCat("found ", std::string(DTypeName(scale)),
                                    ", expected F32, F16, BF16 or F8_E8M0")};
  }
  const bool pairs = original.scales->code == BlockCode::kMxfp4;
  if (pairs) {
    const BlockLayout layout = LayOutBlocks(*original.scales, tensor.spec.shape);
    if (original.coded != DType::kF4 || scale != DType::kF8E8M0 || layout.cols % 2 != 0) {
      return OriginFault{"original", "found pairs of another form than MXFP4's"};
    }
  }
  PlannedTensor alone;
  alone.spec = tensor.spec;
  alone.elements = tensor.elements;
  alone.sources = {original};
  if (std::optional<OriginFault> fault = FindOriginFault(plan, alone, 0)) {
    fault->field = absl::StrCat("original.", fault->field);
    return fault;
  }
  const auto fits = [](const SafetensorsSpec& spec, uint64_t bytes) {
    return TensorBytes(spec.dtype, spec.shape) == bytes;
  };
  if (!fits(encoding.values, OutputBytes(tensor, tensor.elements))) {
    return OriginFault{"values", "found another size than the tensor's elements take"};
  }
  if (!fits(encoding.scales, ScaleBytes(tensor))) {
    return OriginFault{"scales", "found another size than the original's scales have"};
  }
  return std::nullopt;
}

}  // namespace merganser
