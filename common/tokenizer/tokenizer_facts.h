// What a model's small files say of its tokenizer and of the tokens that generation stops at.
// Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_FACTS_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_FACTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/vocabulary.h"
#include "common/storage/object_store.h"

namespace merganser {

// The small files of a model by name: listed once, or, where its store cannot list, asked for.
class ModelFolder {
 public:
  // Must not outlive `model`.
  explicit ModelFolder(const Checkpoint& model);

  std::string Describe(std::string_view name) const { return model_.store->Describe(name); }
  // nullopt: it is not there, or not for us.
  absl::StatusOr<std::optional<ObjectInfo>> Find(std::string_view name) const;
  // nullopt as Find. More than kMaxAuxiliaryBytes is kDataLoss.
  absl::StatusOr<std::optional<std::string>> Read(std::string_view name) const;

 private:
  const Checkpoint& model_;
  std::optional<std::map<std::string, ObjectInfo, std::less<>>> listed_;
};

// Whether the model has a file with a vocabulary.
absl::StatusOr<bool> HasTokenizer(const ModelFolder& folder);

// What generation_config.json, else config.json, says of a role ("eos_token_id").
struct SaidNumbers {
  std::vector<uint64_t> numbers;  // not empty; null, -1 and the like say nothing
  bool generation = false;        // generation_config.json says it
};

struct TokenizerFacts {
  bool tokenizer = false;  // a file with a vocabulary
  // Without white space: what a template does hardly depends on it.
  std::string chat_template;
  // "eos_token" -> "<eos>": of tokenizer_config.json, else special_tokens_map.json.
  std::map<std::string, std::string, std::less<>> special;
  // Tokens of tokenizer_config.json and added_tokens.json: loading adds those that the vocabulary
  // lacks.
  std::map<std::string, uint64_t, std::less<>> added;
  bool generation = false;  // it has a generation_config.json
  std::map<std::string, SaidNumbers, std::less<>> numbers;
};

// Errors are of files that cannot be read, and name them.
absl::StatusOr<TokenizerFacts> ReadTokenizerFacts(const Checkpoint& model,
                                                  const ModelFolder& folder);

// The numbers of `generation`, a generation_config.json (empty: none), and `config`, a config.json.
std::map<std::string, SaidNumbers, std::less<>> NumbersSaid(std::string_view generation,
                                                            std::string_view config);

// A vocabulary that is read no further than needed: files of equal bytes are not parsed.
class LazyVocabulary {
 public:
  // Both must outlive it.
  LazyVocabulary(const ModelFolder& folder, const TokenizerFacts& facts)
      : folder_(folder), facts_(facts) {}

  // Of the file that holds the vocabulary of both, whether it has the same bytes; nullopt where
  // there is none of one name.
  struct SharedFile {
    std::string_view name;
    bool same = false;
  };
  absl::StatusOr<std::optional<SharedFile>> Shared(LazyVocabulary& other);
  // Whether the vocabularies of both tokenizer.json are of the same bytes, added tokens aside.
  absl::StatusOr<bool> SameModel(LazyVocabulary& other);
  // After SameModel: the tokens that the file or loading adds, some of them perhaps in the
  // vocabulary as well.
  const Vocabulary& added() const { return added_; }
  // With the tokens that loading adds; nullptr where no file of a form that is read has them, or
  // where it is empty.
  absl::StatusOr<const Vocabulary*> Get();

 private:
  absl::StatusOr<std::string> Digest(std::string_view name);
  // The bytes of `name`, kept until they are parsed.
  absl::Status ReadText(std::string_view name);
  // Takes tokenizer.json apart.
  absl::Status Split();

  const ModelFolder& folder_;
  const TokenizerFacts& facts_;
  std::string name_, text_;
  std::map<std::string, std::string, std::less<>> digests_;
  bool split_ = false;
  std::string model_digest_;  // of the vocabulary's bytes; empty where it was not found
  Vocabulary added_;
  bool parsed_ = false;
  Vocabulary vocabulary_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_FACTS_H_
