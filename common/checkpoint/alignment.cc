#include "common/checkpoint/alignment.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/applied.h"
#include "common/checkpoint/buffers.h"
#include "common/checkpoint/config_checks.h"
#include "common/checkpoint/config_shapes.h"
#include "common/checkpoint/extra_tensors.h"
#include "common/checkpoint/missing_tensors.h"
#include "common/checkpoint/names.h"
#include "common/checkpoint/partial_models.h"
#include "common/checkpoint/place_rows.h"
#include "common/checkpoint/refusals.h"
#include "common/checkpoint/rename_messages.h"
#include "common/checkpoint/rename_search.h"
#include "common/checkpoint/settled_ties.h"
#include "common/checkpoint/slice_checks.h"
#include "common/checkpoint/ties.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamedDifferences = 3;

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

class Aligner {
 public:
  Aligner(const std::vector<const Checkpoint*>& models, const std::vector<LayerSlice>& slices,
          const AlignOptions& options)
      : models_(models),
        whole_(slices.empty()),
        slices_(slices),
        options_(options),
        reference_index_(options.reference),
        reference_(*models[options.reference]) {
    if (!whole_) return;
    slices_.emplace_back();
    for (uint32_t m = 0; m < models.size(); ++m) slices_[0].sources.push_back({m, 0});
  }

  absl::StatusOr<Alignment> Align() {
    for (const Checkpoint* model : models_) MERGANSER_RETURN_IF_ERROR(RefuseQuantised(*model));
    MERGANSER_RETURN_IF_ERROR(RefuseWrappedLayers(models_));
    for (size_t m = 0; m < models_.size(); ++m) {
      if (m == reference_index_) continue;
      MERGANSER_ASSIGN_OR_RETURN(std::string warning,
                                 CheckKinds(*models_[m], reference_, options_.allow_partial));
      if (!warning.empty()) alignment_.warnings.push_back(std::move(warning));
      // Before ties, which are told by names.
      const Renaming renaming = FindRenaming(reference_, *models_[m]);
      if (!renaming.empty()) {
        return absl::InvalidArgumentError(RefuseRenaming(renaming, reference_, *models_[m]));
      }
    }
    for (size_t m = 0; m < models_.size(); ++m) {
      MERGANSER_RETURN_IF_ERROR(CheckConfigShapes(*models_[m], m == reference_index_));
    }
    if (whole_) MERGANSER_RETURN_IF_ERROR(CheckDepths(models_, reference_index_));
    MERGANSER_ASSIGN_OR_RETURN(ties_, SettleTies(models_, reference_index_));
    if (whole_) {
      WantAll();
    } else {
      MERGANSER_RETURN_IF_ERROR(WantSlices());
    }
    for (size_t m = 0; m < models_.size(); ++m) {
      MERGANSER_RETURN_IF_ERROR(AlignModel(static_cast<uint32_t>(m)));
    }
    SettleMissing();
    MERGANSER_RETURN_IF_ERROR(Differences());
    const auto find = [&](const Checkpoint& model, const std::string& name) {
      return ties_.Source(model, name).first;
    };
    for (size_t t = 0; t < alignment_.tensors.size(); ++t) {
      if (!wanted_[t].token_side.has_value()) continue;
      std::string difference = PlaceRows(models_, options_, find, alignment_.tensors[t]);
      if (!difference.empty()) Differ(std::move(difference));
    }
    MERGANSER_ASSIGN_OR_RETURN(
        SettledBuffers buffers,
        SettleBuffers(models_, whole_ ? reference_index_ : 0, alignment_.tensors));
    for (std::string& line : buffers.differences) Differ(std::move(line));
    for (std::string& line : buffers.warnings) alignment_.warnings.push_back(std::move(line));
    MERGANSER_RETURN_IF_ERROR(Differences());
    NoteTies();
    if (options_.rows != nullptr) alignment_.token_rows = options_.rows->rows;
    return std::move(alignment_);
  }

 private:
  // What a tensor of the output is held against.
  struct Wanted {
    const Checkpoint* model = nullptr;
    const CheckpointTensor* tensor = nullptr;
    // Which side is of as many tokens as the output has.
    std::optional<size_t> token_side = std::nullopt;
  };

