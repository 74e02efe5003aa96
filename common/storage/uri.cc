#include "common/storage/uri.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr std::string_view kSeparator = "://";

bool IsScheme(std::string_view text) {
  if (text.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(text.front()))) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.';
  });
}

absl::Status BadUri(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("location \"", Shown(text), "\" ", std::string(why)));
}

bool IsHttp(std::string_view scheme) { return scheme == "http" || scheme == "https"; }

// "Host:443/a" of https -> "host/a".
std::string WithPlainHost(const std::string& scheme, std::string_view rest) {
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string host = absl::AsciiStrToLower(std::string(rest.substr(0, slash)));
  const std::string_view port = scheme == "https" ? ":443" : ":80";
  if (host.ends_with(port)) host.resize(host.size() - port.size());
  return absl::StrCat(host, std::string(rest.substr(slash)));
}

// Keeps the root itself ("/").
std::string_view WithoutTrailingSlashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

}  // namespace

std::string Uri::ToString() const {
  if (scheme == "file") return path;
  return absl::StrCat(scheme, std::string(kSeparator), path);
}

absl::StatusOr<Uri> ParseUri(std::string_view text) {
  if (text.empty()) return BadUri(text, "is empty; expected a path or scheme://...");
  MERGANSER_RETURN_IF_ERROR(CheckNoSecrets(text));
  if (text.find('\0') != std::string_view::npos) return BadUri(text, "contains a zero byte");

  const size_t colon = text.find(kSeparator);
  // "a/b://c" is a file path: the text before "://" is no scheme.
  if (colon == std::string_view::npos || text.substr(0, colon).find('/') != text.npos) {
    return Uri{"file", std::string(WithoutTrailingSlashes(text))};
  }
  const std::string_view scheme = text.substr(0, colon);
  if (!IsScheme(scheme)) {
    return BadUri(text, absl::StrCat("has the malformed scheme \"", Shown(scheme),
                                     "\"; expected letters, such as file:// or s3://"));
  }
  std::string_view rest = text.substr(colon + kSeparator.size());
  Uri uri{absl::AsciiStrToLower(std::string(scheme)), ""};
  if (uri.scheme == "file") {
    const size_t slash = rest.find('/');
    const std::string_view host = rest.substr(0, slash);
    if (!host.empty() && host != "localhost") {
      return BadUri(text, absl::StrCat("names the host \"", Shown(host),
                                       "\"; files are read on this machine: write file:///path"));
    }
    if (slash == std::string_view::npos) return BadUri(text, "has no path; write file:///path");
    rest.remove_prefix(slash);
  }
  if (rest.empty()) return BadUri(text, "names nothing after the scheme");
  uri.path = std::string(WithoutTrailingSlashes(rest));
  if (IsHttp(uri.scheme)) {
    uri.path = WithPlainHost(uri.scheme, uri.path);
    if (uri.path.empty() || uri.path.front() == '/') {
      return BadUri(text, absl::StrCat("has no host; write ", uri.scheme, "://host/path"));
    }
  }
  return uri;
}

absl::Status CheckNoSecrets(std::string_view text) {
  const size_t colon = text.find(kSeparator);
  if (colon == std::string_view::npos) return absl::OkStatus();
  const std::string scheme = absl::AsciiStrToLower(std::string(text.substr(0, colon)));
  if (scheme.find('/') != std::string::npos || scheme == "file") return absl::OkStatus();
  const std::string_view rest = text.substr(colon + kSeparator.size());
  const std::string_view host = rest.substr(0, rest.find_first_of("/?#"));
  // hf://name@revision, of a repository without an organisation.
  const bool revision =
      scheme == "hf" && host.size() == rest.size() && host.find(':') == std::string_view::npos;
  if (host.find('@') != std::string_view::npos && !revision) {
    return absl::InvalidArgumentError(
        "found a location with a user part (before an '@'), expected one without: credentials are "
        "taken from the environment");
  }
  if ((IsHttp(scheme) || scheme == "hf") && rest.find_first_of("?#") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "found a location with a query or fragment (behind a '?' or '#'), expected a folder's: a "
        "signed URL is of one file, and its signature would be put on record");
  }
  return absl::OkStatus();
}

absl::StatusOr<Uri> Absolute(const Uri& uri, std::string_view directory) {
  if (uri.scheme != "file") return uri;
  std::string full = uri.path;
  if (full.empty() || full.front() != '/') {
    if (directory.empty() || directory.front() != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("path \"", Shown(full), "\" is relative and the folder \"", Shown(directory),
                       "\" to resolve it against is not absolute"));
    }
    full = absl::StrCat(std::string(directory), "/", full);
  }
  std::vector<std::string_view> kept;
  const std::string_view text = full;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view segment = text.substr(begin, end - begin);
    begin = end + 1;
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();  // above the root is the root, as for the kernel
      continue;
    }
    kept.push_back(segment);
  }
  std::string path;
  for (const std::string_view segment : kept) {
    path += '/';
    path += segment;
  }
  return Uri{"file", path.empty() ? "/" : path};
}

}  // namespace merganser
