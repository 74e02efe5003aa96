#include "common/checkpoint/adapter_modules.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/adapter_keys.h"
#include "common/checkpoint/refusals.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamed = 3;

// The place of `role` in `module`; of A and B it says whether they are an embedding's.
const CheckpointTensor** PlaceOf(AdapterRole role, AdapterModule& module) {
  switch (role) {
    case AdapterRole::kA:
    case AdapterRole::kEmbeddingA:
      return &module.a;
    case AdapterRole::kB:
    case AdapterRole::kEmbeddingB:
      return &module.b;
    case AdapterRole::kBiasB:
      return &module.bias;
    case AdapterRole::kMagnitude:
      return &module.magnitude;
    default:
      return nullptr;
  }
}

void CheckFactor(const CheckpointTensor& factor, AdapterFaults& faults) {
  const bool empty = std::find(factor.shape.begin(), factor.shape.end(), 0) != factor.shape.end();
  if (!empty && factor.shape.size() >= 2) return;
  faults.Add(absl::StrCat(
      "tensor ", Quoted(factor.name), ": found shape ", ShapeText(factor.shape),
      ", expected a factor of rank 1 or more: is it a part that DeepSpeed or FSDP left, of weights "
      "that were not gathered when the adapter was saved?"));
}

}  // namespace

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

void AdapterFaults::Add(std::string what) {
  if (++count_ <= kNamed) named_.push_back(std::move(what));
}

absl::Status AdapterFaults::ToStatus() const {
  if (count_ == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "adapter ", Quoted(adapter_.given), ": ", adapter_.DescribeFile(), ": ",
      absl::StrJoin(named_, "; "),
      count_ > kNamed ? absl::StrCat("; and ", count_ - kNamed, " more") : std::string()));
}

absl::StatusOr<AdapterContents> ContentsOf(const Adapter& adapter) {
  AdapterFaults faults(adapter);
  AdapterContents contents;
  std::map<std::pair<std::string, size_t>, AdapterModule> modules;
  std::set<std::string> adapters, whole;
  for (const CheckpointTensor& tensor : adapter.tensors) {
    AdapterKey key = ParseAdapterKey(tensor.name);
    if (key.role == AdapterRole::kOriginal) continue;
    if (!key.adapter.empty()) adapters.insert(key.adapter);
    if (key.role == AdapterRole::kUnknown) {
      faults.Add(absl::StrCat("tensor ", Quoted(tensor.name),
                              ": of an adapter of a kind that is not supported by this version, "
                              "expected lora_A, lora_B, lora_embedding_A, lora_embedding_B or "
                              "lora_magnitude_vector"));
      continue;
    }
    if (key.role == AdapterRole::kWhole) {
      if (!whole.insert(key.name).second) {
        faults.Add(absl::StrCat("tensor ", Quoted(tensor.name), ": is there twice, as ",
                                Quoted(key.name)));
      }
      contents.whole.push_back({std::move(key.name), &tensor});
      continue;
    }
    AdapterModule& module = modules[{key.name, key.depth}];
    module.name = key.name;
    module.depth = key.depth;
    module.embedding = module.embedding || key.role == AdapterRole::kEmbeddingA ||
                       key.role == AdapterRole::kEmbeddingB;
    const CheckpointTensor*& place = *PlaceOf(key.role, module);
    if (place != nullptr) {
      faults.Add(absl::StrCat("tensors ", Quoted(place->name), " and ", Quoted(tensor.name),
                              " are one factor, expected it once"));
    }
    place = &tensor;
  }
  if (adapters.size() > 1) {
    faults.Add(absl::StrCat(
        "found factors of several adapters (",
        FirstFew(std::vector<std::string>(adapters.begin(), adapters.end())),
        "), expected one: save each into a folder of its own, with save_pretrained(..., "
        "selected_adapters=[...])"));
  }
  for (auto& [place, module] : modules) {
    if (module.a == nullptr || module.b == nullptr) {
      const CheckpointTensor* found = module.a != nullptr      ? module.a
                                      : module.b != nullptr    ? module.b
                                      : module.bias != nullptr ? module.bias
                                                               : module.magnitude;
      faults.Add(absl::StrCat("tensor ", Quoted(found->name), ": found no ",
                              module.a == nullptr ? "lora_A" : "lora_B", " of module ",
                              Quoted(module.name),
                              " beside it, expected both factors; was the adapter saved whole?"));
      continue;
    }
    CheckFactor(*module.a, faults);
    CheckFactor(*module.b, faults);
    contents.modules.push_back(std::move(module));
  }
  MERGANSER_RETURN_IF_ERROR(faults.ToStatus());
  return contents;
}

}  // namespace merganser
