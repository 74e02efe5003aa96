#include "common/adapters/extract_report.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNamed = 3;

// "97.1234 %"; cut, so that nothing is called whole that is not.
std::string Percent(double share) {
  const double percent = std::max(std::floor(share * 1e6) / 1e4, 0.0);
  if (percent == 0 && share > 0) return "less than 0.0001 %";
  return Formatted("%.4f %%", percent);
}

}  // namespace

std::string ExtractReportJson(const ExtractedLora& lora, const ModelPair& pair,
                              const ExtractLoraOptions& options) {
  Json tensors = Json::array(), beside = Json::array();
  for (const ExtractedTensor& tensor : lora.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"module", tensor.module},
                       {"rank", tensor.rank},
                       {"difference_norm", std::sqrt(tensor.squares)},
                       {"kept", tensor.kept()},
                       {"sigma", tensor.sigma}});
  }
  for (const BesideTensor& tensor : lora.beside) {
    beside.push_back({{"name", tensor.name},
                      {"why", tensor.why},
                      {"elements", tensor.elements},
                      {"difference_norm", std::sqrt(tensor.squares)},
                      {"saved", tensor.saved}});
  }
  const std::optional<double>& energy = options.rank.energy;
  const Json json = {{"format", 1},
                     {"base", pair.base->given},
                     {"model", pair.model->given},
                     {"rank", options.rank.most},
                     {"energy", energy.has_value() ? Json(*energy) : Json(nullptr)},
                     {"dtype", TorchName(options.dtype)},
                     {"kept", lora.kept()},
                     {"equal_tensors", lora.equal},
                     {"tensors", std::move(tensors)},
                     {"beside", std::move(beside)}};
  return ShownJson(json.dump(1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

std::string ExtractText(const ExtractedLora& lora) { return LoraText(lora, 0, "difference"); }

std::string LoraText(const ExtractedLora& lora, size_t saved, std::string_view whole) {
  const std::string of(whole);
  size_t width = 0;
  for (const ExtractedTensor& tensor : lora.tensors) {
    width = std::max(width, Shown(tensor.module).size());
  }
  std::string out;
  uint64_t least = UINT64_MAX, most = 0;
  for (const ExtractedTensor& tensor : lora.tensors) {
    const std::string module = Shown(tensor.module);
    absl::StrAppend(&out, module, std::string(width - module.size(), ' '), "  rank ", tensor.rank,
                    ", keeps ", Percent(tensor.kept()), " of the ", of, "\n");
    least = std::min(least, tensor.rank);
    most = std::max(most, tensor.rank);
  }
  absl::StrAppend(
      &out, lora.tensors.size(), " layers, ",
      least >= most ? absl::StrCat("rank ", most) : absl::StrCat("ranks ", least, " to ", most),
      saved == 0 ? "" : absl::StrCat(", ", saved, " tensors whole"), ", ", FormatBytes(lora.bytes),
      "; keeps ", Percent(lora.kept()), " of the whole ", of, "\n");
  return out;
}

std::vector<std::string> ExtractWarnings(const ExtractedLora& lora) {
  struct Reason {
    std::string_view why;
    std::vector<std::string> names = {};
    size_t count = 0;
    double squares = 0;
  };
  std::vector<Reason> reasons;
  double all = 0;
  for (const ExtractedTensor& tensor : lora.tensors) all += tensor.squares;
  for (const BesideTensor& tensor : lora.beside) all += tensor.squares;
  for (const BesideTensor& tensor : lora.beside) {
    if (tensor.saved) continue;
    auto reason = std::find_if(reasons.begin(), reasons.end(),
                               [&](const Reason& r) { return r.why == tensor.why; });
    if (reason == reasons.end()) {
      reasons.push_back({tensor.why});
      reason = reasons.end() - 1;
    }
    ++reason->count;
    reason->squares += tensor.squares;
    if (reason->names.size() < kNamed) reason->names.push_back(Shown(tensor.name));
  }
  std::vector<std::string> warnings;
  for (Reason& reason : reasons) {
    if (reason.count > reason.names.size()) {
      reason.names.push_back(absl::StrCat(reason.count - reason.names.size(), " more"));
    }
    warnings.push_back(
        absl::StrCat(reason.count, reason.count == 1 ? " tensor differs" : " tensors differ",
                     " and the adapter does not have ", reason.count == 1 ? "it" : "them", " (",
                     std::string(reason.why), "): ", absl::StrJoin(reason.names, ", "),
                     "; lost with ", reason.count == 1 ? "it" : "them", " is ",
                     Percent(reason.squares / all), " of the whole difference"));
  }
  return warnings;
}

}  // namespace merganser
