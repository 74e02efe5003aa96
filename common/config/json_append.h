// Elements put behind the last of arrays and objects of a JSON text, all else of which stays as it
// is, byte for byte: a tokenizer.json has 20 MB, of which little changes. Pure.
#ifndef MERGANSER_COMMON_CONFIG_JSON_APPEND_H_
#define MERGANSER_COMMON_CONFIG_JSON_APPEND_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

// A member of an object: where its value stands in the text, [begin, end).
struct JsonMember {
  std::string key;
  size_t begin = 0;
  size_t end = 0;
};
// Those of the object that begins at byte `begin` of `text`, which is valid JSON; the first is at
// white space or the brace. None of a value that is no object.
std::vector<JsonMember> JsonMembers(std::string_view text, size_t begin = 0);
// The value at `path`, a key a level, of the valid JSON `text`. nullopt where it has none.
std::optional<std::string_view> JsonAt(std::string_view text,
                                       const std::vector<std::string_view>& path);

// How a text is laid out, by what stands before its first key.
struct JsonLayout {
  std::string indent;  // of one level; empty where all stands on one line
  std::string space;   // behind colons, and behind commas on one line
  bool lines = false;
};
JsonLayout LayoutOf(std::string_view text);
// `items` between `open` and `close`, at the depth of their container: 0 for the top.
std::string EncloseJson(const JsonLayout& layout, size_t depth, char open, char close,
                        const std::vector<std::string>& items);

// What comes behind the last element of the array or object at `path`. Items of an object are
// members: `"key": value`, written by the text's layout.
struct JsonAddition {
  std::vector<std::string_view> path;
  std::vector<std::string> items;
};
// `text`, valid JSON, with all of `additions`. nullopt where a path leads to no array or object.
std::optional<std::string> AppendJson(std::string_view text,
                                      const std::vector<JsonAddition>& additions);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_JSON_APPEND_H_
