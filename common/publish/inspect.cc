#include "common/publish/inspect.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "common/format/text.h"
#include "common/publish/numbers.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

struct Totals {
  uint64_t tensors = 0;
  uint64_t parameters = 0;
  uint64_t bytes = 0;
  std::map<std::string, std::pair<uint64_t, uint64_t>> dtypes;  // tensors, parameters
  std::vector<uint64_t> of_shard;                               // tensors
};

// Sizes were checked against shapes when the header was read.
uint64_t Elements(const CheckpointTensor& tensor) {
  uint64_t elements = 1;
  for (uint64_t side : tensor.shape) elements *= side;
  return elements;
}

Totals Count(const Checkpoint& checkpoint) {
  Totals totals;
  totals.of_shard.resize(checkpoint.shards.size());
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const uint64_t elements = Elements(tensor);
    ++totals.tensors;
    totals.parameters += elements;
    totals.bytes += tensor.size;
    auto& [tensors, parameters] = totals.dtypes[std::string(DTypeName(tensor.dtype))];
    ++tensors;
    parameters += elements;
    ++totals.of_shard[tensor.shard];
  }
  return totals;
}

std::string ShapeText(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) absl::StrAppend(&out, i ? ", " : "", shape[i]);
  return out + "]";
}

// Of what is decoded as it is read.
std::string StoredText(const CheckpointTensor& tensor) {
  if (!tensor.coded.has_value()) return "";
  return absl::StrCat("  (stored as ", std::string(DTypeName(*tensor.coded)), " with scales)");
}

}  // namespace

std::string InspectText(const Checkpoint& checkpoint) {
  const Totals totals = Count(checkpoint);
  std::string out = absl::StrCat(OneLine(checkpoint.uri), "\n");
  if (!checkpoint.config.model_type.empty() || !checkpoint.config.architecture.empty()) {
    absl::StrAppend(&out, "model type ", OneLine(checkpoint.config.model_type), ", architecture ",
                    OneLine(checkpoint.config.architecture),
                    checkpoint.config.tie_word_embeddings ? ", tied embeddings" : "", "\n");
  }
  absl::StrAppend(&out, totals.tensors, " tensors, ", FormatCount(totals.parameters),
                  " parameters, ", FormatBytes(totals.bytes), "\n");
  for (const auto& [dtype, count] : totals.dtypes) {
    absl::StrAppend(&out, "  ", dtype, ": ", count.first, " tensors, ", FormatCount(count.second),
                    " parameters\n");
  }
  out += "shards\n";
  for (size_t i = 0; i < checkpoint.shards.size(); ++i) {
    const CheckpointShard& shard = checkpoint.shards[i];
    absl::StrAppend(&out, "  ", OneLine(shard.key), "  ", FormatBytes(shard.info.size), ", ",
                    totals.of_shard[i], " tensors\n");
  }
  out += "tensors\n";
  size_t width = 0;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    width = std::max(width, std::min<size_t>(tensor.name.size(), 80));
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    absl::StrAppend(&out,
                    Formatted("  %-*s  %-4s  ", static_cast<int>(width), OneLine(tensor.name),
                              std::string(DTypeName(tensor.dtype))),
                    ShapeText(tensor.shape), StoredText(tensor), "\n");
  }
  return out;
}

std::string InspectJson(const Checkpoint& checkpoint) {
  const Totals totals = Count(checkpoint);
  Json dtypes = Json::object();
  for (const auto& [dtype, count] : totals.dtypes) {
    dtypes[dtype] = {{"tensors", count.first}, {"parameters", count.second}};
  }
  Json shards = Json::array(), tensors = Json::array();
  for (size_t i = 0; i < checkpoint.shards.size(); ++i) {
    shards.push_back({{"file", checkpoint.shards[i].key},
                      {"size", checkpoint.shards[i].info.size},
                      {"tensors", totals.of_shard[i]}});
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"dtype", DTypeName(tensor.dtype)},
                       {"shape", tensor.shape},
                       {"file", checkpoint.shards[tensor.shard].key},
                       {"offset", tensor.offset},
                       {"bytes", tensor.size}});
    if (tensor.coded.has_value()) tensors.back()["stored_as"] = DTypeName(*tensor.coded);
  }
  const Json json = {{"model", checkpoint.given},
                     {"uri", checkpoint.uri},
                     {"model_type", checkpoint.config.model_type},
                     {"architecture", checkpoint.config.architecture},
                     {"tied", checkpoint.config.tie_word_embeddings},
                     {"totals",
                      {{"tensors", totals.tensors},
                       {"parameters", totals.parameters},
                       {"bytes", totals.bytes},
                       {"dtypes", std::move(dtypes)}}},
                     {"shards", std::move(shards)},
                     {"tensors", std::move(tensors)}};
  return ShownJson(json.dump(1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

}  // namespace merganser
