#include "common/engine/rounding_report.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace merganser {
namespace {

constexpr char kRounding[] = "rounding";
enum : size_t { kError, kEnergy, kBlocks, kKept, kValues };

}  // namespace

ReportField RoundingField(const BlockRounding& rounding) {
  ReportField field;
  field.key = kRounding;
  field.values = {rounding.error, rounding.energy, static_cast<double>(rounding.blocks),
                  static_cast<double>(rounding.kept)};
  field.list = true;
  field.adds = true;
  return field;
}

void TellRounding(ReportFields& fields) {
  const auto found = std::find_if(fields.begin(), fields.end(), [](const ReportField& field) {
    return field.key == kRounding && field.values.size() == kValues;
  });
  if (found == fields.end()) return;
  const ReportField sums = std::move(*found);
  fields.erase(found);
  const double energy = sums.values[kEnergy];
  fields.push_back(
      {"rounding_error", {energy > 0 ? std::sqrt(sums.values[kError] / energy) : 0.0}});
  fields.push_back({"blocks", {sums.values[kBlocks]}});
  fields.push_back({"blocks_kept", {sums.values[kKept]}});
}

}  // namespace merganser
