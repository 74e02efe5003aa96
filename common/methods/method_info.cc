#include "common/methods/method_info.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

absl::Status Lacks(const MethodConfig& config, const std::string& key) {
  return absl::InvalidArgumentError(absl::StrCat(
      "method ", config.method, " without parameter '", key,
      "': the plan was made by another version of merganser; run the same one everywhere"));
}

}  // namespace

absl::StatusOr<double> GetNumber(const MethodConfig& config, const std::string& key) {
  const auto it = config.numbers.find(key);
  if (it == config.numbers.end()) return Lacks(config, key);
  return it->second;
}

absl::StatusOr<std::string> GetChoice(const MethodConfig& config, const std::string& key) {
  const auto it = config.choices.find(key);
  if (it == config.choices.end()) return Lacks(config, key);
  return it->second;
}

absl::StatusOr<std::vector<double>> GetPerModel(const MethodConfig& config,
                                                const std::string& key) {
  std::vector<double> values;
  for (const auto& model : config.per_model) {
    const auto it = model.find(key);
    if (it == model.end()) return Lacks(config, key);
    values.push_back(it->second);
  }
  return values;
}

}  // namespace merganser
