#include "common/recipe/model_ref_reader.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/yaml_scalar.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

bool IsWord(std::string_view text, std::string_view others) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           others.find(c) != std::string_view::npos;
  });
}

// Whether it may be "org/name" of the hub: what is one for certain is known where it is looked for.
bool MayBeHubName(std::string_view text) {
  return IsWord(text, "._-/") && std::count(text.begin(), text.end(), '/') <= 1 &&
         absl::ascii_isalnum(static_cast<unsigned char>(text.front())) && text.back() != '/';
}

bool MayBeRevision(std::string_view text) {
  return IsWord(text, "._-/+") && text.find("..") == std::string_view::npos &&
         text.front() != '/' && text.back() != '/';
}

constexpr std::string_view kRevision =
    " is not supported by this version: only an org/name of the Hugging Face cache has revisions; "
    "name the folder that holds it";

}  // namespace

absl::Status ReadNameText(const YamlNode& node, const std::string& key, const std::string& expected,
                          const RecipeMessages& messages, std::string& out) {
  if (node.kind != YamlNode::Kind::kScalar) return messages.Wrong(node, key, expected);
  const absl::StatusOr<std::variant<bool, double, std::string>> scalar = ReadScalar(node);
  if (!scalar.ok() || !std::holds_alternative<std::string>(*scalar)) {
    return messages.Wrong(node, key,
                          absl::StrCat(expected, " (in quotes if it looks like a number)"));
  }
  if (node.text.empty()) return messages.Wrong(node, key, expected);
  out = node.text;
  return absl::OkStatus();
}

absl::Status ModelRefReader::Read(const YamlNode& node, const std::string& key,
                                  std::string& out) const {
  ModelRef ref;
  MERGANSER_RETURN_IF_ERROR(ReadRef(node, key, ref));
  out = node.kind == YamlNode::Kind::kMap ? ModelRefText(ref) : node.text;
  return TakeName(node.line, key, ref, out);
}

absl::Status ModelRefReader::ReadWithAdapters(const YamlNode& node, const std::string& key,
                                              const YamlNode& lora, const std::string& lora_key,
                                              std::string& out) const {
  ModelRef ref;
  MERGANSER_RETURN_IF_ERROR(ReadRef(node, key, ref));
  MERGANSER_RETURN_IF_ERROR(ReadAdapters(lora, lora_key, ref));
  out = ModelRefText(ref);
  return TakeName(node.line, key, ref, out);
}

absl::Status ModelRefReader::TakeName(int line, const std::string& key, const ModelRef& ref,
                                      const std::string& name) const {
  bool clear = true;
  if (ref.adapters.empty()) {
    plain_.insert(name);
    clear = !adapted_.contains(name);
  } else {
    const auto [known, added] = adapted_.emplace(name, ref);
    clear = !plain_.contains(name) && (added || known->second == ref);
  }
  if (clear) return absl::OkStatus();
  return messages_.Error(line, key,
                         absl::StrCat("found ", Shown(name),
                                      ", which is written otherwise elsewhere in the recipe and "
                                      "then means another model (a path with '+', or a model with "
                                      "adapters); expected one form for it: {path: ...} for the "
                                      "one, {model: ..., lora: ...} for the other"));
}

absl::Status ModelRefReader::ReadRef(const YamlNode& node, const std::string& key,
                                     ModelRef& out) const {
  return node.kind == YamlNode::Kind::kMap ? ReadLong(node, key, out) : ReadText(node, key, out);
}

absl::Status ModelRefReader::ReadText(const YamlNode& node, const std::string& key,
                                      ModelRef& out) const {
  MERGANSER_RETURN_IF_ERROR(ReadLocation(node, key, out.path));
  std::optional<ModelRef> split = SplitModelText(out.path);
  if (!split.has_value()) return CheckPart(node, key, out.path);
  if (split->adapters.size() > kMaxAdapters) {
    return messages_.Error(node.line, key,
                           absl::StrCat("found ", split->adapters.size(),
                                        " adapters of one model, expected at most ", kMaxAdapters));
  }
  MERGANSER_RETURN_IF_ERROR(CheckPart(node, key, split->path));
  for (const ModelAdapter& adapter : split->adapters) {
    MERGANSER_RETURN_IF_ERROR(CheckPart(node, key, adapter.path));
  }
  out = *std::move(split);
  return absl::OkStatus();
}

