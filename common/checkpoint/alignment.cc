#include "common/checkpoint/alignment.h"

#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/refusals.h"
#include "common/checkpoint/renaming.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamedDifferences = 3;
constexpr std::string_view kHead = "lm_head.weight";
constexpr std::string_view kEmbedding = "embed_tokens.weight";

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// `name` is `last` or ends in ".last".
bool EndsInComponent(std::string_view name, std::string_view last) {
  return name.ends_with(last) &&
         (name.size() == last.size() || name[name.size() - last.size() - 1] == '.');
}

bool IsHead(std::string_view name) { return EndsInComponent(name, kHead); }

bool HasHead(const Checkpoint& model) {
  for (const CheckpointTensor& tensor : model.tensors) {
    if (IsHead(tensor.name)) return true;
  }
  return false;
}

// The input embedding that a tied head shares: model.embed_tokens.weight, else
// the only tensor of such a name.
const CheckpointTensor* FindEmbedding(const Checkpoint& model) {
  if (const CheckpointTensor* usual = model.Find("model.embed_tokens.weight")) return usual;
  const CheckpointTensor* found = nullptr;
  for (const CheckpointTensor& tensor : model.tensors) {
    if (!EndsInComponent(tensor.name, kEmbedding)) continue;
    if (found != nullptr) return nullptr;
    found = &tensor;
  }
  return found;
}

// config.json leaves out what is the class's own default. A reference that says
// nothing and stores no head is tied by its class, and so is a model of the
// same class that says nothing either.
bool IsTied(const Checkpoint& model, const Checkpoint& reference, bool reference_has_head) {
  if (model.config.tie_stated) return model.config.tie_word_embeddings;
  return !reference.config.tie_stated && !reference_has_head;
}

bool IsVocabularySized(std::string_view name) {
  return IsHead(name) || EndsInComponent(name, kEmbedding) ||
         name.find("word_embeddings") != std::string_view::npos ||
         EndsInComponent(name, "wte.weight");
}

// "model.layers.12.x" -> "model.layers.*.x".
std::string Pattern(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    size_t end = i;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
    const bool component =
        end > i && (i == 0 || name[i - 1] == '.') && (end == name.size() || name[end] == '.');
    if (component) {
      out.push_back('*');
      i = end;
    } else {
      out.push_back(name[i++]);
    }
  }
  return out;
}

std::string_view ExtraKind(std::string_view name) {
  if (name.starts_with("v_head.") || name.find("value_head") != std::string_view::npos ||
      name.starts_with("score.")) {
    return "a value or reward head";
  }
  if (name.ends_with("inv_freq")) return "computed when the model is loaded";
  if (IsHead(name)) return "heads are tied to embed_tokens";
  return "the merge would not know what to add them to";
}

class Aligner {
 public:
  explicit Aligner(const std::vector<const Checkpoint*>& models)
      : models_(models), reference_(*models[0]), reference_has_head_(HasHead(reference_)) {}

  absl::StatusOr<Alignment> Align() {
    for (const Checkpoint* model : models_) MERGANSER_RETURN_IF_ERROR(RefuseQuantised(*model));
    for (size_t m = 1; m < models_.size(); ++m) {
      MERGANSER_RETURN_IF_ERROR(CheckConfig(*models_[m]));
      MERGANSER_RETURN_IF_ERROR(CheckTies(*models_[m]));
    }
    for (const CheckpointTensor& tensor : reference_.tensors) {
      AlignedTensor& aligned = alignment_.tensors.emplace_back();
      aligned.name = tensor.name;
      aligned.shape = tensor.shape;
      aligned.dtype = tensor.dtype;
      aligned.copied = IsIntegral(tensor.dtype);
      aligned.sources.reserve(models_.size());
      if (!aligned.copied && !IsComputable(tensor.dtype)) {
        Differ(absl::StrCat(reference_.DescribeShard(tensor.shard), ": tensor ",
                            Quoted(tensor.name), ": found dtype ",
                            std::string(DTypeName(tensor.dtype)),
                            ", expected floats, integers or bool: it cannot be merged"));
      }
    }
    for (size_t m = 0; m < models_.size(); ++m) {
      MERGANSER_RETURN_IF_ERROR(AlignModel(static_cast<uint32_t>(m)));
    }
    if (differences_ > 0) {
      std::string message = absl::StrJoin(named_, "; ");
      if (differences_ > named_.size()) {
        absl::StrAppend(&message, "; and ", differences_ - named_.size(), " more");
      }
      return absl::InvalidArgumentError(message);
    }
    return std::move(alignment_);
  }

 private:
  static std::string Name(const Checkpoint& model) {
    return absl::StrCat("model ", Quoted(model.given));
  }

  void Differ(std::string what) {
    if (++differences_ <= kNamedDifferences) named_.push_back(std::move(what));
  }

