#include "common/plan/digest.h"

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"

namespace merganser {
namespace {

// By their bits: exactly.
std::string Number(double value) { return absl::StrCat(absl::Hex(std::bit_cast<uint64_t>(value))); }

void AddMethod(const MethodConfig& method, Digester& digest) {
  digest.UpdateField(method.method);
  for (const auto& [key, value] : method.numbers) {
    digest.UpdateField(key);
    digest.UpdateField(Number(value));
  }
  for (const auto& [key, value] : method.choices) {
    digest.UpdateField(key);
    digest.UpdateField(value);
  }
  for (const auto& model : method.per_model) {
    digest.UpdateField(absl::StrCat("model of ", model.size()));
    for (const auto& [key, value] : model) {
      digest.UpdateField(key);
      digest.UpdateField(Number(value));
    }
  }
}

}  // namespace

std::string MethodDigest(const MethodConfig& method) {
  Digester digest;
  AddMethod(method, digest);
  return digest.Hex();
}

std::string PlanDigest(const Plan& plan, const std::vector<std::string>& asked) {
  Digester digest;
  digest.UpdateField(absl::StrCat("numerics ", kNumericsVersion));
  AddMethod(plan.method, digest);
  for (const MethodConfig& method : plan.overrides) AddMethod(method, digest);
  for (const PlannedModel& model : plan.models) {
    digest.UpdateField(model.uri);
    for (const CheckpointShard& shard : model.shards) {
      digest.UpdateField(shard.key);
      digest.UpdateField(absl::StrCat(shard.info.size));
      digest.UpdateField(shard.info.identity);
      digest.UpdateField(shard.header_digest);
    }
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    digest.UpdateField(tensor.spec.name);
    digest.UpdateField(tensor.needs.mode);
    digest.UpdateField(absl::StrCat(tensor.method, " ", tensor.group));
    for (const PlannedSource& source : tensor.sources) {
      digest.UpdateField(absl::StrCat(source.model, " ", source.shard, " ", source.offset));
      for (const SourcePart& part : source.parts) {
        digest.UpdateField(absl::StrCat("part of ", part.elements, " from ", part.of.size()));
        for (const StoredElements& stored : part.of) {
          digest.UpdateField(absl::StrCat(stored.model, " ", stored.shard, " ", stored.offset));
        }
      }
    }
  }
  for (const PlannedShard& shard : plan.shards) digest.UpdateField(shard.header);
  // Progress is kept by unit numbers, so these must mean the same bytes.
  for (const Unit& unit : plan.units) {
    digest.UpdateField(absl::StrCat(unit.shard, " ", unit.begin, " ", unit.end));
    for (const Segment& segment : unit.segments) {
      digest.UpdateField(
          absl::StrCat(segment.tensor, " ", segment.leaf_begin, " ", segment.leaf_end));
    }
  }
  for (const std::string& one : asked) digest.UpdateField(one);
  return digest.Hex();
}

}  // namespace merganser
