#include "common/checkpoint/config_checks.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// Classes that hold a model of any kind.
constexpr std::string_view kWrappers[] = {"optimizedmodule",         "fullyshardeddataparallel",
                                          "distributeddataparallel", "dataparallel",
                                          "deepspeedengine",         "peftmodel",
                                          "peftmodelforcausallm"};

// What wrappers put before a class.
constexpr std::string_view kPrefixes[] = {"fsdp", "ddp", "parallel", "peft"};

bool IsWrapper(std::string_view folded) {
  return std::find(std::begin(kWrappers), std::end(kWrappers), folded) != std::end(kWrappers);
}

bool IsWrapped(std::string_view folded, std::string_view plain) {
  return std::any_of(std::begin(kPrefixes), std::end(kPrefixes), [&](std::string_view prefix) {
    return folded.starts_with(prefix) && folded.substr(prefix.size()) == plain;
  });
}

bool DifferInSpelling(std::string_view one, std::string_view other) {
  const std::string a = absl::AsciiStrToLower(std::string(one));
  const std::string b = absl::AsciiStrToLower(std::string(other));
  return a == b || IsWrapper(a) || IsWrapper(b) || IsWrapped(a, b) || IsWrapped(b, a);
}

}  // namespace

absl::StatusOr<std::string> CompareKinds(const Checkpoint& model, const Checkpoint& reference) {
  const auto differ = [&](std::string_view key, const std::string& found,
                          const std::string& expected) {
    return absl::StrCat(model.store->Describe("config.json"), ": ", std::string(key), " is ",
                        Quoted(found), ", expected ", Quoted(expected), " as in ",
                        reference.store->Describe("config.json"),
                        ": the models are not of one kind");
  };
  const ModelConfig& mine = model.config;
  const ModelConfig& theirs = reference.config;
  const auto known = [](const std::string& a, const std::string& b) {
    return !a.empty() && !b.empty() && a != b;
  };
  if (known(mine.model_type, theirs.model_type)) {
    return absl::InvalidArgumentError(differ("model_type", mine.model_type, theirs.model_type));
  }
  if (!known(mine.architecture, theirs.architecture)) return std::string();
  if (!DifferInSpelling(mine.architecture, theirs.architecture)) {
    return absl::InvalidArgumentError(
        differ("architectures", mine.architecture, theirs.architecture));
  }
  return absl::StrCat("model ", Quoted(model.given), ": config.json: architectures is ",
                      Quoted(mine.architecture), ", taken for ", Quoted(theirs.architecture),
                      " of model ", Quoted(reference.given),
                      ", which the output gets: they differ by a wrapper's spelling alone");
}

}  // namespace merganser
