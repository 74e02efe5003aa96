#include "common/checkpoint/adapter_expected.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/name_patterns.h"
#include "common/format/text.h"

namespace merganser {
namespace {

bool EndsInName(std::string_view module, std::string_view name) {
  if (!module.ends_with(name)) return false;
  return module.size() == name.size() || module[module.size() - name.size() - 1] == '.';
}

std::optional<uint64_t> NumberOf(std::string_view part) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc() || end != part.data() + part.size()) return std::nullopt;
  return number;
}

// The layer as PEFT tells it for layers_to_transform: the first number behind two names, or behind
// one of layers_pattern.
std::optional<uint64_t> LayerOf(std::string_view module, const std::vector<std::string>& patterns) {
  const NameParts parts = SplitName(module);
  for (size_t i = 1; i + 1 < parts.size(); ++i) {
    const std::optional<uint64_t> number = NumberOf(parts[i]);
    if (!number.has_value()) continue;
    const bool fits = patterns.empty() ? i >= 2
                                       : std::find(patterns.begin(), patterns.end(),
                                                   parts[i - 1]) != patterns.end();
    if (fits) return number;
  }
  return std::nullopt;
}

// "model.layers.0.mlp.experts.3.up_proj".
bool IsSingleExpert(std::string_view module) {
  const NameParts parts = SplitName(module);
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i] == "experts" && NumberOf(parts[i + 1]).has_value()) return true;
  }
  return false;
}

class Comparison {
 public:
  Comparison(const Checkpoint& base, const Adapter& adapter, const AdapterContents& contents,
             const AdapterTargets& targets)
      : base_(base), config_(adapter.config) {
    for (const AdapterModule& module : contents.modules) {
      found_.insert(module.name);
      experts_ = experts_ || IsSingleExpert(module.name);
    }
    for (const auto& [own, other] : targets.prefixes()) back_.emplace(other, own);
  }

  ExpectedModules Compare(AdapterFaults& faults) {
    for (const CheckpointTensor& tensor : base_.tensors) SeeTensor(tensor);
    for (const std::string& name : config_.target_modules.names) {
      const bool there = std::any_of(found_.begin(), found_.end(), [&](const std::string& module) {
        return EndsInName(module, name);
      });
      if (there) continue;
      if (const auto lost = lost_.find(name); lost != lost_.end()) {
        faults.Add(absl::StrCat("found nothing of ", Quoted(name),
                                ", which target_modules names and of which the base has ",
                                Quoted(lost->second),
                                "; expected its factors: was the adapter saved whole?"));
      } else if (in_experts_.contains(name)) {
        out_.only_experts.push_back(name);
      } else if (!config_.target_modules.pattern.has_value()) {
        faults.Add(absl::StrCat(
            "target_modules names ", Quoted(name),
            ", which serves no tensor: neither the file nor the base has such a module; expected "
            "names of the base's modules: is this the base that the adapter was trained on? If the "
            "name is meant for other models, take it out of adapter_config.json"));
      }
    }
    for (const std::string& name : config_.target_parameters) SeeParameter(name, faults);
    return std::move(out_);
  }

 private:
  // As the adapter calls it.
  std::string NameThere(std::string_view name) const {
    const auto [prefix, suffix] = SplitPrefix(name);
    const auto found = back_.find(prefix);
    return found == back_.end() ? std::string(name)
                                : absl::StrCat(found->second, std::string(suffix));
  }

  bool IsChosenLayer(std::string_view module) const {
    if (config_.layers.empty()) return true;
    const std::optional<uint64_t> layer = LayerOf(module, config_.layers_pattern);
    return layer.has_value() &&
           std::find(config_.layers.begin(), config_.layers.end(), *layer) != config_.layers.end();
  }

  bool IsSavedWhole(std::string_view module) const {
    return std::any_of(config_.modules_to_save.begin(), config_.modules_to_save.end(),
                       [&](const std::string& name) {
                         return EndsInName(module, name) ||
                                module.find(absl::StrCat(".", name, ".")) != std::string_view::npos;
                       });
  }

  void SeeTensor(const CheckpointTensor& tensor) {
    constexpr std::string_view kWeight = ".weight";
    if (config_.target_modules.empty() || tensor.shape.size() < 2 ||
        !tensor.name.ends_with(kWeight)) {
      return;
    }
    const std::string name = NameThere(tensor.name);
    const std::string module = name.substr(0, name.size() - kWeight.size());
    const std::string* target = config_.target_modules.Find(module);
    if (target == nullptr || config_.exclude_modules.Find(module) != nullptr ||
        !IsChosenLayer(module) || IsSavedWhole(module)) {
      return;
    }
    const bool found = found_.contains(module);
    if (!found && !experts_ && IsSingleExpert(module)) {
      in_experts_.insert(*target);
      return;
    }
    ++out_.count;
    if (found) return;
    out_.missing.push_back(module);
    lost_.emplace(*target, module);
  }

  void SeeParameter(const std::string& name, AdapterFaults& faults) {
    const size_t dot = name.rfind('.');
    const std::string module = dot == std::string::npos ? "" : name.substr(0, dot);
    uint64_t wrapped = 0;
    for (const std::string& one : found_) {
      if (module.empty() || EndsInName(one, module)) ++wrapped;
    }
    uint64_t there = 0;
    for (const CheckpointTensor& tensor : base_.tensors) {
      if (EndsInName(NameThere(tensor.name), name)) ++there;
    }
    out_.count += there > 0 ? there : wrapped;
    if (wrapped > 0) return;
    faults.Add(absl::StrCat("target_parameters names ", Quoted(name), ", of which the file has ",
                            "nothing and the base has ", there,
                            " tensors; expected factors of each: is this the base that the adapter "
                            "was trained on, and was the adapter saved whole?"));
  }

  const Checkpoint& base_;
  const AdapterConfig& config_;
  std::set<std::string> found_;  // modules of the file
  bool experts_ = false;         // some of them are single experts
  std::map<std::string, std::string, std::less<>> back_;
  std::map<std::string, std::string> lost_;  // a module of each target that the file lacks
  std::set<std::string> in_experts_;
  ExpectedModules out_;
};

}  // namespace

ExpectedModules CompareExpected(const Checkpoint& base, const Adapter& adapter,
                                const AdapterContents& contents, const AdapterTargets& targets,
                                AdapterFaults& faults) {
  return Comparison(base, adapter, contents, targets).Compare(faults);
}

}  // namespace merganser
