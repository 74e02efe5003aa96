#include "common/checkpoint/json_tree.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kMaxValues = 100'000;
constexpr size_t kMaxDepth = 32;

class TreeHandler final : public JsonHandler {
 public:
  explicit TreeHandler(JsonNode& root) : root_(root) {}

  absl::Status On(const JsonEvent& event) override {
    using Kind = JsonEvent::Kind;
    if (event.kind == Kind::kKey) {
      open_.back()->members.push_back({std::string(event.text), JsonNode()});
      return absl::OkStatus();
    }
    if (event.kind == Kind::kObjectEnd || event.kind == Kind::kArrayEnd) {
      MERGANSER_RETURN_IF_ERROR(CheckKeys(*open_.back()));
      open_.pop_back();
      return absl::OkStatus();
    }
    if (++values_ > kMaxValues) {
      return absl::DataLossError(
          absl::StrCat("found more than ", kMaxValues, " values, expected a small file"));
    }
    JsonNode& node = Place();
    switch (event.kind) {
      case Kind::kBool:
        node.kind = JsonNode::Kind::kBool;
        node.boolean = event.boolean;
        break;
      case Kind::kUnsigned:
        node.kind = JsonNode::Kind::kUnsigned;
        node.whole = event.number;
        node.number = event.real;
        break;
      case Kind::kNegative:
      case Kind::kReal:
        node.kind = JsonNode::Kind::kNumber;
        node.number = event.real;
        node.text = std::string(event.text);
        break;
      case Kind::kString:
        node.kind = JsonNode::Kind::kString;
        node.text = std::string(event.text);
        break;
      case Kind::kObjectBegin:
      case Kind::kArrayBegin:
        node.kind =
            event.kind == Kind::kObjectBegin ? JsonNode::Kind::kObject : JsonNode::Kind::kArray;
        open_.push_back(&node);
        break;
      default:
        break;
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status CheckKeys(const JsonNode& node) {
    std::vector<std::string_view> keys;
    keys.reserve(node.members.size());
    for (const JsonNode::Member& member : node.members) keys.emplace_back(member.key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("key ", Quoted(*twice), " is there twice"));
  }

  // Where the next value goes. Nodes that are open are the last of theirs, so that they stay.
  JsonNode& Place() {
    if (open_.empty()) return root_;
    JsonNode& parent = *open_.back();
    if (parent.kind == JsonNode::Kind::kObject) return parent.members.back().value;
    return parent.items.emplace_back();
  }

  JsonNode& root_;
  std::vector<JsonNode*> open_;
  size_t values_ = 0;
};

}  // namespace

bool JsonNode::says_nothing() const {
  switch (kind) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return !boolean;
    case Kind::kString:
      return text.empty();
    case Kind::kArray:
      return items.empty();
    case Kind::kObject:
      return members.empty();
    default:
      return false;
  }
}

std::string JsonNode::Describe() const {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return boolean ? "true" : "false";
    case Kind::kUnsigned:
      return absl::StrCat(whole);
    case Kind::kNumber:
      return text.empty() ? absl::StrCat(number) : text;
    case Kind::kString:
      return Quoted(text);
    case Kind::kArray:
      return absl::StrCat("a list of ", items.size());
    case Kind::kObject:
      return "an object";
  }
  return "";
}

absl::StatusOr<JsonNode> ParseJsonTree(std::string_view text) {
  JsonNode root;
  TreeHandler handler(root);
  MERGANSER_RETURN_IF_ERROR(ReadJson(text, kMaxDepth, handler));
  return root;
}

}  // namespace merganser
