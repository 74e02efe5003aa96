#include "tests/fuzz/listed_model.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "common/storage/memory/memory_store.h"

namespace merganser::fuzz {
namespace {

std::string_view Take(std::string_view& text, char end) {
  const std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), taken.size() + 1));
  return taken;
}

std::optional<SafetensorsSpec> ListedTensor(std::string_view line) {
  SafetensorsSpec spec;
  spec.name = std::string(Take(line, ' '));
  const std::optional<DType> dtype = ParseDType(Take(line, ' '));
  if (spec.name.empty() || !dtype.has_value()) return std::nullopt;
  spec.dtype = *dtype;
  while (!line.empty()) {
    const std::string extent(Take(line, ' '));
    uint64_t number = 0;
    if (!absl::SimpleAtoi(extent, &number) || spec.shape.size() == 8) return std::nullopt;
    spec.shape.push_back(number);
  }
  return spec;
}

}  // namespace

std::vector<SafetensorsSpec> ListedTensors(std::string_view lines) {
  constexpr size_t kMost = 100;
  std::vector<SafetensorsSpec> specs;
  while (!lines.empty() && specs.size() < kMost) {
    std::optional<SafetensorsSpec> spec = ListedTensor(Take(lines, '\n'));
    if (spec.has_value()) specs.push_back(*std::move(spec));
  }
  return specs;
}

std::optional<Checkpoint> ListedModel(std::string_view lines) {
  const std::vector<SafetensorsSpec> specs = ListedTensors(lines);
  const auto layout = LayOutSafetensors(specs, {});
  if (specs.empty() || !layout.ok()) return std::nullopt;
  // As a header is read: what no file of today holds is refused there.
  const std::string_view json = std::string_view(layout->header).substr(kSafetensorsPrefix);
  if (!ParseSafetensorsHeader(json, layout->file_size).ok()) return std::nullopt;
  Checkpoint model;
  model.uri = model.given = "/models/listed";
  model.store = MakeMemoryStore("listed");
  CheckpointShard& shard = model.shards.emplace_back();
  shard.key = "model.safetensors";
  shard.info = {layout->file_size, "identity"};
  for (const SafetensorsEntry& entry : layout->tensors) {
    CheckpointTensor& tensor = model.tensors.emplace_back();
    tensor.name = entry.name;
    tensor.dtype = entry.dtype;
    tensor.shape = entry.shape;
    tensor.offset = entry.offset;
    tensor.size = entry.size;
    model.by_name.emplace(entry.name, static_cast<uint32_t>(model.tensors.size() - 1));
  }
  return model;
}

bool LiesWithin(const Checkpoint& model, const StoredBlock& block) {
  if (block.shard >= model.shards.size()) return false;
  const uint64_t file = model.shards[block.shard].info.size;
  const uint64_t width = std::max<uint64_t>(1, BytesPerElement(block.dtype));
  return block.offset <= file && block.elements <= (file - block.offset) / width;
}

}  // namespace merganser::fuzz
