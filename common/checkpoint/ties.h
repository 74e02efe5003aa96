// Parameters that a model stores under several names: an output head that is the
// input embedding, the encoder's and decoder's copies of a shared embedding, a
// bias that a head and its decoder share. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_TIES_H_
#define MERGANSER_COMMON_CHECKPOINT_TIES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

struct Tie {
  std::string kept;  // the name that transformers' save_pretrained keeps
  std::string copy;  // another name of the same parameter
  // Holds only where `tie_word_embeddings` does; else always.
  bool by_config = true;
};

// The ties among the names of all `models`, told by names and shapes; where two
// models have a name, the first one's shape counts. A head with no embedding of
// its shape, or with several of one rank, has none.
std::vector<Tie> FindTies(const std::vector<const Checkpoint*>& models);

// The tie of a model that generates text, ties its head by config.json or class and
// stores no tensor for it.
std::optional<Tie> ImpliedTie(const Checkpoint& model);

// By their last components, below any prefix.
bool IsInputEmbedding(std::string_view name);
bool IsOutputHead(std::string_view name);

// Whether head and embedding are one in models of this `model_type` whose
// config.json does not say so; nullopt of types that are not known.
std::optional<bool> TiesByClass(std::string_view model_type);

// Whether a class ties other parameters where config.json says tie_word_embeddings, and never
// head and embedding: a head that is stored is one of its own, and tie_word_embeddings: false
// would cut the other ties. LUKE's in transformers 5; versions before tied all of them.
bool KeepsHeadApart(std::string_view model_type);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_TIES_H_