  absl::Status CheckConfig(const Checkpoint& model) const {
    const auto check = [&](std::string_view key, const std::string& found,
                           const std::string& expected) -> absl::Status {
      if (found.empty() || expected.empty() || found == expected) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat(
          model.store->Describe("config.json"), ": ", std::string(key), " is ", Quoted(found),
          ", expected ", Quoted(expected), " as in ", reference_.store->Describe("config.json"),
          ": the models are not of one kind"));
    };
    MERGANSER_RETURN_IF_ERROR(
        check("model_type", model.config.model_type, reference_.config.model_type));
    return check("architectures", model.config.architecture, reference_.config.architecture);
  }

  // A head of its own has no place in an output whose head is the embedding.
  absl::Status CheckTies(const Checkpoint& model) const {
    if (reference_has_head_ || IsTied(model, reference_, reference_has_head_)) {
      return absl::OkStatus();
    }
    for (const CheckpointTensor& tensor : model.tensors) {
      if (!IsHead(tensor.name)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          Name(model), ": ", model.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name),
          " is a head of its own (embeddings not tied), but ", Name(reference_), " at ",
          reference_.uri,
          " ties its head to embed_tokens: untie the base, or train with tied embeddings"));
    }
    return absl::OkStatus();
  }

  // The tensor of `model` that stands for `wanted`, and whether it is a tied head's.
  std::pair<const CheckpointTensor*, bool> Source(const Checkpoint& model,
                                                  const AlignedTensor& wanted) const {
    const CheckpointTensor* stored = model.Find(wanted.name);
    if (!IsHead(wanted.name)) return {stored, false};
    const bool tied = IsTied(model, reference_, reference_has_head_);
    const bool may_be_tied = tied || (stored == nullptr && !model.config.tie_stated);
    if (!may_be_tied) return {stored, false};
    const CheckpointTensor* embedding = FindEmbedding(model);
    if (embedding == nullptr) return {stored, false};
    return {embedding, true};
  }

  absl::Status AlignModel(uint32_t m) {
    const Checkpoint& model = *models_[m];
    std::vector<std::string> missing;
    std::vector<bool> used(model.tensors.size(), false);
    for (size_t t = 0; t < alignment_.tensors.size(); ++t) {
      AlignedTensor& aligned = alignment_.tensors[t];
      const CheckpointTensor& expected = reference_.tensors[t];
      if (const auto own = model.by_name.find(aligned.name); own != model.by_name.end()) {
        used[own->second] = true;
      }
      const auto [source, tied] = Source(model, aligned);
      if (source == nullptr) {
        missing.push_back(aligned.name);
        continue;
      }
      aligned.tied = aligned.tied || tied;
      aligned.sources.push_back({m, static_cast<uint32_t>(source - model.tensors.data())});
      Compare(model, *source, expected);
    }
    if (!missing.empty()) {
      if (const auto renamed = ExplainRenaming(missing, reference_, model)) {
        return absl::InvalidArgumentError(absl::StrCat(Name(model), ": ", *renamed));
      }
    }
    for (const std::string& name : missing) {
      const CheckpointTensor& expected = *reference_.Find(name);
      Differ(absl::StrCat(Name(model), ": tensor ", Quoted(name), " is missing from ", model.uri,
                          ", expected ", ShapeText(expected.shape), " as in ",
                          reference_.DescribeShard(expected.shard)));
    }
    if (m > 0) WarnOfExtras(model, used);
    return absl::OkStatus();
  }

  void Compare(const Checkpoint& model, const CheckpointTensor& found,
               const CheckpointTensor& expected) {
    const auto differ = [&](const std::string& have, const std::string& want,
                            std::string_view hint) {
      Differ(absl::StrCat(
          Name(model), ": ", model.DescribeShard(found.shard), ": tensor ", Quoted(found.name),
          ": found ", have, ", expected ", want, " as in ",
          reference_.DescribeShard(expected.shard),
          found.name == expected.name ? "" : absl::StrCat(" (tensor ", Quoted(expected.name), ")"),
          std::string(hint)));
    };
    if (found.shape != expected.shape) {
      const bool rows_only = found.shape.size() == 2 && expected.shape.size() == 2 &&
                             found.shape[1] == expected.shape[1];
      differ(absl::StrCat("shape ", ShapeText(found.shape)), ShapeText(expected.shape),
             rows_only && IsVocabularySized(found.name)
                 ? " (embedding rows differ: the tokenizer was changed, or rows were padded)"
                 : "");
      return;
    }
    if (IsComputable(expected.dtype) && IsComputable(found.dtype)) return;
    if (found.dtype != expected.dtype) {
      differ(absl::StrCat("dtype ", std::string(DTypeName(found.dtype))),
             std::string(DTypeName(expected.dtype)),
             IsIntegral(expected.dtype) ? " (integers and bool are copied and must be equal)" : "");
    }
  }

  void WarnOfExtras(const Checkpoint& model, const std::vector<bool>& used) {
    struct Group {
      size_t count = 0;
      std::string first;
    };
    std::map<std::string, Group> groups;
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      if (used[i]) continue;
      Group& group = groups[Pattern(model.tensors[i].name)];
      if (group.count++ == 0) group.first = model.tensors[i].name;
    }
    for (const auto& [pattern, group] : groups) {
      alignment_.warnings.push_back(absl::StrCat(
          Name(model), ": dropped ", group.count, group.count == 1 ? " tensor " : " tensors ",
          Quoted(pattern), " that ", reference_.uri, " does not have (",
          std::string(ExtraKind(group.first)), ")"));
    }
  }

  const std::vector<const Checkpoint*>& models_;
  const Checkpoint& reference_;
  const bool reference_has_head_;
  Alignment alignment_;
  std::vector<std::string> named_;
  size_t differences_ = 0;
};

}  // namespace

absl::StatusOr<Alignment> AlignModels(const std::vector<const Checkpoint*>& models) {
  if (models.empty()) return absl::InvalidArgumentError("no models, expected at least one");
  return Aligner(models).Align();
}

}  // namespace merganser
