// What the hub tells of a model.
//
// What is accepted has a commit, and paths and files that can be no others.
#include "common/storage/hf/location.h"
#include "common/storage/hf/model_info.h"
#include "common/storage/object_store.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const std::string_view text = TextOf(data, size);
  Require(PlainEtag(text).find('/') == std::string::npos, "an ETag that is a path");
  const auto info = ParseHfModelInfo(text);
  if (!info.ok()) {
    RequireRefusal(info.status(), {absl::StatusCode::kDataLoss});
    return 0;
  }
  Require(IsHfCommit(info->commit), "no commit", info->commit);
  for (const auto& [path, file] : info->files) {
    Require(ValidateKey(path).ok(), "a path that no key is", path);
    if (!file.has_value()) continue;
    Require(PlainEtag(file->etag) == file->etag, "an ETag that is none", file->etag);
    Require(HfFile::Parse(file->ToString()) == *file, "an identity that is read as another",
            file->ToString());
  }
  return 0;
}
