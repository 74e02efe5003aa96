#include "common/plan/rank_notes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/plan/known_rank.h"

namespace merganser {
namespace {

struct Range {
  void Add(uint64_t value) {
    least = count == 0 ? value : std::min(least, value);
    most = std::max(most, value);
    ++count;
  }
  std::string Text() const {
    return least == most ? absl::StrCat(most) : absl::StrCat(least, " to ", most);
  }
  uint64_t count = 0, least = 0, most = 0;
};

// Tensors of one model.
struct Ranks {
  Range known, left, heads;
  uint64_t no_more = 0;  // than heads
  uint64_t high = 0;     // above kMostKnownRank
};

uint64_t HeadsOf(const MethodConfig& method) {
  const auto rank = method.numbers.find("rank_topk");
  return rank == method.numbers.end() ? 0 : static_cast<uint64_t>(rank->second);
}

std::string Tensors(uint64_t count) {
  return absl::StrCat(count, count == 1 ? " tensor" : " tensors");
}

std::string NoteOf(const std::string& method, const std::string& model, const Ranks& ranks) {
  std::string note = absl::StrCat(method, ": model ", Shown(model), ": ");
  if (ranks.known.count > 0) {
    absl::StrAppend(&note, Tensors(ranks.known.count), " with task vectors of rank ",
                    ranks.known.Text(), ": heads of rank_topk ", ranks.heads.Text(),
                    " come from the adapter's factors");
    if (ranks.left.count > 0) {
      absl::StrAppend(&note, ", and residuals of rank ", ranks.left.Text(), " are behind them");
    }
  }
  if (ranks.no_more > 0) {
    const bool all = ranks.no_more == ranks.known.count;
    absl::StrAppend(&note, "; ", all ? std::string("all") : absl::StrCat(ranks.no_more),
                    " of these have no more directions than heads: no residual of them is left for "
                    "the consensus");
  }
  if (ranks.high > 0) {
    absl::StrAppend(&note, ranks.known.count > 0 ? "; " : "", Tensors(ranks.high),
                    " of a rank above ", kMostKnownRank,
                    ", whose heads are searched for by passes over the task vectors");
  }
  return note;
}

}  // namespace

std::vector<std::string> RankNotes(const Plan& plan) {
  std::map<uint32_t, Ranks> by_model;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.needs.takes_factors) continue;
    const uint64_t heads = HeadsOf(MethodOf(plan, tensor));
    for (const PlannedSource& source : tensor.sources) {
      const std::optional<uint64_t> product = ProductRank(tensor, source);
      if (product.value_or(0) == 0) continue;
      Ranks& ranks = by_model[source.model];
      if (*product > kMostKnownRank) {
        ++ranks.high;
        continue;
      }
      const Shape& shape = tensor.spec.shape;
      const uint64_t rank = std::min({*product, shape[shape.size() - 2], shape.back()});
      ranks.known.Add(rank);
      ranks.heads.Add(heads);
      if (rank > heads) ranks.left.Add(rank - heads);
      ranks.no_more += rank <= heads;
    }
  }
  std::vector<std::string> notes;
  notes.reserve(by_model.size());
  for (const auto& [model, ranks] : by_model) {
    notes.push_back(NoteOf(plan.method.method, plan.models[model].given, ranks));
  }
  return notes;
}

}  // namespace merganser
