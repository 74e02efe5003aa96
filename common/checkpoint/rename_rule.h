// One way to turn the names of a model into those of another, as read off a pair of names.
// Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_RENAME_RULE_H_
#define MERGANSER_COMMON_CHECKPOINT_RENAME_RULE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

// Whole components of names: `from` becomes `to`. Either may be empty.
struct Rewrite {
  enum class Where {
    kFront,   // what names begin with
    kWithin,  // every place in a name
    kLast,    // the last component
  };
  Where where = Where::kFront;
  std::string from;  // "transformer.h"
  std::string to;

  // The reference has a wrapper within its names: nothing in the model's says where.
  bool inserts() const { return where == Where::kWithin && from.empty(); }
  bool operator==(const Rewrite&) const = default;
};

// Rewrites that are done in this order, each where it applies.
struct RenameRule {
  std::vector<Rewrite> rewrites;

  // For use as a key.
  std::string Text() const;
  bool operator==(const RenameRule&) const = default;
};

// `name` by one rewrite; nullopt where it does not apply, or inserts.
std::optional<std::string> Rewritten(const Rewrite& rewrite, std::string_view name);

// By all rewrites of the rule but those that insert.
std::string Rewritten(const RenameRule& rule, std::string_view name);

// A name of the reference without what the rule inserts; nullopt where it inserts nothing
// there.
std::optional<std::string> WithoutInserted(const RenameRule& rule, std::string_view name);

// "gamma" and "beta" as older checkpoints call the weight and bias of a norm: with the usual
// last component. Others as they are.
std::string UsualName(std::string_view name);

// The rules that turn `name` into `reference`, both without numbers (NumberlessName): the
// whole of it first, then its parts. They end alike, but for UsualName. Empty where what
// they share says too little: they must end in two components alike, or one must be the end
// of the other.
std::vector<RenameRule> RulesFor(std::string_view name, std::string_view reference);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_RENAME_RULE_H_
