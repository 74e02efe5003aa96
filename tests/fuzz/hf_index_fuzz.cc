// model.safetensors.index.json.
//
// What is accepted names bare files and each tensor once, in order, and is the same when it is
// written and read again.
#include <string>

#include "common/format/hf_index.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto index = ParseHfIndex(TextOf(data, size));
  if (!index.ok()) {
    RequireRefusal(index.status(), {absl::StatusCode::kDataLoss});
    return 0;
  }
  const std::string* before = nullptr;
  for (const auto& [tensor, file] : index->weight_map) {
    Require(before == nullptr || *before < tensor, "tensors out of order, or twice", tensor);
    before = &tensor;
    Require(!file.empty() && file.find('/') == std::string::npos && file[0] != '.' &&
                file.find('\0') == std::string::npos,
            "a file that may be elsewhere", file);
  }
  const std::string written = WriteHfIndex(*index);
  const auto again = ParseHfIndex(written);
  Require(again.ok(), "what was written cannot be read", written);
  Require(again->total_size == index->total_size && again->weight_map == index->weight_map,
          "the index is not what was written", written);
  Require(WriteHfIndex(*again) == written, "written twice, and not alike", written);
  return 0;
}
