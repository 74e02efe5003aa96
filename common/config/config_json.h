// config.json of an output: the reference's own, with the dtype that was written, the
// layers that it has, and whether its embeddings are tied.
#ifndef MERGANSER_COMMON_CONFIG_CONFIG_JSON_H_
#define MERGANSER_COMMON_CONFIG_CONFIG_JSON_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/json_key.h"
#include "common/plan/plan.h"

namespace merganser {

// The name ("bfloat16") of the float dtype that most parameters of the output
// have; the first tensor's on a tie, empty when no tensor is of a float dtype.
std::string DominantTorchDtype(const Plan& plan);

// What the output's config.json says otherwise than the reference's. With no
// `origins` it has the reference's layers.
struct ConfigChanges {
  uint64_t reference_layers = 0;  // what the reference's config.json says
  // Of every layer of the output, the reference's layer whose place it takes in what
  // the config says of layers (EditLayers).
  std::vector<uint64_t> origins;
  // Written to the top and to a nested text_config, there or not; none: kept.
  std::optional<bool> tie_word_embeddings;
  // Written where the top or text_config has the key: the rows of the embeddings.
  std::optional<uint64_t> vocab_size;
  // Keys there that are left out: they say that weights are quantised, and the output's are not.
  std::vector<std::string> dropped;
  // Values of other keys there, as JSON text.
  JsonValues top, text_config;
};

// Lines that begin with a key: the file's name goes before them.
struct ConfigRemarks {
  std::vector<std::string> warnings, notes;
};

// `text` with the value of `torch_dtype` and `dtype` replaced by `torch_dtype`
// wherever the object itself, or one nested in it under a key that ends in
// "_config", has such a key with a string or, at the top, null. If none has,
// `torch_dtype` is added at the end. With an empty `torch_dtype` nothing of that
// is replaced.
//
// With `changes.origins`, the number of layers is replaced at the top and in a nested
// text_config, and what the config says of layers by their number is as EditLayers
// has it; what that warns of and notes goes to `remarks`, unless null.
//
// All other keys and values, their order and the spelling of fractional numbers
// are kept; white space is not. kInvalidArgument when `text` is no JSON object, has
// neither a number of layers nor a list that counts them, or a list that lacks a
// layer; `what` names the file.
absl::StatusOr<std::string> RewriteConfig(std::string_view text, std::string_view torch_dtype,
                                          std::string_view what, const ConfigChanges& changes = {},
                                          ConfigRemarks* remarks = nullptr);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_CONFIG_JSON_H_
