#include "common/publish/equal_models.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/checkpoint/layers.h"
#include "common/publish/sample_reader.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

// Fewer may be equal by chance.
constexpr uint64_t kLeastElements = 64;
constexpr size_t kNamed = 3;

struct Sample {
  uint32_t tensor = 0;
  uint64_t begin = 0, count = 0;  // elements
};

// Whether every model but perhaps the base has it, under one name.
bool AllHave(const Plan& plan, const PlannedTensor& tensor) {
  const size_t base = plan.has_base && !tensor.has_base_source ? 1 : 0;
  if (tensor.elements == 0 || tensor.sources.size() + base != plan.models.size()) return false;
  std::set<uint32_t> models;
  for (const PlannedSource& source : tensor.sources) {
    if (!CanSample(source) || source.tensor != tensor.sources[0].tensor) return false;
    models.insert(source.model);
  }
  return models.size() == tensor.sources.size();
}

// "model.layers.#.mlp.up_proj.weight".
std::string KindOf(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      out += c;
    } else if (!out.ends_with('#')) {
      out += '#';
    }
  }
  return out;
}

Sample Middle(const Plan& plan, uint32_t tensor) {
  const uint64_t elements = plan.tensors[tensor].elements;
  const uint64_t count = std::min(kSampleElements, elements);
  return {tensor, (elements - count) / 2, count};
}

// Of layers first, and of these the largest: what training changes.
std::vector<Sample> Samples(const Plan& plan) {
  std::map<std::string, std::vector<uint32_t>> kinds;
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
    if (AllHave(plan, plan.tensors[i])) kinds[KindOf(plan.tensors[i].spec.name)].push_back(i);
  }
  std::vector<const std::vector<uint32_t>*> order;
  order.reserve(kinds.size());
  for (const auto& [kind, tensors] : kinds) order.push_back(&tensors);
  const auto rank = [&](const std::vector<uint32_t>* tensors) {
    const PlannedTensor& first = plan.tensors[tensors->front()];
    return std::pair(!ParseLayer(first.spec.name).has_value(), ~first.elements);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const auto* a, const auto* b) { return rank(a) < rank(b); });
  std::vector<Sample> samples;
  samples.reserve(3 * order.size());
  for (const auto* tensors : order)
    samples.push_back(Middle(plan, (*tensors)[tensors->size() / 2]));
  for (const auto* tensors : order) {
    // Rows that were added to an embedding are at its end.
    Sample end = Middle(plan, tensors->back());
    if (tensors->size() == 1) end.begin = plan.tensors[end.tensor].elements - end.count;
    samples.push_back(end);
  }
  for (const auto* tensors : order) {
    if (tensors->size() > 1) samples.push_back(Middle(plan, tensors->front()));
  }
  // What is left goes to others, layer by layer: adapters may have been trained of a few.
  std::set<uint32_t> taken;
  for (const Sample& sample : samples) taken.insert(sample.tensor);
  const size_t left = kMostSamples - std::min(samples.size(), kMostSamples);
  std::vector<uint32_t> others;
  for (const auto* tensors : order) {
    for (const uint32_t tensor : *tensors) {
      if (!taken.contains(tensor)) others.push_back(tensor);
    }
  }
  std::sort(others.begin(), others.end());
  const size_t chosen = std::min(left, others.size());
  for (size_t i = 0; i < chosen; ++i) {
    samples.push_back(Middle(plan, others[i * others.size() / chosen]));
  }
  samples.resize(std::min<size_t>(samples.size(), kMostSamples));
  return samples;
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

double Rounded(double value, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return Bf16ToFloat(DoubleToBf16(value));
    case DType::kF16:
      return HalfToFloat(DoubleToHalf(value));
    case DType::kF32:
      return static_cast<float>(value);
    default:
      return value;
  }
}

// Whether an expert is the base, as its dtype has it.
bool IsBase(const std::vector<double>& base, const std::vector<double>& expert, DType dtype) {
  if (SameBits(base, expert)) return true;
  std::vector<double> rounded(base.size());
  std::transform(base.begin(), base.end(), rounded.begin(),
                 [&](double value) { return Rounded(value, dtype); });
  return SameBits(rounded, expert);
}

uint64_t NonZero(const std::vector<double>& values) {
  return static_cast<uint64_t>(
      std::count_if(values.begin(), values.end(), [](double value) { return value != 0; }));
}

class Comparison {
 public:
  Comparison(const Plan& plan, const Stores& stores) : plan_(plan), reader_(plan, stores) {
    std::set<std::string> seen;
    std::vector<uint32_t> all;
    for (uint32_t m = 0; m < plan.models.size(); ++m) {
      // What an adapter leaves alone is its base's by design.
      if (!plan.models[m].places.empty()) continue;
      if (!seen.insert(plan.models[m].uri).second) continue;
      if (plan.has_base && m == 0) continue;
      all.push_back(m);
    }
    if (plan.has_base) as_base_ = all;
    if (all.size() > 1) groups_.push_back(std::move(all));
  }

