#include "common/recipe/model_ref_reader.h"

#include <algorithm>
#include <cstddef>
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
  if (node.kind == YamlNode::Kind::kMap) return ReadLong(node, key, out);
  MERGANSER_RETURN_IF_ERROR(ReadLocation(node, key, out));
  if (out.find("://") != std::string::npos) return absl::OkStatus();
  const size_t at = out.find('@');
  const std::string_view name = std::string_view(out).substr(0, at);
  if (name.find('+') == std::string_view::npos && at == std::string::npos) return absl::OkStatus();
  const bool revision = at != std::string::npos && MayBeHubName(name) &&
                        MayBeRevision(std::string_view(out).substr(at + 1));
  // In a revision a '+' would be an adapter too.
  if (revision && out.find('+') == std::string::npos) return absl::OkStatus();
  const bool adapter = out.find('+') != std::string::npos;
  return messages_.Error(
      node.line, key,
      absl::StrCat("found ", DescribeNode(node), ": ",
                   adapter ? "an adapter (+lora) is not supported by this version: merge it into "
                             "its model first, and name the result"
                           : absl::StrCat("a revision (@)", std::string(kRevision)),
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
                                      std::string& out) const {
  const std::vector<std::string_view> known = {"path"};
  const YamlNode::Member* inner = node.Find("model");
  const YamlNode::Member* revision = nullptr;
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
    } else {
      MERGANSER_RETURN_IF_ERROR(ReadLocation(*part.value, part_key, out));
    }
  }
  if (inner != nullptr) {
    const std::string inner_key = absl::StrCat(key, ".model");
    if (revision != nullptr) {
      return messages_.Error(revision->line, absl::StrCat(key, ".revision"),
                             "found beside model, expected it beside path");
    }
    if (!out.empty()) {
      return messages_.Error(node.line, key, "both path and model, expected one of them");
    }
    if (inner->value->kind != YamlNode::Kind::kMap) return Read(*inner->value, inner_key, out);
    if (const YamlNode::Member* again = inner->value->Find("model"); again != nullptr) {
      return messages_.Unknown(*again, inner_key, known);
    }
    return ReadLong(*inner->value, inner_key, out);
  }
  if (out.empty()) {
    return messages_.Error(node.line, absl::StrCat(key, ".path"),
                           "missing, expected a model's path");
  }
  if (revision == nullptr) return absl::OkStatus();
  const std::string revision_key = absl::StrCat(key, ".revision");
  std::string text;
  if (revision->value->kind == YamlNode::Kind::kScalar) text = revision->value->text;
  if (text.empty() || !MayBeRevision(text)) {
    return messages_.Wrong(*revision->value, revision_key, "a branch, a tag or a commit");
  }
  if (!MayBeHubName(out)) {
    return messages_.Error(revision->line, revision_key,
                           absl::StrCat("found ", DescribeNode(*revision->value),
                                        ": a revision of ", Shown(out), std::string(kRevision)));
  }
  absl::StrAppend(&out, "@", text);
  return absl::OkStatus();
}

}  // namespace merganser
