// Small JSON files as a tree. Private to this folder.
//
// A tree of our own beside nlohmann's, as somebody else's configuration is read by ReadJson: a key
// that is there twice is an error and not the last of the two, members keep their order (PEFT takes
// the first pattern that fits), numbers are told as they are written, and depth and size are
// bounded while the text is read.
#ifndef MERGANSER_COMMON_CHECKPOINT_JSON_TREE_H_
#define MERGANSER_COMMON_CHECKPOINT_JSON_TREE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser {

struct JsonNode {
  struct Member;
  enum class Kind { kNull, kBool, kUnsigned, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  uint64_t whole = 0;  // kUnsigned
  double number = 0;   // kUnsigned, kNumber
  std::string text;
  std::vector<JsonNode> items;
  std::vector<Member> members;

  // null, false, "", [] and {}: a key that holds no more says nothing.
  bool says_nothing() const;
  // "the string \"x\"", "an array", for messages.
  std::string Describe() const;
};

struct JsonNode::Member {
  std::string key;
  JsonNode value;
};

// kDataLoss as ReadJson; also of a text that has more than 100,000 values or a key twice.
absl::StatusOr<JsonNode> ParseJsonTree(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_JSON_TREE_H_
