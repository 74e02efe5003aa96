// Single keys of a JSON file, with all else left as it is.
#ifndef MERGANSER_COMMON_CONFIG_JSON_KEY_H_
#define MERGANSER_COMMON_CONFIG_JSON_KEY_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

// `text` with `value`, a text, at the top's `key`, whatever stood there; added at the end where
// nothing did. All other keys and values, their order and the spelling of numbers are kept; white
// space is not. kInvalidArgument when `text` is no JSON object; `what` names the file.
absl::StatusOr<std::string> WithTextKey(std::string_view text, std::string_view key,
                                        std::string_view value, std::string_view what);

// The value of a key, as JSON text.
struct JsonValue {
  std::string json;
  bool add = false;  // where nothing stood, at the end of its object
  bool operator==(const JsonValue&) const = default;
};
using JsonValues = std::map<std::string, JsonValue, std::less<>>;

// As WithTextKey, with several keys: `top` at the top, `text_config` in the object of this name at
// the top, where there is one. What is to be added is, in the order of the keys.
absl::StatusOr<std::string> WithKeys(std::string_view text, const JsonValues& top,
                                     const JsonValues& text_config, std::string_view what);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_JSON_KEY_H_
