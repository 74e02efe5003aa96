#include "proto/channel/token_source.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/channel/address.h"
#include "proto/channel/token_file.h"

namespace merganser {

TokenSource::TokenSource(std::string address, const ChannelSecurity& security)
    : address_(std::move(address)),
      given_token_(security.token),
      given_file_(security.token_file) {}

std::string TokenSource::FindFile() const {
  if (!given_file_.empty()) return given_file_;
  const absl::StatusOr<std::string> folder = RuntimeFolder(/*create=*/false);
  if (!folder.ok()) return "";  // nothing of ours is there
  for (const std::string& name : TokenFileNames(address_)) {
    std::string path = absl::StrCat(*folder, "/", name);
    if (StampOf(path).has_value()) return path;
  }
  return "";
}

absl::StatusOr<std::string> TokenSource::Read(const std::string& file) {
  MERGANSER_ASSIGN_OR_RETURN(const PrivateFile read, ReadPrivateFile(file, kMaxTokenFileBytes));
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<TokenLine> lines, ParseTokenLines(read.text, file));
  if (lines.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(OneLine(file), ": found ", lines.size(),
                     " tokens, expected one: a client's file holds its own token alone"));
  }
  file_ = file;
  stamp_ = read.stamp;
  return lines.front().token;
}

void TokenSource::Set(const std::optional<std::string>& text) {
  if (token_.text != text) ++token_.number;
  token_.text = text;
}

absl::StatusOr<CurrentToken> TokenSource::Current() {
  MutexLock lock(mutex_);
  if (!given_token_.empty()) {
    MERGANSER_RETURN_IF_ERROR(CheckToken(given_token_, "MERGANSER_TOKEN"));
    Set(given_token_);
    return token_;
  }
  const std::string file = FindFile();
  if (file.empty()) {
    stamp_.reset();
    Set(std::nullopt);
    return token_;
  }
  if (stamp_.has_value() && file == file_ && StampOf(file) == stamp_) return token_;
  const absl::StatusOr<std::string> text = Read(file);
  if (text.ok()) {
    Set(*text);
  } else if (absl::IsNotFound(text.status()) && given_file_.empty()) {
    Set(std::nullopt);  // removed in between
  } else if (!token_.text.has_value()) {
    return Annotate(text.status(), "token file");
  }
  return token_;
}

std::string TokenSource::Origin() const {
  if (!given_token_.empty()) return "MERGANSER_TOKEN";
  const std::string file = FindFile();
  return file.empty() ? "" : OneLine(file);
}

}  // namespace merganser
