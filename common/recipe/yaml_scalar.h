// What a plain YAML scalar stands for. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_YAML_SCALAR_H_
#define MERGANSER_COMMON_RECIPE_YAML_SCALAR_H_

#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// A quoted scalar is a string. A plain one is a boolean (true, false, and yes,
// no, on, off as PyYAML has them), a decimal number, or else a string.
// kInvalidArgument, without place, for numbers that are not finite, out of the
// range of float64, or that YAML 1.1 and 1.2 read differently (010).
absl::StatusOr<std::variant<bool, double, std::string>> ReadScalar(const YamlNode& node);

// What was found, for messages: `"one"`, `5`, `a list`, `a map`, `nothing`.
std::string DescribeNode(const YamlNode& node);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_YAML_SCALAR_H_
