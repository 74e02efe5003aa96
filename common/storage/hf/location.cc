#include "common/storage/hf/location.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/object_store.h"

namespace merganser {
namespace {

bool IsRevision(std::string_view text) {
  constexpr size_t kLongest = 256;
  return !text.empty() && text.size() <= kLongest && text.front() != '-' && text.front() != '/' &&
         text.back() != '/' && text.find("..") == std::string_view::npos &&
         text.find("//") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '-' || c == '/' || c == '+';
         });
}

absl::Status Bad(std::string_view path, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("location \"hf://", Shown(path),
                                                 "\": ", std::string(why),
                                                 ", expected hf://org/name[@revision][/folder]"));
}

// The beginning of `text` up to the n-th '/'.
std::string_view Segments(std::string_view text, int n) {
  size_t end = 0;
  for (; n > 0 && end != std::string_view::npos; --n) {
    end = text.find('/', end + (end > 0 ? 1 : 0));
  }
  return text.substr(0, end);
}

}  // namespace

bool HfLocation::pinned() const { return IsHfCommit(revision); }

std::string HfLocation::ToString() const {
  return absl::StrCat("hf://", repository, "@", absl::StrReplaceAll(revision, {{"/", "%2F"}}),
                      folder.empty() ? "" : "/", folder);
}

absl::StatusOr<HfLocation> ParseHfLocation(std::string_view path) {
  for (const std::string_view kind : {"datasets/", "spaces/", "buckets/"}) {
    if (path.starts_with(kind)) return Bad(path, "is no model of the hub");
  }
  // A name without an organisation ends at its '@', as far as '/' parts it.
  const bool alone = Segments(path, 1).find('@') != std::string_view::npos;
  const std::string_view name = Segments(path, alone ? 1 : 2);
  std::string_view rest = path.substr(name.size());
  HfLocation location;
  const size_t at = name.find('@');
  location.repository = std::string(name.substr(0, at));
  if (!IsHfRepository(location.repository)) return Bad(path, "names no repository");
  if (at != std::string_view::npos) {
    std::string revision(name.substr(at + 1));
    // The one with slashes that is written as it is.
    constexpr std::string_view kPullRequest = "/pr/";
    if (revision == "refs" && rest.starts_with(kPullRequest)) {
      const std::string_view request = Segments(rest.substr(1), 2);
      absl::StrAppend(&revision, "/", std::string(request));
      rest.remove_prefix(1 + request.size());
    }
    location.revision = absl::StrReplaceAll(revision, {{"%2F", "/"}, {"%2f", "/"}});
    if (!IsRevision(location.revision)) return Bad(path, "names no revision behind the '@'");
  }
  if (!rest.empty()) {
    location.folder = std::string(rest.substr(1));
    if (!ValidateKey(location.folder).ok()) return Bad(path, "names no folder");
  }
  return location;
}

bool IsHfRepository(std::string_view text) {
  if (text.empty() || text.size() > 96 * 2 + 1) return false;
  size_t parts = 1;
  char previous = '/';
  for (const char c : text) {
    const bool word = absl::ascii_isalnum(static_cast<unsigned char>(c));
    if (c == '/') {
      if (previous == '/' || ++parts > 2) return false;
    } else {
      // Neither ".", ".." nor "-x".
      const bool inner = previous != '/' && (c == '-' || c == '.');
      if (!word && c != '_' && !inner) return false;
    }
    previous = c;
  }
  return previous != '/';
}

bool IsHfCommit(std::string_view text) {
  constexpr size_t kDigits = 40;
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace merganser
