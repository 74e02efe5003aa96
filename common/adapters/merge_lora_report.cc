#include <cmath>
#include <cstddef>
#include <utility>

#include "common/adapters/extract_report.h"
#include "common/adapters/merge_lora.h"
#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string MergeLoraReportJson(const MergedLora& merged, const PreparedMerge& prepared,
                                const MergedModules& modules, const MergeLoraOptions& options) {
  Json tensors = Json::array(), models = Json::array();
  for (size_t t = 0; t < merged.lora.tensors.size(); ++t) {
    const ExtractedTensor& tensor = merged.lora.tensors[t];
    tensors.push_back({{"name", tensor.name},
                       {"module", tensor.module},
                       {"ranks", merged.ranks[t]},
                       {"rank", tensor.rank},
                       {"delta_norm", std::sqrt(tensor.squares)},
                       {"kept", tensor.kept()},
                       {"sigma", tensor.sigma}});
  }
  for (const PlannedModel& model : prepared.plan.models) {
    if (!model.adapters.empty()) models.push_back(model.given);
  }
  const Json json = {{"format", 1},
                     {"method", prepared.plan.method.method},
                     {"base", modules.base},
                     {"models", std::move(models)},
                     {"rank", options.rank.has_value() ? Json(*options.rank) : Json(nullptr)},
                     {"energy", options.energy.has_value() ? Json(*options.energy) : Json(nullptr)},
                     {"dtype", TorchName(options.dtype)},
                     {"kept", merged.lora.kept()},
                     {"zero_modules", merged.lora.equal},
                     {"tensors", std::move(tensors)},
                     {"saved", merged.saved}};
  return ShownJson(json.dump(1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

std::string MergeLoraText(const MergedLora& merged) {
  return LoraText(merged.lora, merged.saved.size(), "merged delta");
}

}  // namespace merganser
