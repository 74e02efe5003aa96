// Source: PEFT 0.21, BaseTuner._inject_parameters and lora.ParamWrapper.
#include "common/checkpoint/adapter_parameters.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/adapter_experts.h"
#include "common/checkpoint/adapter_factors.h"
#include "common/checkpoint/refusals.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// As classes declare them.
constexpr std::string_view kDeclared[] = {
    "gate_up_proj", "gate_up_proj_bias", "gate_proj",      "up_proj", "w1",
    "w3",           "down_proj",         "down_proj_bias", "w2"};

bool EndsInName(std::string_view module, std::string_view name) {
  if (!module.ends_with(name)) return false;
  return module.size() == name.size() || module[module.size() - name.size() - 1] == '.';
}

size_t DeclaredAt(const std::string& parameter) {
  return static_cast<size_t>(std::find(std::begin(kDeclared), std::end(kDeclared), parameter) -
                             std::begin(kDeclared));
}

std::optional<Shape> ShapeOf(const AdapterTargets& targets, const std::string& module,
                             const std::string& parameter) {
  if (const CheckpointTensor* tensor = targets.Find(absl::StrCat(module, ".", parameter))) {
    return tensor->shape;
  }
  if (auto split = FindSplitExperts(targets, module, parameter)) return std::move(split->shape);
  return std::nullopt;
}

class Assignment {
 public:
  // `pairs`: innermost first.
  Assignment(const AdapterTargets& targets, const std::vector<const AdapterModule*>& pairs,
             const std::vector<std::string>& parameters)
      : pairs_(pairs), parameters_(parameters), used_(parameters.size(), false) {
    for (const std::string& parameter : parameters) {
      shapes_.push_back(ShapeOf(targets, pairs[0]->name, parameter));
    }
  }

  // Indices of parameters, one a pair, of every way in which all fit; two at most.
  std::vector<std::vector<size_t>> Find() {
    Try();
    return std::move(found_);
  }
  // Whether pair p fits parameter q.
  bool Fits(size_t p, size_t q) const {
    return shapes_[q].has_value() && LayoutsThatFit(*shapes_[q], pairs_[p]->a->shape,
                                                    pairs_[p]->b->shape, /*embedding=*/false)
                                         .first.has_value();
  }

 private:
  void Try() {
    if (found_.size() == 2) return;
    const size_t p = current_.size();
    if (p == pairs_.size()) {
      found_.push_back(current_);
      return;
    }
    for (size_t q = 0; q < parameters_.size(); ++q) {
      if (used_[q] || !Fits(p, q)) continue;
      used_[q] = true;
      current_.push_back(q);
      Try();
      current_.pop_back();
      used_[q] = false;
    }
  }

  const std::vector<const AdapterModule*>& pairs_;
  const std::vector<std::string>& parameters_;
  std::vector<std::optional<Shape>> shapes_;
  std::vector<bool> used_;
  std::vector<size_t> current_;
  std::vector<std::vector<size_t>> found_;
};

}  // namespace

std::vector<std::string> ParametersOf(const AdapterConfig& config, std::string_view module) {
  std::vector<std::string> parameters;
  for (const std::string& name : config.target_parameters) {
    const size_t dot = name.rfind('.');
    const std::string leaf = dot == std::string::npos ? name : name.substr(dot + 1);
    if (leaf == "weight" ||
        (dot != std::string::npos && !EndsInName(module, name.substr(0, dot)))) {
      continue;
    }
    if (std::find(parameters.begin(), parameters.end(), leaf) == parameters.end()) {
      parameters.push_back(leaf);
    }
  }
  std::sort(parameters.begin(), parameters.end(), [](const auto& a, const auto& b) {
    return std::pair(DeclaredAt(a), std::string_view(a)) <
           std::pair(DeclaredAt(b), std::string_view(b));
  });
  return parameters;
}

std::vector<std::string> AssignParameters(const AdapterConfig& config,
                                          const AdapterContents& contents,
                                          const AdapterTargets& targets, AdapterFaults& faults) {
  constexpr size_t kMostPairs = 8;
  std::vector<std::string> assigned(contents.modules.size());
  std::map<std::string_view, std::vector<size_t>> wrapped;  // by module, outermost first
  for (size_t m = 0; m < contents.modules.size(); ++m) {
    if (!contents.modules[m].embedding) wrapped[contents.modules[m].name].push_back(m);
  }
  for (auto& [name, indices] : wrapped) {
    std::vector<std::string> parameters = ParametersOf(config, name);
    // A name without its module may be of any; those of this one are what it has.
    std::erase_if(parameters, [&](const std::string& parameter) {
      return !ShapeOf(targets, std::string(name), parameter).has_value();
    });
    const bool weight = targets.Find(absl::StrCat(std::string(name), ".weight")) != nullptr;
    if (parameters.empty() || (weight && indices.size() == 1)) continue;
    std::reverse(indices.begin(), indices.end());
    std::vector<const AdapterModule*> pairs;
    for (const size_t m : indices) pairs.push_back(&contents.modules[m]);
    std::vector<std::vector<size_t>> ways;
    if (pairs.size() <= kMostPairs && parameters.size() <= kMostPairs) {
      ways = Assignment(targets, pairs, parameters).Find();
    }
    // Several ways: the first is by the order of declaration, if all are known.
    const bool known =
        std::all_of(parameters.begin(), parameters.end(),
                    [](const std::string& one) { return DeclaredAt(one) < std::size(kDeclared); });
    const bool in_order = !ways.empty() && std::is_sorted(ways[0].begin(), ways[0].end());
    if (ways.empty() && pairs.size() == 1 && parameters.size() == 1) {
      assigned[indices[0]] = parameters[0];  // what does not fit is said of it
    } else if (ways.empty() ||
               (ways.size() > 1 && !(known && in_order && pairs.size() == parameters.size()))) {
      faults.Add(absl::StrCat(
          "tensor ", Quoted(pairs[0]->a->name), ": found ", pairs.size(),
          pairs.size() == 1 ? " pair" : " pairs", " of factors of module ", Quoted(name),
          ways.empty() ? ", which do not fit its parameters "
                       : ", whose shapes do not tell which of them is of which of its parameters ",
          FirstFew(parameters),
          ": is this the base that the adapter was trained on? If so, merge it into its base with "
          "PEFT's merge_and_unload(), and name the result"));
    } else {
      for (size_t p = 0; p < pairs.size(); ++p) assigned[indices[p]] = parameters[ways[0][p]];
    }
  }
  return assigned;
}

}  // namespace merganser
