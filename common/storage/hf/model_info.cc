#include "common/storage/hf/model_info.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/storage/hf/location.h"
#include "common/storage/object_store.h"

namespace merganser {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMostFiles = 100'000;

bool IsPlain(std::string_view etag) {
  constexpr size_t kLongest = 128;
  return !etag.empty() && etag.size() <= kLongest &&
         std::all_of(etag.begin(), etag.end(),
                     [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); });
}

class InfoReader final : public JsonHandler {
 public:
  absl::Status On(const JsonEvent& event) override {
    switch (event.kind) {
      case JsonEvent::Kind::kObjectBegin:
      case JsonEvent::Kind::kArrayBegin:
        if (Path() == "siblings/[]") file_ = {};
        places_.emplace_back(event.kind == JsonEvent::Kind::kArrayBegin ? "[]" : "");
        return absl::OkStatus();
      case JsonEvent::Kind::kObjectEnd:
      case JsonEvent::Kind::kArrayEnd:
        places_.pop_back();
        return Path() == "siblings/[]" ? TakeFile() : absl::OkStatus();
      case JsonEvent::Kind::kKey:
        places_.back() = std::string(event.text);
        return absl::OkStatus();
      case JsonEvent::Kind::kString:
        OnText(Path(), event.text);
        return absl::OkStatus();
      case JsonEvent::Kind::kUnsigned:
        if (Path() == "siblings/[]/size") file_.size = event.number;
        return absl::OkStatus();
      default:
        return absl::OkStatus();
    }
  }

  HfModelInfo info;

 private:
  struct Sibling {
    std::string path, blob, sha256;
    std::optional<uint64_t> size;
  };

  // Where the event stands: "siblings/[]/size".
  std::string Path() const {
    std::string path;
    for (const std::string& place : places_) absl::StrAppend(&path, path.empty() ? "" : "/", place);
    return path;
  }

  void OnText(std::string_view path, std::string_view text) {
    if (path == "sha") info.commit = std::string(text);
    if (path == "siblings/[]/rfilename") file_.path = std::string(text);
    if (path == "siblings/[]/blobId") file_.blob = std::string(text);
    if (path == "siblings/[]/lfs/sha256") file_.sha256 = std::string(text);
  }

  absl::Status TakeFile() {
    if (!ValidateKey(file_.path).ok()) return absl::OkStatus();
    if (info.files.size() == kMostFiles) {
      return absl::DataLossError(absl::StrCat("found more than ", kMostFiles, " files"));
    }
    std::optional<HfFile>& file = info.files[file_.path];
    const std::string& etag = file_.sha256.empty() ? file_.blob : file_.sha256;
    if (IsPlain(etag) && file_.size.has_value()) file = HfFile{etag, *file_.size};
    return absl::OkStatus();
  }

  std::vector<std::string> places_;
  Sibling file_;
};

}  // namespace

std::string HfFile::ToString() const { return absl::StrCat(etag, "-", size); }

std::optional<HfFile> HfFile::Parse(std::string_view identity) {
  const size_t dash = identity.find('-');
  if (dash == std::string_view::npos || !IsPlain(identity.substr(0, dash))) return std::nullopt;
  HfFile file;
  file.etag = std::string(identity.substr(0, dash));
  const std::string_view size = identity.substr(dash + 1);
  if (!absl::SimpleAtoi(absl::string_view(size.data(), size.size()), &file.size)) {
    return std::nullopt;
  }
  // A sign, or zeros before the number.
  if (file.ToString() != identity) return std::nullopt;
  return file;
}

absl::StatusOr<HfModelInfo> ParseHfModelInfo(std::string_view json) {
  InfoReader reader;
  if (const absl::Status read = ReadJson(json, kMaxDepth, reader); !read.ok()) return read;
  if (!IsHfCommit(reader.info.commit)) {
    return absl::DataLossError("found no commit (sha), expected what the hub tells of a model");
  }
  return std::move(reader.info);
}

std::string PlainEtag(std::string_view header) {
  if (header.starts_with("W/")) header.remove_prefix(2);
  if (header.size() >= 2 && header.front() == '"' && header.back() == '"') {
    header = header.substr(1, header.size() - 2);
  }
  return IsPlain(header) ? std::string(header) : "";
}

}  // namespace merganser
