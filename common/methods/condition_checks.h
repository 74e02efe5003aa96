// What a recipe's conditions come to over all tensors of a merge, where that is hardly what was
// meant: filters that meet nothing, conditions that are never reached, weights that a model has for
// some of its tensors alone.
#ifndef MERGANSER_COMMON_METHODS_CONDITION_CHECKS_H_
#define MERGANSER_COMMON_METHODS_CONDITION_CHECKS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/methods/resolved_method.h"

namespace merganser {

// Not thread-safe. `resolved` must outlive it.
class ConditionChecks {
 public:
  explicit ConditionChecks(const ResolvedMethod& resolved);

  // A tensor that is merged. `alias`: by another name that it has, whose parameters are none.
  void See(const TensorPlace& place, bool alias = false);

  // One line each, "SOURCE:LINE: key 'parameters.KEY': ...", in the recipe's order.
  std::vector<std::string> Warnings() const;

 private:
  // A parameter of one place of the recipe, and what has met its conditions so far.
  struct Watched {
    std::string key;
    const RecipeSetting* setting = nullptr;
    bool per_model = false;
    std::optional<size_t> slice;   // none: of all of them
    std::optional<size_t> source;  // of the slice, counted as in it; none: of all of them
    std::vector<bool> met;         // by a tensor that no earlier condition took
    std::vector<bool> hidden;      // by one that an earlier condition took
  };
  // Of a model whose weight stands under filters only.
  struct Bare {
    size_t slice = 0, source = 0;
    int line = 0;  // of the setting
    size_t tensors = 0;
    std::vector<std::string> without;  // the first few that meet none
    size_t count = 0;                  // all of them
  };

  void Watch(const RecipeParameters& parameters, std::optional<size_t> slice,
             std::optional<size_t> source);
  void WatchWeights();
  void Meet(Watched& watched, std::string_view name) const;

  const ResolvedMethod& resolved_;
  std::vector<Watched> watched_;
  std::vector<Bare> bare_;
  std::string first_;  // a tensor's name, to show what names look like
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_CONDITION_CHECKS_H_
