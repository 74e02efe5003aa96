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
  Aligner(const std::vector<const Checkpoint*>& models, const std::vector<LayerSlice>& slices,
          uint32_t reference)
      : models_(models),
        whole_(slices.empty()),
        slices_(slices),
        reference_index_(reference),
        reference_(*models[reference]),
        reference_has_head_(HasHead(reference_)) {
    if (!whole_) return;
    slices_.emplace_back();
    for (uint32_t m = 0; m < models.size(); ++m) slices_[0].sources.push_back({m, 0});
  }

  absl::StatusOr<Alignment> Align() {
    for (const Checkpoint* model : models_) MERGANSER_RETURN_IF_ERROR(RefuseQuantised(*model));
    for (size_t m = 0; m < models_.size(); ++m) {
      if (m == reference_index_) continue;
      MERGANSER_RETURN_IF_ERROR(CheckConfig(*models_[m]));
      MERGANSER_RETURN_IF_ERROR(CheckTies(*models_[m]));
    }
    if (whole_) {
      WantAll();
    } else {
      MERGANSER_RETURN_IF_ERROR(WantSlices());
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
  // What a tensor of the output is held against.
  struct Wanted {
    const Checkpoint* model = nullptr;
    const CheckpointTensor* tensor = nullptr;
  };

  AlignedTensor& Want(const Checkpoint& model, const CheckpointTensor& tensor) {
    wanted_.push_back({&model, &tensor});
    AlignedTensor& aligned = alignment_.tensors.emplace_back();
    aligned.name = tensor.name;
    aligned.shape = tensor.shape;
    aligned.dtype = tensor.dtype;
    aligned.copied = IsIntegral(tensor.dtype);
    if (!aligned.copied && !IsComputable(tensor.dtype)) {
      Differ(absl::StrCat(model.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name),
                          ": found dtype ", std::string(DTypeName(tensor.dtype)),
                          ", expected floats, integers or bool: it cannot be merged"));
    }
    return aligned;
  }

  // Takes the tensor from all sources of `slice`, from layer `layer` of the slice
  // where there is one.
  void FromSlice(AlignedTensor& aligned, uint32_t slice, std::optional<uint64_t> layer) {
    aligned.slice = slice;
    aligned.layer = layer;
    const LayerSlice& from = slices_[slice];
    aligned.sources.resize(from.sources.size());
    for (size_t k = 0; k < from.sources.size(); ++k) {
      aligned.sources[k].model = from.sources[k].model;
      aligned.sources[k].name = whole_ || !layer.has_value()
                                    ? aligned.name
                                    : WithLayer(aligned.name, from.sources[k].first_layer + *layer);
    }
  }

  void WantAll() {
    const LayerCounts counts = CountLayers(reference_);
    for (const CheckpointTensor& tensor : reference_.tensors) {
      AlignedTensor& aligned = Want(reference_, tensor);
      std::optional<uint64_t> layer;
      if (const std::optional<LayerName> parsed = ParseLayer(tensor.name)) {
        aligned.layers = counts.find(parsed->stack)->second;
        if (parsed->layer < aligned.layers) layer = parsed->layer;
      }
      FromSlice(aligned, 0, layer);
    }
  }

  absl::Status WantSlices() {
    MERGANSER_RETURN_IF_ERROR(CheckStacks());
    const auto last = static_cast<uint32_t>(slices_.size() - 1);
    for (const CheckpointTensor& tensor : reference_.tensors) {
      if (ParseLayer(tensor.name).has_value() || !IsBeforeLayers(tensor.name)) continue;
      FromSlice(Want(reference_, tensor), 0, std::nullopt);
    }
    uint64_t number = 0;
    for (uint32_t s = 0; s <= last; ++s) {
      const LayerSlice::Source& source = slices_[s].sources[0];
      const Checkpoint& model = *models_[source.model];
      std::map<uint64_t, std::vector<const CheckpointTensor*>> layers;
      for (const CheckpointTensor& tensor : model.tensors) {
        const std::optional<LayerName> parsed = ParseLayer(tensor.name);
        if (parsed.has_value()) layers[parsed->layer].push_back(&tensor);
      }
      for (uint64_t i = 0; i < slices_[s].layers; ++i, ++number) {
        for (const CheckpointTensor* tensor : layers[source.first_layer + i]) {
          if (const CheckpointTensor* same = reference_.Find(tensor->name)) {
            Compare(model, *tensor, {&reference_, same});
          }
          AlignedTensor& aligned = Want(model, *tensor);
          aligned.layers = slices_[s].layers;
          aligned.name = WithLayer(tensor->name, number);
          FromSlice(aligned, s, i);
        }
      }
    }
    for (const CheckpointTensor& tensor : reference_.tensors) {
      if (ParseLayer(tensor.name).has_value() || IsBeforeLayers(tensor.name)) continue;
      FromSlice(Want(reference_, tensor), last, std::nullopt);
    }
    return absl::OkStatus();
  }

  // Slices are of models with one stack of layers, which has what they ask for.
  absl::Status CheckStacks() const {
    for (const Checkpoint* model : models_) {
      const LayerCounts counts = CountLayers(*model);
      if (counts.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            Name(*model), ": no tensor of ", model->uri,
            " is of a layer (such as model.layers.0.mlp.up_proj.weight), expected layers for "
            "slices"));
      }
      if (counts.size() > 1) {
        std::vector<std::string> stacks;
        for (const auto& [stack, count] : counts) stacks.push_back(Quoted(stack));
        return absl::InvalidArgumentError(
            absl::StrCat(Name(*model), ": found layers of ", absl::StrJoin(stacks, ", "),
                         ", expected one stack of layers: slices of several are not supported"));
      }
      const auto& [stack, count] = *counts.begin();
      for (const CheckpointTensor& tensor : model->tensors) {
        const std::optional<LayerName> parsed = ParseLayer(tensor.name);
        if (!parsed.has_value() || parsed->layer < count) continue;
        return absl::InvalidArgumentError(absl::StrCat(
            Name(*model), ": ", model->DescribeShard(tensor.shard), ": tensor ",
            Quoted(tensor.name), " is of a layer for multi-token prediction behind the ", count,
            " of ", Quoted(stack), ": slices of such models are not supported"));
      }
      for (size_t s = 0; s < slices_.size(); ++s) {
        for (const LayerSlice::Source& source : slices_[s].sources) {
          if (models_[source.model] != model || source.first_layer + slices_[s].layers <= count) {
            continue;
          }
          return absl::InvalidArgumentError(absl::StrCat(
              Name(*model), ": found ", count, " layers of ", Quoted(stack), " in ", model->uri,
              ", expected at least ", source.first_layer + slices_[s].layers, " for layer_range [",
              source.first_layer, ", ", source.first_layer + slices_[s].layers, "] of slices[", s,
              "]"));
        }
      }
    }
    return absl::OkStatus();
  }

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
    if (IsTied(model, reference_, reference_has_head_)) return absl::OkStatus();
    // A reference may store the head that it ties. Then only a model that says that it does not
    // tie is known to have another.
    const bool stored =
        reference_has_head_ && (!IsTied(reference_, reference_, true) || !model.config.tie_stated);
    if (stored) return absl::OkStatus();
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
                                                  const std::string& wanted) const {
    const CheckpointTensor* stored = model.Find(wanted);
    if (!IsHead(wanted)) return {stored, false};
    const bool tied = IsTied(model, reference_, reference_has_head_);
    const bool may_be_tied = tied || (stored == nullptr && !model.config.tie_stated);
    if (!may_be_tied) return {stored, false};
    const CheckpointTensor* embedding = FindEmbedding(model);
    if (embedding == nullptr) return {stored, false};
    return {embedding, true};
  }

  absl::Status AlignModel(uint32_t m) {
    const Checkpoint& model = *models_[m];
    std::vector<std::vector<size_t>> sources_of(slices_.size());  // which are this model's
    for (size_t s = 0; s < slices_.size(); ++s) {
      for (size_t k = 0; k < slices_[s].sources.size(); ++k) {
        if (slices_[s].sources[k].model == m) sources_of[s].push_back(k);
      }
    }
    std::vector<std::pair<std::string, size_t>> missing;  // and what it was wanted for
    std::vector<bool> used(model.tensors.size(), false);
    for (size_t t = 0; t < alignment_.tensors.size(); ++t) {
      AlignedTensor& aligned = alignment_.tensors[t];
      for (const size_t k : sources_of[aligned.slice]) {
        TensorSource& place = aligned.sources[k];
        if (const auto own = model.by_name.find(place.name); own != model.by_name.end()) {
          used[own->second] = true;
        }
        const auto [source, tied] = Source(model, place.name);
        if (source == nullptr) {
          missing.emplace_back(place.name, t);
          continue;
        }
        aligned.tied = aligned.tied || tied;
        place.tensor = static_cast<uint32_t>(source - model.tensors.data());
        Compare(model, *source, wanted_[t]);
      }
    }
    if (!missing.empty()) {
      std::vector<std::string> names;
      for (const auto& [name, t] : missing) names.push_back(name);
      if (const auto renamed = ExplainRenaming(names, reference_, model)) {
        return absl::InvalidArgumentError(absl::StrCat(Name(model), ": ", *renamed));
      }
    }
    for (const auto& [name, t] : missing) {
      const Wanted& expected = wanted_[t];
      Differ(absl::StrCat(Name(model), ": tensor ", Quoted(name), " is missing from ", model.uri,
                          ", expected ", ShapeText(expected.tensor->shape), " as in ",
                          expected.model->DescribeShard(expected.tensor->shard),
                          expected.tensor->name == name
                              ? ""
                              : absl::StrCat(" (tensor ", Quoted(expected.tensor->name), ")")));
    }
    if (m != reference_index_) {
      if (!whole_) MarkUnasked(m, used);
      WarnOfExtras(model, used);
    }
    return absl::OkStatus();
  }

  // What slices did not ask for, though the output has its like, is no extra.
  void MarkUnasked(uint32_t m, std::vector<bool>& used) const {
    const Checkpoint& model = *models_[m];
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      const std::optional<LayerName> parsed = ParseLayer(model.tensors[i].name);
      bool asked = false;
      for (const LayerSlice& slice : slices_) {
        for (const LayerSlice::Source& source : slice.sources) {
          asked |= parsed.has_value() && source.model == m && parsed->layer >= source.first_layer &&
                   parsed->layer < source.first_layer + slice.layers;
        }
      }
      if (parsed.has_value() ? !asked : reference_.Find(model.tensors[i].name) != nullptr) {
        used[i] = true;
      }
    }
  }

  void Compare(const Checkpoint& model, const CheckpointTensor& found, const Wanted& wanted) {
    const CheckpointTensor& expected = *wanted.tensor;
    const auto differ = [&](const std::string& have, const std::string& want,
                            std::string_view hint) {
      Differ(absl::StrCat(
          Name(model), ": ", model.DescribeShard(found.shard), ": tensor ", Quoted(found.name),
          ": found ", have, ", expected ", want, " as in ",
          wanted.model->DescribeShard(expected.shard),
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
  const bool whole_;
  std::vector<LayerSlice> slices_;  // of whole models: one with all of them
  const uint32_t reference_index_;
  const Checkpoint& reference_;
  const bool reference_has_head_;
  Alignment alignment_;
  std::vector<Wanted> wanted_;  // one a tensor of the alignment
  std::vector<std::string> named_;
  size_t differences_ = 0;
};

}  // namespace

absl::StatusOr<Alignment> AlignModels(const std::vector<const Checkpoint*>& models,
                                      const std::vector<LayerSlice>& slices, uint32_t reference) {
  if (models.empty()) return absl::InvalidArgumentError("no models, expected at least one");
  return Aligner(models, slices, reference).Align();
}

}  // namespace merganser
