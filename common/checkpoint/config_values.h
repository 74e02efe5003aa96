// config.json as the values that it holds, so that two files can be compared. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_CONFIG_VALUES_H_
#define MERGANSER_COMMON_CHECKPOINT_CONFIG_VALUES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace merganser {

struct ConfigValue {
  std::string key;    // where it stands in its file: "text_config.rope_theta"
  std::string value;  // in one spelling: 1e-05 is 0.00001, 10000.0 is 10000
  std::string shown;  // as it is written
};

// By keys; those of nested objects behind dots.
using ConfigValues = std::map<std::string, ConfigValue, std::less<>>;

// All values of a JSON object, lists as one value each. What stands for nothing is left out: null,
// "", [] and {}. Of text that is no such JSON, which ParseModelConfig refuses, what could be read.
ConfigValues ReadConfigValues(std::string_view text);

// The value as a whole number; none where there is none, or another value.
std::optional<uint64_t> WholeValue(const ConfigValues& values, std::string_view key);

// "a.b.c" -> "a.b." and "c".
std::string_view KeyPrefix(std::string_view path);
std::string_view KeyLeaf(std::string_view path);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CONFIG_VALUES_H_