// A model, or one side of a '+', that is written as text.
absl::Status ModelRefReader::CheckPart(const YamlNode& node, const std::string& key,
                                       const std::string& part) const {
  if (part.empty()) {
    return messages_.Error(node.line, key,
                           absl::StrCat("found ", DescribeNode(node),
                                        ", expected a model on the left of '+' and an adapter on "
                                        "the right; a path with this character is written "
                                        "{path: ...}"));
  }
  const absl::Status clean = CheckNoSecrets(part);
  if (!clean.ok()) return messages_.Error(node.line, key, std::string(clean.message()));
  if (part.find("://") != std::string::npos) return absl::OkStatus();
  const size_t at = part.find('@');
  const std::string_view name = std::string_view(part).substr(0, at);
  if (at == std::string::npos ||
      (MayBeHubName(name) && MayBeRevision(std::string_view(part).substr(at + 1)))) {
    return absl::OkStatus();
  }
  return messages_.Error(
      node.line, key,
      absl::StrCat("found ", DescribeNode(node), ": a revision (@)", std::string(kRevision),
                   "; a path with this character is written {path: ...}"));
}

// A recipe is put on record and shown, and nothing in it may be a secret.
absl::Status ModelRefReader::ReadLocation(const YamlNode& node, const std::string& key,
                                          std::string& out) const {
  MERGANSER_RETURN_IF_ERROR(ReadNameText(node, key, "a model's path", messages_, out));
  const absl::Status clean = CheckNoSecrets(out);
  return clean.ok() ? clean : messages_.Error(node.line, key, std::string(clean.message()));
}

absl::Status ModelRefReader::ReadLong(const YamlNode& node, const std::string& key,
                                      ModelRef& out) const {
  const std::vector<std::string_view> known = {"path", "lora"};
  const YamlNode::Member* inner = node.Find("model");
  const YamlNode::Member* revision = nullptr;
  const YamlNode::Member* lora = nullptr;
  for (const YamlNode::Member& part : node.members) {
    const std::string part_key = absl::StrCat(key, ".", Shown(part.key));
    const RecipeKey* row = FindRecipeKey(KeyPlace::kReference, part.key);
    if (row == nullptr) return messages_.Unknown(part, key, known);
    if (&part == inner) continue;
    if (part.value->kind == YamlNode::Kind::kNull && part.key != "path") continue;
    if (row->verdict == KeyVerdict::kRefused) {
      return messages_.Error(part.line, part_key, std::string(row->about));
    }
    if (row->verdict == KeyVerdict::kNoted) {
      notes_.push_back(messages_.WithoutEffect(part.line, part_key, row->about));
    } else if (part.key == "revision") {
      revision = &part;
    } else if (part.key == "lora") {
      lora = &part;
    } else {
      MERGANSER_RETURN_IF_ERROR(ReadLocation(*part.value, part_key, out.path));
    }
  }
  const std::string revision_key = absl::StrCat(key, ".revision");
  if (inner != nullptr) {
    const std::string inner_key = absl::StrCat(key, ".model");
    if (revision != nullptr) {
      return messages_.Error(revision->line, revision_key,
                             "found beside model, expected it beside path");
    }
    if (!out.path.empty()) {
      return messages_.Error(node.line, key, "both path and model, expected one of them");
    }
    if (inner->value->kind != YamlNode::Kind::kMap) {
      MERGANSER_RETURN_IF_ERROR(ReadText(*inner->value, inner_key, out));
    } else if (const YamlNode::Member* again = inner->value->Find("model"); again != nullptr) {
      return messages_.Unknown(*again, inner_key, known);
    } else {
      MERGANSER_RETURN_IF_ERROR(ReadLong(*inner->value, inner_key, out));
    }
  } else if (out.path.empty()) {
    return messages_.Error(node.line, absl::StrCat(key, ".path"),
                           "missing, expected a model's path");
  } else if (revision != nullptr) {
    MERGANSER_RETURN_IF_ERROR(ReadRevision(*revision, revision_key, out.path));
  }
  if (lora == nullptr) return absl::OkStatus();
  return ReadAdapters(*lora->value, absl::StrCat(key, ".lora"), out);
}