  std::vector<std::string> Run() {
    size_t looked = 0;
    const std::vector<Sample> samples = Samples(plan_);
    // Not every method reads the base.
    if (std::none_of(samples.begin(), samples.end(), [&](const Sample& sample) {
          return plan_.tensors[sample.tensor].has_base_source;
        })) {
      as_base_.clear();
    }
    for (const Sample& sample : samples) {
      if (as_base_.empty() && groups_.empty()) break;
      if (!Look(sample)) return {};
      ++looked;
    }
    std::vector<std::string> warnings;
    const std::string where =
        absl::StrCat("in all that was sampled (", looked, " parts of tensors, of up to ",
                     kSampleElements, " elements each)");
    if (!as_base_.empty() && base_elements_ >= kLeastElements) {
      warnings.push_back(absl::StrCat(
          Names(as_base_), ": found no difference to ", Shown(plan_.models[0].given), " ", where,
          ", expected what training changed: see whether its save lost what it learned (an adapter "
          "that was not merged into the weights), or the path names another model than is meant; a "
          "model that is the base adds nothing to a merge, and takes weight from the others"));
    }
    for (const std::vector<uint32_t>& group : groups_) {
      // Both are the base: that was said.
      const bool said = std::all_of(group.begin(), group.end(), [&](uint32_t model) {
        return std::find(as_base_.begin(), as_base_.end(), model) != as_base_.end();
      });
      if (said || elements_ < kLeastElements) continue;
      warnings.push_back(absl::StrCat(Names(group), ": found no difference between them ", where,
                                      ", expected different models: see whether one path is meant "
                                      "for another model; in the merge this one counts ",
                                      group.size(), " times"));
    }
    return warnings;
  }

 private:
  // False where something cannot be read.
  bool Look(const Sample& sample) {
    const PlannedTensor& tensor = plan_.tensors[sample.tensor];
    std::map<uint32_t, std::vector<double>> read;
    std::map<uint32_t, DType> dtypes;
    std::set<uint32_t> wanted(as_base_.begin(), as_base_.end());
    for (const auto& group : groups_) wanted.insert(group.begin(), group.end());
    const bool base = tensor.has_base_source && !as_base_.empty();
    if (base) wanted.insert(0);
    for (const PlannedSource& source : tensor.sources) {
      if (!wanted.contains(source.model)) continue;
      absl::StatusOr<std::vector<double>> values = reader_.Read(source, sample.begin, sample.count);
      if (!values.ok()) return false;
      read[source.model] = *std::move(values);
      dtypes[source.model] = source.dtype;
    }
    if (base) {
      std::erase_if(as_base_,
                    [&](uint32_t model) { return !IsBase(read[0], read[model], dtypes[model]); });
      base_elements_ += NonZero(read[0]);
    }
    std::vector<std::vector<uint32_t>> finer;
    for (const std::vector<uint32_t>& group : groups_) Split(group, read, finer);
    groups_ = std::move(finer);
    if (!groups_.empty()) elements_ += NonZero(read[groups_.front().front()]);
    return true;
  }

  static void Split(const std::vector<uint32_t>& group,
                    const std::map<uint32_t, std::vector<double>>& read,
                    std::vector<std::vector<uint32_t>>& finer) {
    std::vector<std::vector<uint32_t>> parts;
    for (const uint32_t model : group) {
      const auto same = std::find_if(parts.begin(), parts.end(), [&](const auto& part) {
        return SameBits(read.at(part.front()), read.at(model));
      });
      if (same != parts.end()) {
        same->push_back(model);
      } else {
        parts.push_back({model});
      }
    }
    for (std::vector<uint32_t>& part : parts) {
      if (part.size() > 1) finer.push_back(std::move(part));
    }
  }

  std::string Names(const std::vector<uint32_t>& models) const {
    std::string out;
    const size_t named = std::min(kNamed, models.size());
    for (size_t i = 0; i < named; ++i) {
      absl::StrAppend(&out, i == 0 ? "" : ", ", Shown(plan_.models[models[i]].given));
    }
    if (models.size() > named) absl::StrAppend(&out, " and ", models.size() - named, " more");
    return out;
  }

  const Plan& plan_;
  SampleReader reader_;
  std::vector<uint32_t> as_base_;              // equal to the base so far
  std::vector<std::vector<uint32_t>> groups_;  // equal to each other so far; two and more
  uint64_t base_elements_ = 0, elements_ = 0;  // other than zero, that were held against others
};

}  // namespace

std::vector<std::string> EqualModels(const Plan& plan, const Stores& stores) {
  if (plan.models.size() < 2) return {};
  return Comparison(plan, stores).Run();
}

}  // namespace merganser
