#include "common/storage/http/identity.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

bool IsHeaderText(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

bool IsStrongEtag(std::string_view text) {
  return text.size() >= 2 && text.front() == '"' && text.back() == '"' && IsHeaderText(text);
}

}  // namespace

std::string HttpIdentity::ToString() const {
  return absl::StrCat(size, " ", etag.empty() ? modified : etag);
}

std::optional<HttpIdentity> HttpIdentity::Parse(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || !IsHeaderText(text)) return std::nullopt;
  HttpIdentity identity;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), space), &identity.size)) return std::nullopt;
  const std::string_view rest = text.substr(space + 1);
  (IsStrongEtag(rest) ? identity.etag : identity.modified) = std::string(rest);
  // A sign, or zeros before the number.
  if (identity.ToString() != text) return std::nullopt;
  return identity;
}

std::string HttpIdentity::Condition() const {
  if (!etag.empty()) return absl::StrCat("If-Match: ", etag);
  if (!modified.empty()) return absl::StrCat("If-Unmodified-Since: ", modified);
  return "";
}

std::string_view HttpIdentity::Doubt() const {
  if (!etag.empty()) return {};
  return modified.empty()
             ? "the server tells neither a strong ETag nor a time of it: that it stays "
               "the same is judged by its size alone"
             : "the server tells no strong ETag of it: that it stays the same is judged "
               "by its time (If-Unmodified-Since) and size";
}

HttpIdentity IdentityOf(const HttpAnswer& answer, uint64_t size) {
  HttpIdentity identity;
  identity.size = size;
  const std::string_view etag = answer.Header("etag");
  const std::string_view modified = answer.Header("last-modified");
  if (IsStrongEtag(etag)) {
    identity.etag = std::string(etag);
  } else if (IsHeaderText(modified) && !IsStrongEtag(modified)) {
    identity.modified = std::string(modified);
  }
  return identity;
}

}  // namespace merganser
