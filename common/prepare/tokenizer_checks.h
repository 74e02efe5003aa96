// What a merged model will lack of the tokenizers of the models that it is made of. Private to this
// folder.
#ifndef MERGANSER_COMMON_PREPARE_TOKENIZER_CHECKS_H_
#define MERGANSER_COMMON_PREPARE_TOKENIZER_CHECKS_H_

#include "absl/status/status.h"
#include "common/prepare/prepare.h"
#include "common/prepare/prepare_tokenizer.h"

namespace merganser {

// Holds the tokenizer of every model that is merged against the output's: vocabularies, special
// tokens, chat templates, and the stop tokens of generation_config.json and config.json. A model
// that has something otherwise is one warning, which says what and how to get it; models with the
// same differences share one. Where the recipe names the model whose tokenizer it wants, the rest
// is as asked, and nothing is said of it; with `union`, and with `chat_template`, what these do
// not settle.
//
// After tokenizer, template and token numbers of `prepared` are settled. A file of a tokenizer that
// is none is a warning; errors are of stores alone.
absl::Status CompareTokenizers(const TokenizerModels& models, PreparedMerge& prepared);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PREPARE_TOKENIZER_CHECKS_H_
