// config.json of an output: the reference's own, with the dtype that was written.
#ifndef MERGANSER_COMMON_ENGINE_CONFIG_JSON_H_
#define MERGANSER_COMMON_ENGINE_CONFIG_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"

namespace merganser {

// The name ("bfloat16") of the float dtype that most parameters of the output
// have; the first tensor's on a tie, empty when no tensor is of a float dtype.
std::string DominantTorchDtype(const Plan& plan);

// `text` with the value of `torch_dtype` and `dtype` replaced by `torch_dtype`
// wherever the object itself, or one nested in it under a key that ends in
// "_config", has such a key with a string or, at the top, null. If none has,
// `torch_dtype` is added at the end. All other keys and values, their order and
// the spelling of fractional numbers are kept; white space is not. With an empty
// `torch_dtype` nothing is replaced. kInvalidArgument when `text` is no JSON
// object; `what` names the file.
absl::StatusOr<std::string> RewriteConfig(std::string_view text, std::string_view torch_dtype,
                                          std::string_view what);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_CONFIG_JSON_H_
