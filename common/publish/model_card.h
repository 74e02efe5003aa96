// The README.md of an output, as the Hugging Face hub reads it.
#ifndef MERGANSER_COMMON_PUBLISH_MODEL_CARD_H_
#define MERGANSER_COMMON_PUBLISH_MODEL_CARD_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/plan/plan.h"

namespace merganser {

// What a model is called in public: "org/name" when it was given so or lies in a
// Hugging Face cache, else the last segment of its path. Local paths are not
// told to the world.
std::string DisplayModel(const PlannedModel& model);

// YAML front matter, a table of the models, the method with its parameters, the keys of
// config.json at which models differ, and the recipe verbatim; `warnings` stand below the method.
// Depends on these alone. Names are
// escaped: whatever a model or parameter is called, it stays a scalar of the YAML and a cell of the
// table.
std::string ModelCard(const Plan& plan, const std::vector<std::string>& warnings = {});

// `text` as a double-quoted YAML scalar on one line. Bytes that are not UTF-8
// become U+FFFD.
std::string YamlQuoted(std::string_view text);

// `text` as the content of a markdown table cell.
std::string MarkdownCell(std::string_view text);

// A code fence that nothing in `text` can close: at least three backticks.
std::string FenceFor(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_MODEL_CARD_H_
