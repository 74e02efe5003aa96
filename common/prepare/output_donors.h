// Whose configuration and small files an output gets.
#ifndef MERGANSER_COMMON_PREPARE_OUTPUT_DONORS_H_
#define MERGANSER_COMMON_PREPARE_OUTPUT_DONORS_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/config/config_json.h"

namespace merganser {

// The checkpoints must outlive it.
struct OutputDonors {
  // The tokenizer as well is that of the reference.
  OutputDonors(const Checkpoint& of)  // NOLINT: the usual case
      : reference(&of), tokenizer(&of) {}

  const Checkpoint* reference;
  const Checkpoint* tokenizer;
  ConfigChanges config;
  // Of a tokenizer that no model has, by name; and those of the tokenizer's model that would
  // contradict them.
  std::map<std::string, std::string, std::less<>> tokenizer_files;
  std::vector<std::string> left_out;
  // Of the tokenizer, in the place of its own; none: it keeps it.
  std::optional<std::string> chat_template;
  // The text of generation_config.json, in the place of the reference's; none: it is that.
  std::optional<std::string> generation_config;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_PREPARE_OUTPUT_DONORS_H_