absl::Status ModelRefReader::ReadRevision(const YamlNode::Member& revision, const std::string& key,
                                          std::string& path) const {
  std::string text;
  if (revision.value->kind == YamlNode::Kind::kScalar) text = revision.value->text;
  if (text.empty() || !MayBeRevision(text)) {
    return messages_.Wrong(*revision.value, key, "a branch, a tag or a commit");
  }
  if (!MayBeHubName(path)) {
    return messages_.Error(revision.line, key,
                           absl::StrCat("found ", DescribeNode(*revision.value), ": a revision of ",
                                        Shown(path), std::string(kRevision)));
  }
  absl::StrAppend(&path, "@", text);
  return absl::OkStatus();
}

// One adapter or a list of them.
absl::Status ModelRefReader::ReadAdapters(const YamlNode& node, const std::string& key,
                                          ModelRef& out) const {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  // What is taken apart is no text that may be a path.
  out.may_be_path = false;
  if (node.kind != YamlNode::Kind::kSequence) return ReadAdapter(node, key, out);
  for (size_t i = 0; i < node.items.size(); ++i) {
    MERGANSER_RETURN_IF_ERROR(ReadAdapter(*node.items[i], absl::StrCat(key, "[", i, "]"), out));
  }
  return absl::OkStatus();
}

absl::Status ModelRefReader::ReadAdapter(const YamlNode& node, const std::string& key,
                                         ModelRef& out) const {
  if (out.adapters.size() == kMaxAdapters) {
    return messages_.Error(
        node.line, key,
        absl::StrCat("found more than ", kMaxAdapters, " adapters of one model, expected fewer"));
  }
  ModelAdapter adapter;
  if (node.kind != YamlNode::Kind::kMap) {
    MERGANSER_RETURN_IF_ERROR(ReadNameText(
        node, key, "an adapter's path, or a map with path and weight", messages_, adapter.path));
    MERGANSER_RETURN_IF_ERROR(CheckPart(node, key, adapter.path));
    out.adapters.push_back(std::move(adapter));
    return absl::OkStatus();
  }
  const YamlNode::Member* revision = nullptr;
  for (const YamlNode::Member& part : node.members) {
    const std::string part_key = absl::StrCat(key, ".", Shown(part.key));
    const RecipeKey* row = FindRecipeKey(KeyPlace::kAdapter, part.key);
    if (row == nullptr) return messages_.Unknown(part, key, KnownKeys(KeyPlace::kAdapter));
    if (part.key == "path") {
      MERGANSER_RETURN_IF_ERROR(ReadLocation(*part.value, part_key, adapter.path));
    } else if (part.value->kind == YamlNode::Kind::kNull) {
      continue;
    } else if (part.key == "revision") {
      revision = &part;
    } else if (row->verdict == KeyVerdict::kNoted) {
      notes_.push_back(messages_.WithoutEffect(part.line, part_key, row->about));
    } else {
      const absl::StatusOr<std::variant<bool, double, std::string>> scalar =
          part.value->kind == YamlNode::Kind::kScalar
              ? ReadScalar(*part.value)
              : absl::StatusOr<std::variant<bool, double, std::string>>(false);
      const double* number = scalar.ok() ? std::get_if<double>(&*scalar) : nullptr;
      if (number == nullptr || !std::isfinite(*number)) {
        return messages_.Wrong(*part.value, part_key, "a number");
      }
      adapter.weight = *number;
    }
  }
  if (adapter.path.empty()) {
    return messages_.Error(node.line, absl::StrCat(key, ".path"),
                           "missing, expected an adapter's path");
  }
  if (revision != nullptr) {
    MERGANSER_RETURN_IF_ERROR(
        ReadRevision(*revision, absl::StrCat(key, ".revision"), adapter.path));
  }
  out.adapters.push_back(std::move(adapter));
  return absl::OkStatus();
}

}  // namespace merganser
