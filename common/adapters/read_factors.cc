#include "common/adapters/read_factors.h"

#include <cstdint>
#include <vector>

#include "common/base/status.h"

namespace merganser {
namespace {

// `rank` vectors of `length` behind those that `out` has.
absl::Status AddSide(uint32_t model, const LowRankFactor& factor, uint64_t rank, uint64_t length,
                     PlannedReader& reader, std::vector<double>& out) {
  std::vector<double> entries;
  MERGANSER_RETURN_IF_ERROR(reader.ReadBlock(model, factor.block, entries));
  out.reserve(out.size() + rank * length);
  for (uint64_t k = 0; k < rank; ++k) {
    for (uint64_t i = 0; i < length; ++i) {
      out.push_back(entries[i * factor.stride + k * factor.rank_stride]);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FactoredDelta> ReadFactors(const PlannedTensor& tensor, const PlannedSource& source,
                                          PlannedReader& reader) {
  const uint64_t height = tensor.spec.shape[0], width = tensor.spec.shape[1];
  FactoredDelta delta;
  delta.height = static_cast<int64_t>(height);
  delta.width = static_cast<int64_t>(width);
  if (!source.update.has_value()) return delta;
  for (const LowRankTerm& term : source.update->terms) {
    delta.scales.insert(delta.scales.end(), term.rank, term.scale);
    MERGANSER_RETURN_IF_ERROR(
        AddSide(source.model, term.row_factor, term.rank, height, reader, delta.rows));
    MERGANSER_RETURN_IF_ERROR(
        AddSide(source.model, *term.column_factor, term.rank, width, reader, delta.columns));
  }
  return delta;
}

}  // namespace merganser
