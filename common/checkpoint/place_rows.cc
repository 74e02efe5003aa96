#include "common/checkpoint/place_rows.h"

#include <cstddef>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/vocabulary_rows.h"
#include "common/format/text.h"

namespace merganser {
namespace {

std::string Name(const Checkpoint& model) { return absl::StrCat("model ", Quoted(model.given)); }

}  // namespace

std::string PlaceRows(const std::vector<const Checkpoint*>& models, const AlignOptions& options,
                      const FindTensor& find, AlignedTensor& aligned) {
  std::vector<uint32_t> of_sources;
  std::map<uint32_t, uint32_t> tensors;  // of each model
  for (const TensorSource& source : aligned.sources) {
    of_sources.push_back(source.model);
    tensors.emplace(source.model, source.tensor);
  }
  const std::optional<uint32_t> base =
      options.is_base ? std::optional(options.reference) : std::nullopt;
  for (size_t k = 0; k < aligned.sources.size(); ++k) {
    TensorSource& source = aligned.sources[k];
    const std::vector<RowRun> runs = RunsOf(*options.rows, of_sources, base, k);
    const bool as_stored = runs.size() == 1 && runs[0].of.size() == 1 &&
                           runs[0].of[0] == RowRun::Origin{source.model, 0} &&
                           runs[0].rows == options.rows->stored[source.model];
    if (as_stored || runs.empty()) continue;
    if (aligned.copied) {
      return absl::StrCat("tensor ", Quoted(aligned.name), " is in ",
                          Name(*models[options.reference]),
                          " alone, and its rows are of tokens that have other numbers in the "
                          "output: expected it in all models");
    }
    if (models[source.model]->tensors[source.tensor].update.has_value()) {
      return absl::StrCat(
          Name(*models[source.model]), ": an adapter changes tensor ", Quoted(aligned.name),
          ", whose rows go by tokens here, which is not supported by this version; "
          "merge the adapter into its base with PEFT's merge_and_unload(), and name "
          "the result");
    }
    const CheckpointTensor& stored = models[source.model]->tensors[source.tensor];
    if (stored.scales.has_value()) {
      return absl::StrCat(
          Name(*models[source.model]), ": tensor ", Quoted(stored.name),
          " is stored quantised, and its rows are of tokens that have other numbers in the output: "
          "rows of quantised tensors cannot be matched; dequantise the model first and save it as "
          "bfloat16");
    }
    for (const RowRun& run : runs) {
      SourceRows& rows = source.rows.emplace_back();
      rows.rows = run.rows;
      for (const RowRun::Origin& origin : run.of) {
        const auto [known, added] = tensors.emplace(origin.model, 0);
        if (added) {
          // A rule names a model that is not of this tensor's slice.
          const Checkpoint& model = *models[origin.model];
          const CheckpointTensor* found = find(model, aligned.name);
          if (found == nullptr) {
            return absl::StrCat(Name(model), ": tensor ", Quoted(aligned.name),
                                " is missing, expected it as a token's row is taken from there");
          }
          if (found->update.has_value()) {
            return absl::StrCat(Name(model), ": an adapter changes tensor ", Quoted(aligned.name),
                                ", and a token's row is taken from there, which is not supported "
                                "by this version; take it from another model");
          }
          if (found->scales.has_value()) {
            return absl::StrCat(Name(model), ": tensor ", Quoted(found->name),
                                " is stored quantised: no token's row can be taken from it; "
                                "dequantise the model first and save it as bfloat16");
          }
          known->second = static_cast<uint32_t>(found - model.tensors.data());
        }
        rows.of.push_back({origin.model, known->second, origin.row});
      }
    }
  }
  return "";
}

}  // namespace merganser
