// The numbers of tokens that config.json and generation_config.json name, where the output's
// tokenizer is not the reference's. Private to this folder.
#ifndef MERGANSER_COMMON_PREPARE_TOKEN_NUMBERS_H_
#define MERGANSER_COMMON_PREPARE_TOKEN_NUMBERS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/json_key.h"
#include "common/prepare/prepare.h"

namespace merganser {

// Whether `key` of config.json or generation_config.json has a token's number, or a list of them:
// eos_token_id, image_token_index, ...
bool NamesTokens(std::string_view key);

// The number that a token of the reference has in the output's tokenizer; nullopt: it has none
// there, or the reference has no such token.
using NewNumber = std::function<absl::StatusOr<std::optional<uint64_t>>(uint64_t)>;

// The values of `config`, a config.json, that are others with the tokenizer of the model that has
// `donor` as its own. A key that `donor` has as well has its value there, at the top before
// text_config or the other way round, as it stands in `config`; bos, eos and pad are added where
// only `donor` has them. Of all others the numbers are replaced by `renumber`'s, where it has one.
// Only values that change are told. kInvalidArgument where one of the two is no JSON object:
// `what` and `donor_what` name them.
struct ConfigNumbers {
  JsonValues top, text_config;
};
absl::StatusOr<ConfigNumbers> NumbersInConfig(std::string_view config, std::string_view what,
                                              std::string_view donor, std::string_view donor_what,
                                              const NewNumber& renumber);

// The same of generation_config.json, whose keys are all at the top, and all that `donor` has are
// added. `donor` may be a config.json in its place: then only keys that `config` has.
absl::StatusOr<JsonValues> NumbersInGeneration(std::string_view config, std::string_view what,
                                               std::string_view donor, std::string_view donor_what,
                                               bool add, const NewNumber& renumber);

// Sets `prepared.config`'s keys and `prepared.generation_config` by the model that gives the
// tokenizer: stop tokens go with it. Nothing where that is the reference. After the tokenizer is
// settled and `prepared.config` has all else.
absl::Status SettleTokenNumbers(PreparedMerge& prepared);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PREPARE_TOKEN_NUMBERS_H_
