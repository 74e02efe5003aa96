#include "tests/common/plan/plan_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/format/safetensors.h"
#include "common/methods/registry.h"
#include "common/plan/validate.h"
#include "common/recipe/recipe.h"
#include "common/storage/object_store.h"

namespace merganser {
namespace {

// Every object is zeros without end.
class ZeroStore final : public ObjectStore {
 public:
  explicit ZeroStore(std::string name) : name_(std::move(name)) {}

  std::string Describe(std::string_view key) const override {
    return absl::StrCat(name_, "/", std::string(key));
  }
  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view) override { return std::nullopt; }
  absl::Status Read(std::string_view, uint64_t, std::span<std::byte> out,
                    std::string_view) override {
    std::fill(out.begin(), out.end(), std::byte{0});
    return absl::OkStatus();
  }
  absl::StatusOr<Listing> List(std::string_view, const ListOptions&) override { return Listing(); }
  absl::Status Put(std::string_view, std::string_view) override { return NotHere(); }
  absl::StatusOr<bool> PutIfAbsent(std::string_view, std::string_view) override {
    return NotHere();
  }
  absl::Status Delete(std::string_view, std::string_view) override { return NotHere(); }
  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout&, std::string_view) override {
    return NotHere();
  }
  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite&, uint64_t,
                                          std::span<const std::byte>) override {
    return NotHere();
  }
  absl::Status FlushWrite(const PlannedWrite&) override { return NotHere(); }
  absl::StatusOr<bool> Stands(const PlannedWrite&) override { return NotHere(); }
  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite&,
                                                 std::span<const WriteReceipt>) override {
    return NotHere();
  }
  absl::Status CommitWrite(const PlannedWrite&, std::span<const WriteReceipt>) override {
    return NotHere();
  }
  absl::Status AbortWrite(const PlannedWrite&) override { return NotHere(); }
  absl::Status AbortWritesOf(std::string_view, std::string_view, std::optional<WallTime>) override {
    return NotHere();
  }
  StoreTraits traits() const override { return {}; }

 private:
  static absl::Status NotHere() { return absl::UnimplementedError("planning writes nothing"); }

  const std::string name_;
};

}  // namespace

Checkpoint FakeCheckpoint(const std::string& name, const std::vector<FakeTensor>& tensors,
                          size_t shards) {
  Checkpoint checkpoint;
  checkpoint.uri = "/models/" + name;
  checkpoint.given = name;
  checkpoint.store = std::make_shared<ZeroStore>(checkpoint.uri);
  for (size_t s = 0; s < shards; ++s) {
    std::vector<SafetensorsSpec> specs;
    for (size_t t = tensors.size() * s / shards; t < tensors.size() * (s + 1) / shards; ++t) {
      specs.push_back({tensors[t].name, tensors[t].dtype, tensors[t].shape});
    }
    const absl::StatusOr<SafetensorsLayout> layout = LayOutSafetensors(specs, {});
    EXPECT_TRUE(layout.ok()) << layout.status();
    CheckpointShard shard;
    shard.key = shards == 1 ? "model.safetensors"
                            : absl::StrFormat("model-%05d-of-%05d.safetensors", s + 1, shards);
    shard.info = {layout->file_size, absl::StrCat(name, " version 1")};
    shard.header_digest = DigestHex(layout->header);
    checkpoint.shards.push_back(std::move(shard));
    for (const SafetensorsEntry& entry : layout->tensors) {
      checkpoint.by_name[entry.name] = static_cast<uint32_t>(checkpoint.tensors.size());
      checkpoint.tensors.push_back({entry.name, entry.dtype, entry.shape, static_cast<uint32_t>(s),
                                    entry.offset, entry.size});
    }
  }
  return checkpoint;
}

std::vector<Checkpoint> FakeModels(const std::vector<FakeTensor>& tensors, size_t experts) {
  std::vector<Checkpoint> models = {FakeCheckpoint("base", tensors)};
  for (size_t i = 0; i < experts; ++i) {
    models.push_back(FakeCheckpoint(std::string(1, static_cast<char>('a' + i)), tensors));
  }
  return models;
}

absl::StatusOr<Plan> PlanOf(std::string_view recipe_text, const std::vector<Checkpoint>& models,
                            const StoreTraits& output) {
  MERGANSER_ASSIGN_OR_RETURN(const Recipe recipe, ParseRecipe(recipe_text, "r.yaml"));
  MERGANSER_ASSIGN_OR_RETURN(const ResolvedMethod resolved,
                             ResolveMethod(recipe, [](const std::string& model) { return model; }));
  std::vector<const Checkpoint*> pointers;
  for (const Checkpoint& model : models) pointers.push_back(&model);
  MERGANSER_ASSIGN_OR_RETURN(const Alignment alignment,
                             AlignModels(pointers, SlicesOf(resolved), OptionsOf(resolved)));
  absl::StatusOr<Plan> plan = MakePlan(recipe, resolved, pointers, alignment, output);
  // What is made here is what workers take.
  if (plan.ok()) {
    EXPECT_TRUE(ValidatePlan(*plan).ok()) << ValidatePlan(*plan);
  }
  return plan;
}

std::string With(std::string_view recipe, std::string_view line) {
  return absl::StrCat(std::string(recipe), std::string(line), "\n");
}

const PlannedTensor& TensorOf(const Plan& plan, std::string_view name) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.spec.name == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return plan.tensors.at(0);
}

}  // namespace merganser