  AlignedTensor& Want(const Checkpoint& model, const CheckpointTensor& tensor,
                      std::string_view name) {
    wanted_.push_back({&model, &tensor});
    AlignedTensor& aligned = alignment_.tensors.emplace_back();
    aligned.name = std::string(name);
    aligned.shape = tensor.shape;
    aligned.dtype = tensor.dtype;
    wanted_.back().token_side = TokenSideOf(model, tensor);
    if (wanted_.back().token_side.has_value()) {
      aligned.shape[*wanted_.back().token_side] = options_.rows->rows;
    }
    aligned.copied = IsIntegral(tensor.dtype) || IsComputedBuffer(tensor.name, tensor.shape);
    if (!aligned.copied && !IsComputable(tensor.dtype)) {
      Differ(absl::StrCat(model.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name),
                          ": found dtype ", std::string(DTypeName(tensor.dtype)),
                          ", expected floats, integers or bool: it cannot be merged"));
    }
    return aligned;
  }

  // As TokenSide, where rows go by tokens.
  std::optional<size_t> TokenSideOf(const Checkpoint& model, const CheckpointTensor& tensor) const {
    if (options_.rows == nullptr) return std::nullopt;
    const auto at = std::find(models_.begin(), models_.end(), &model);
    return TokenSide(model, tensor,
                     options_.rows->stored[static_cast<size_t>(at - models_.begin())]);
  }

  // Takes the tensor from all sources of `slice`, from layer `layer` of the slice
  // where there is one.
  void FromSlice(AlignedTensor& aligned, uint32_t slice, std::optional<uint64_t> layer) {
    aligned.slice = slice;
    aligned.layer = layer;
    const LayerSlice& from = slices_[slice];
    aligned.sources.resize(from.sources.size());
    for (size_t k = 0; k < from.sources.size(); ++k) {
      aligned.sources[k].model = aligned.sources[k].stands_for = from.sources[k].model;
      aligned.sources[k].name = whole_ || !layer.has_value()
                                    ? aligned.name
                                    : WithLayer(aligned.name, from.sources[k].first_layer + *layer);
    }
  }

  // Wants a tensor of the reference under its name, or under the one of the names of
  // a tied parameter that is kept; null where the output leaves it out.
  AlignedTensor* WantOfReference(const CheckpointTensor& tensor) {
    const SettledTie* tie = ties_.LeftOut(tensor.name);
    if (tie == nullptr) return &Want(reference_, tensor, tensor.name);
    const std::string& kept = tie->tie.kept;
    // One model goes through as it is, with both names.
    if (models_.size() == 1 && whole_) {
      AlignedTensor& copy = Want(reference_, tensor, tensor.name);
      copy.merged_as = kept;
      return &copy;
    }
    if (reference_.Find(kept) != nullptr) return nullptr;
    for (const AlignedTensor& wanted : alignment_.tensors) {
      if (wanted.name == kept) return nullptr;
    }
    return &Want(reference_, tensor, kept);
  }

  void WantAll() {
    const LayerCounts counts = CountLayers(reference_);
    for (const CheckpointTensor& tensor : reference_.tensors) {
      AlignedTensor* aligned = WantOfReference(tensor);
      if (aligned == nullptr) continue;
      std::optional<uint64_t> layer;
      if (const std::optional<LayerName> parsed = ParseLayer(tensor.name)) {
        // Buffers alone are no layers, and have no count.
        const auto count = counts.find(parsed->stack);
        aligned->layers = count == counts.end() ? 0 : count->second;
        if (parsed->layer < aligned->layers) layer = parsed->layer;
      }
      FromSlice(*aligned, 0, layer);
    }
  }

  absl::Status WantSlices() {
    MERGANSER_RETURN_IF_ERROR(CheckStacks(models_, slices_));
    UntieEnds();
    const auto last = static_cast<uint32_t>(slices_.size() - 1);
    WantOutside(0, true);
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
          CompareWithReference(model, *tensor);
          AlignedTensor& aligned = Want(model, *tensor, WithLayer(tensor->name, number));
          aligned.layers = slices_[s].layers;
          FromSlice(aligned, s, i);
        }
      }
    }
    WantOutside(last, false);
    return absl::OkStatus();
  }

  // The reference's tensors before the layers, or those behind them.
  void WantOutside(uint32_t slice, bool before) {
    for (const CheckpointTensor& tensor : reference_.tensors) {
      if (ParseLayer(tensor.name).has_value() || IsBeforeLayers(Kept(tensor.name)) != before) {
        continue;
      }
      if (AlignedTensor* aligned = WantOfReference(tensor)) {
        FromSlice(*aligned, slice, std::nullopt);
      }
    }
    // What the reference does not store, as it was its embedding, or its head.
    for (const Tie& tie : untied_) {
      const std::string& name = before ? tie.kept : tie.copy;
      if (reference_.Find(name) != nullptr) continue;
      const CheckpointTensor* other = reference_.Find(before ? tie.copy : tie.kept);
      FromSlice(Want(reference_, *other, name), slice, std::nullopt);
    }
  }

  // The name that the output has for a parameter.
  std::string_view Kept(std::string_view name) const {
    const SettledTie* tie = ties_.LeftOut(name);
    return tie == nullptr ? name : std::string_view(tie->tie.kept);
  }

  // Embedding and head are one only if what stands before the layers and behind them
  // is merged from the same models with the same parameters.
  void UntieEnds() {
    const auto models = [](const LayerSlice& slice) {
      std::vector<uint32_t> of;
      of.reserve(slice.sources.size());
      for (const LayerSlice::Source& source : slice.sources) of.push_back(source.model);
      return of;
    };
    const bool same = models(slices_.front()) == models(slices_.back());
    for (SettledTie& settled : ties_.ties) {
      const Tie& tie = settled.tie;
      if (!settled.one || !IsBeforeLayers(tie.kept) || IsBeforeLayers(tie.copy)) continue;
      const bool alike = same && (!options_.same_at_both_ends || slices_.size() == 1 ||
                                  options_.same_at_both_ends(tie.kept));
      if (alike) continue;
      alignment_.warnings.push_back(
          absl::StrCat("the first slice and the last have other ", same ? "parameters" : "models",
                       ": ", Quoted(tie.copy), " and ", Quoted(tie.kept), ", which are tied in ",
                       Name(reference_), ", are both in the output",
                       tie.by_config ? ", and config.json gets tie_word_embeddings: false" : ""));
      ties_.Untie(settled);
      untied_.push_back(tie);
    }
  }

  // A layer's tensor against the reference's of that name, else against those of its
  // kind in other layers: config.json of the reference has to describe it.
  void CompareWithReference(const Checkpoint& model, const CheckpointTensor& tensor) {
    if (const CheckpointTensor* same = reference_.Find(tensor.name)) {
      Compare(model, tensor, {&reference_, same});
      return;
    }
    if (kinds_.empty()) {
      for (const CheckpointTensor& other : reference_.tensors) {
        kinds_[Pattern(other.name)].push_back(&other);
      }
    }
    const auto kind = kinds_.find(Pattern(tensor.name));
    if (kind != kinds_.end()) {
      const auto fits = std::find_if(kind->second.begin(), kind->second.end(),
                                     [&](const auto* one) { return one->shape == tensor.shape; });
      Compare(model, tensor, {&reference_, fits == kind->second.end() ? kind->second[0] : *fits});
    } else if (!IsComputedBuffer(tensor.name, tensor.shape)) {
      Differ(absl::StrCat(Name(model), ": ", model.DescribeShard(tensor.shard), ": tensor ",
                          Quoted(tensor.name), " is of a kind that no layer of ", Name(reference_),
                          " has, whose config.json the output gets"));
    }
  }

  static std::string Name(const Checkpoint& model) {
    return absl::StrCat("model ", Quoted(model.given));
  }

  void Differ(std::string what) {
    if (++differences_ <= kNamedDifferences) named_.push_back(std::move(what));
  }

  // What was found so far.
  absl::Status Differences() const {
    if (differences_ == 0) return absl::OkStatus();
    std::string message = absl::StrJoin(named_, "; ");
    if (differences_ > named_.size()) {
      absl::StrAppend(&message, "; and ", differences_ - named_.size(), " more");
    }
    return absl::InvalidArgumentError(message);
  }

  absl::Status AlignModel(uint32_t m) {
    const Checkpoint& model = *models_[m];
    std::vector<std::vector<size_t>> sources_of(slices_.size());  // which are this model's
    for (size_t s = 0; s < slices_.size(); ++s) {
      for (size_t k = 0; k < slices_[s].sources.size(); ++k) {
        if (slices_[s].sources[k].model == m) sources_of[s].push_back(k);
      }
    }
    const size_t first_missing = missing_.size();
    std::vector<bool> used(model.tensors.size(), false);
    for (size_t t = 0; t < alignment_.tensors.size(); ++t) {
      AlignedTensor& aligned = alignment_.tensors[t];
      for (const size_t k : sources_of[aligned.slice]) {
        TensorSource& place = aligned.sources[k];
        const auto [source, tied] = ties_.Source(model, place.name);
        if (source == nullptr) {
          missing_.push_back(
              {m, t, k, place.name, wanted_[t].model == &reference_, ties_.IsEnd(place.name), ""});
          continue;
        }
        aligned.tied = aligned.tied || tied;
        place.tensor = static_cast<uint32_t>(source - model.tensors.data());
        used[place.tensor] = true;
        Compare(model, *source, wanted_[t]);
      }
    }
    for (size_t i = 0; i < used.size(); ++i) {
      if (ties_.LeftOut(model.tensors[i].name) != nullptr) used[i] = true;
    }
    if (m == reference_index_) return absl::OkStatus();
    if (!whole_) MarkUnasked(model, m, slices_, reference_, used);
    const ExtraTensors extras(model, used);
    for (size_t i = first_missing; i < missing_.size(); ++i) {
      missing_[i].similar =
          extras.Like(missing_[i].name, wanted_[missing_[i].tensor].tensor->shape);
    }
    for (std::string& line : extras.Describe(reference_, options_.allow_partial)) {
      alignment_.warnings.push_back(std::move(line));
    }
    return absl::OkStatus();
  }

  // Which tensors of the reference those of the alignment are, for whole models.
  std::vector<uint32_t> WantedIndices() const {
    std::vector<uint32_t> indices;
    indices.reserve(wanted_.size());
    for (const Wanted& wanted : wanted_) {
      indices.push_back(static_cast<uint32_t>(wanted.tensor - reference_.tensors.data()));
    }
    return indices;
  }

  // Takes from the reference what may be taken from there.
  void SettleMissing() {
    if (missing_.empty()) return;
    const LayerCounts counts = whole_ ? CountLayers(reference_) : LayerCounts();
    std::vector<JudgedTensor> judged =
        JudgeMissing(missing_, alignment_.tensors, counts, reference_index_, options_.is_base);
    std::map<uint32_t, std::string> offers;  // of models, instead of their missing tensors
    if (whole_) {
      offers =
          SettleParts(models_, options_, alignment_.tensors, WantedIndices(), missing_, judged);
      for (const auto& [model, offer] : offers) Differ(offer);
    }
    for (const std::string& line :
         DescribeMissing(missing_, judged, alignment_.tensors, models_, reference_index_)) {
      alignment_.warnings.push_back(line);
    }
    for (size_t i = 0; i < missing_.size(); ++i) {
      const MissingTensor& missing = missing_[i];
      AlignedTensor& aligned = alignment_.tensors[missing.tensor];
      const Wanted& expected = wanted_[missing.tensor];
      if (judged[i].verdict == MissingVerdict::kRefused) {
        if (offers.contains(missing.model)) continue;
        const Checkpoint& model = *models_[missing.model];
        Differ(absl::StrCat(Name(model), ": tensor ", Quoted(missing.name), " is missing from ",
                            model.uri, ", expected ", ShapeText(expected.tensor->shape), " as in ",
                            expected.model->DescribeShard(expected.tensor->shard),
                            expected.tensor->name == missing.name
                                ? ""
                                : absl::StrCat(" (tensor ", Quoted(expected.tensor->name), ")"),
                            judged[i].reason));
        continue;
      }
      TensorSource source;
      source.model = reference_index_;
      source.tensor = static_cast<uint32_t>(expected.tensor - reference_.tensors.data());
      source.name = expected.tensor->name;
      if (judged[i].verdict == MissingVerdict::kCopied) {
        source.stands_for = reference_index_;
        aligned.copied = true;
        aligned.sources = {source};
        continue;
      }
      TensorSource& place = aligned.sources[missing.source];
      source.name = place.name;
      source.stands_for = place.model;
      place = source;
    }
  }

  // Says which names of tied parameters the output leaves out.
  void NoteTies() {
    alignment_.tie_word_embeddings = ties_.tie_word_embeddings;
    alignment_.warnings.insert(alignment_.warnings.begin(), ties_.warnings.begin(),
                               ties_.warnings.end());
    for (const SettledTie& settled : ties_.ties) {
      const Tie& tie = settled.tie;
      for (AlignedTensor& aligned : alignment_.tensors) {
        if (!settled.one || aligned.name != tie.kept) continue;
        if (models_.size() == 1 && whole_) continue;
        aligned.aliases.push_back(tie.copy);
        NoteLeftOut(tie, aligned);
      }
    }
  }

  void NoteLeftOut(const Tie& tie, AlignedTensor& aligned) {
    std::vector<std::string> in;
    for (const Checkpoint* model : models_) {
      if (model->Find(tie.copy) != nullptr) in.push_back(Quoted(model->given));
    }
    if (in.empty()) return;
    aligned.tied = true;
    alignment_.warnings.push_back(
        absl::StrCat("tensor ", Quoted(tie.copy), " of ", in.size() == 1 ? "model " : "models ",
                     absl::StrJoin(in, ", "), " is ", Quoted(tie.kept), " under another name (",
                     tie.by_config ? "heads are tied" : "they are one parameter",
                     "): merged once and stored under the latter alone"));
  }

  void Compare(const Checkpoint& model, const CheckpointTensor& found, const Wanted& wanted) {
    const CheckpointTensor& expected = *wanted.tensor;
    const auto differ = [&](const std::string& have, const std::string& want,
                            std::string_view hint) {
      Differ(absl::StrCat(
          Name(model), ": ", model.DescribeShard(found.shard), ": tensor ", Quoted(found.name),
          found.stored.empty() ? "" : absl::StrCat(" (stored as ", Quoted(found.stored), ")"),
          ": found ", have, ", expected ", want, " as in ",
          wanted.model->DescribeShard(expected.shard),
          found.name == expected.name ? "" : absl::StrCat(" (tensor ", Quoted(expected.name), ")"),
          std::string(hint)));
    };
    Shape shape = found.shape;
    if (wanted.token_side.has_value() && TokenSideOf(model, found) == wanted.token_side) {
      shape[*wanted.token_side] = expected.shape[*wanted.token_side];
    }
    if (shape != expected.shape) {
      const bool rows_only = found.shape.size() == 2 && expected.shape.size() == 2 &&
                             found.shape[1] == expected.shape[1];
      differ(absl::StrCat("shape ", ShapeText(found.shape)), ShapeText(expected.shape),
             rows_only && (IsInputEmbedding(found.name) || IsOutputHead(found.name))
                 ? " (embedding rows differ: the tokenizer was changed, or rows were padded)"
                 : "");
      return;
    }
    if (IsComputable(expected.dtype) && IsComputable(found.dtype)) return;
    // Masks were floats, bytes and bool in turn; the reference's is taken.
    const bool mask = IsComputedBuffer(expected.name, expected.shape) &&
                      !EndsInComponent(expected.name, "position_ids");
    if (found.dtype != expected.dtype && !mask) {
      differ(absl::StrCat("dtype ", std::string(DTypeName(found.dtype))),
             std::string(DTypeName(expected.dtype)),
             IsIntegral(expected.dtype) ? " (integers and bool are copied and must be equal)" : "");
    }
  }

  const std::vector<const Checkpoint*>& models_;
  const bool whole_;
  std::vector<LayerSlice> slices_;  // of whole models: one with all of them
  const AlignOptions& options_;
  const uint32_t reference_index_;
  const Checkpoint& reference_;
  SettledTies ties_;
  std::vector<Tie> untied_;  // by slices
  Alignment alignment_;
  std::vector<Wanted> wanted_;  // one a tensor of the alignment
  std::vector<MissingTensor> missing_;
  std::map<std::string, std::vector<const CheckpointTensor*>> kinds_;  // of the reference
  std::vector<std::string> named_;
  size_t differences_ = 0;
};

}  // namespace

absl::StatusOr<Alignment> AlignModels(const std::vector<const Checkpoint*>& models,
                                      const std::vector<LayerSlice>& slices,
                                      const AlignOptions& options) {
  if (models.empty()) return absl::InvalidArgumentError("no models, expected at least one");
  return Aligner(models, slices, options).Align();
}

}  // namespace merganser
