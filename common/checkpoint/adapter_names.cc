#include "common/checkpoint/adapter_names.h"

#include <utility>

#include "common/checkpoint/adapter_keys.h"

namespace merganser {

AdapterTensorName NameAdapterTensor(std::string_view key) {
  AdapterKey parsed = ParseAdapterKey(key);
  AdapterTensorName out;
  out.name = std::move(parsed.name);
  out.whole = parsed.role == AdapterRole::kWhole;
  out.embedding =
      parsed.role == AdapterRole::kEmbeddingA || parsed.role == AdapterRole::kEmbeddingB;
  out.is_a = parsed.role == AdapterRole::kA || parsed.role == AdapterRole::kEmbeddingA;
  out.within = parsed.depth > 0;
  return out;
}

}  // namespace merganser
