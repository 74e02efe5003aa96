#include <utility>

#include "common/checkpoint/adapter_application.h"

namespace merganser {
namespace {

void TakeWhole(const WholeTensor& whole, AdapterApplication& to) {
  const CheckpointTensor& stored = *whole.tensor;
  if (to.adapter.weight != 1) {
    to.faults.Add(absl::StrCat("tensor ", Quoted(stored.name),
                               " is brought whole (modules_to_save, a bias or an embedding), and "
                               "the recipe gives the adapter weight ",
                               to.adapter.weight, "; expected 1, as it is no delta"));
    return;
  }
  const CheckpointTensor* found = to.targets->Find(whole.name);
  const std::string name = found != nullptr ? found->name : to.targets->Renamed(whole.name);
  const bool head = found == nullptr && to.tie.has_value() && name == to.tie->copy;
  if (found == nullptr && !head) return to.NoTensor(stored, whole.name);
  const Shape& shape = head ? to.base.Find(to.tie->kept)->shape : found->shape;
  if (stored.shape != shape) {
    const bool rows = stored.shape.size() == 2 && shape.size() == 2 &&
                      stored.shape[1] == shape[1] && (IsInputEmbedding(name) || IsOutputHead(name));
    to.faults.Add(absl::StrCat(
        "tensor ", Quoted(stored.name), ": found shape ", ShapeText(stored.shape), ", expected ",
        ShapeText(shape), " as ", Quoted(name), " of the base",
        rows ? " (its tokenizer has other tokens than the base's: merge the adapter into its base "
               "with PEFT's merge_and_unload(), and name the result)"
             : ""));
    return;
  }
  if (!to.whole.insert(name).second || (!head && to.OfModel(*found).update.has_value())) {
    to.faults.Add(absl::StrCat("tensor ", Quoted(stored.name), " brings ", Quoted(name),
                               " whole, and another adapter of this model changes it too; expected "
                               "one of them alone"));
    return;
  }
  to.mine.insert(name);
  ++to.origin.whole;
  if (head) {
    CheckpointTensor tensor = stored;
    tensor.name = name;
    tensor.shard = to.shard;
    to.model.by_name.emplace(name, static_cast<uint32_t>(to.model.tensors.size()));
    to.model.tensors.push_back(std::move(tensor));
    to.model.warnings.push_back(absl::StrCat(to.Name(), ": brings a head of its own (",
                                             Quoted(name),
                                             "), which the base does not store, "
                                             "as its head is ",
                                             Quoted(to.tie->kept)));
    return;
  }
  CheckpointTensor& tensor = to.OfModel(*found);
  tensor.dtype = stored.dtype;
  tensor.shard = to.shard;
  tensor.offset = stored.offset;
  tensor.size = stored.size;
  tensor.stored = stored.name;
  tensor.scales.reset();
  tensor.coded.reset();
}

}  // namespace

void TakeWholeTensors(AdapterApplication& to) {
  for (const WholeTensor& whole : to.contents.whole) TakeWhole(whole, to);
}

}  // namespace merganser
