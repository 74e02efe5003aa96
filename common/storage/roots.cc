#include "common/storage/roots.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

using Segments = std::vector<std::string>;

// As the kernel's own limit.
constexpr int kMaxLinks = 40;

std::string Join(const Segments& segments) {
  return absl::StrCat("/", absl::StrJoin(segments, "/"));
}

std::optional<std::string> LinkTarget(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size <= 0 || static_cast<size_t>(size) == target.size()) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(size));
}

// Where an absolute path leads, with every link followed; what is not there (or
// cannot be looked at) is taken as it is written. nullopt for what leads nowhere, or
// nobody knows where: a circle of links, ".." behind something that is not there, or
// links that lead to a path too long to look at, though the kernel opens what is
// behind them by the short one.
std::optional<Segments> Follow(std::string_view path) {
  Segments at;
  std::deque<std::string> rest;
  for (const auto& segment : absl::StrSplit(absl::string_view(path.data(), path.size()), '/')) {
    rest.emplace_back(segment);
  }
  int links = 0;
  bool there = true;
  while (!rest.empty()) {
    const std::string segment = std::move(rest.front());
    rest.pop_front();
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!there) return std::nullopt;
      if (!at.empty()) at.pop_back();
      continue;
    }
    at.push_back(segment);
    if (!there) continue;
    struct stat st;
    if (::lstat(Join(at).c_str(), &st) != 0) {
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return std::nullopt;
      there = false;
      continue;
    }
    if (!S_ISLNK(st.st_mode)) continue;
    const std::optional<std::string> target = LinkTarget(Join(at));
    if (!target.has_value() || ++links > kMaxLinks) return std::nullopt;
    at.pop_back();
    if (target->front() == '/') at.clear();
    std::vector<std::string> pieces = absl::StrSplit(*target, '/');
    rest.insert(rest.begin(), pieces.begin(), pieces.end());
  }
  return at;
}

// `text` with %XX replaced: what a server may make of it.
std::string Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
    if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(digit(i + 1)) &&
        absl::ascii_isxdigit(digit(i + 2))) {
      out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// A revision is no place of its own: a root of a repository stands for all of them.
void DropRevision(std::string_view scheme, Segments& segments) {
  constexpr size_t kRepositorySegments = 2;
  if (scheme != "hf") return;
  for (size_t i = 0; i < std::min(segments.size(), kRepositorySegments); ++i) {
    segments[i].resize(std::min(segments[i].find('@'), segments[i].size()));
  }
}

// Of a location that is no file path. nullopt where a segment could mean another
// place to whoever serves it.
std::optional<Segments> Split(const std::string& scheme, const std::string& path) {
  Segments segments = absl::StrSplit(path, '/');
  DropRevision(scheme, segments);
  for (const std::string& segment : segments) {
    const std::string meant = Decoded(segment);
    const bool plain = !meant.empty() && meant != "." && meant != ".." &&
                       meant.find_first_of("/\\?#") == std::string::npos;
    if (!plain) return std::nullopt;
  }
  return segments;
}

bool IsFolder(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

}  // namespace

absl::StatusOr<AllowedRoots> AllowedRoots::Make(const std::vector<std::string>& roots,
                                                std::string_view directory, std::string_view who) {
  AllowedRoots allowed;
  allowed.who_ = std::string(who);
  for (const std::string& text : roots) {
    MERGANSER_ASSIGN_OR_RETURN(const Uri parsed, ParseUri(text));
    MERGANSER_ASSIGN_OR_RETURN(const Uri uri, Absolute(parsed, directory));
    const bool file = uri.scheme == "file";
    std::optional<Segments> segments = file ? Follow(uri.path) : Split(uri.scheme, uri.path);
    if (uri.scheme == "hf" && uri.path.find('@') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("storage root ", Shown(text),
                       ": found a revision, expected hf://org or hf://org/name, which allow all"));
    }
    if (!segments.has_value() || (file && !IsFolder(uri.path))) {
      return absl::InvalidArgumentError(
          absl::StrCat("storage root ", Shown(text), ": found ",
                       file ? "no folder there, expected one that exists"
                            : "segments that are empty or mean other places, expected a prefix "
                              "such as s3://bucket/models"));
    }
    allowed.roots_.push_back({uri.ToString(), uri.scheme, *std::move(segments)});
  }
  return allowed;
}

absl::Status AllowedRoots::Check(std::string_view text) const {
  if (everything()) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  std::optional<Segments> segments;
  if (uri.scheme != "file") {
    segments = Split(uri.scheme, uri.path);
  } else if (uri.path.front() == '/') {
    segments = Follow(uri.path);
  }
  const bool allowed =
      segments.has_value() && std::any_of(roots_.begin(), roots_.end(), [&](const Root& root) {
        return root.scheme == uri.scheme && root.segments.size() <= segments->size() &&
               std::equal(root.segments.begin(), root.segments.end(), segments->begin());
      });
  if (allowed) return absl::OkStatus();
  const std::string given = absl::StrJoin(
      roots_, ", ", [](std::string* out, const Root& root) { out->append(Shown(root.given)); });
  return absl::PermissionDeniedError(absl::StrCat(
      Shown(text), ": found a place outside of the storage roots that ", who_, " allows (", given,
      "), or a link that leads there; choose one below them, or ask its operator for another "
      "--allow-root"));
}

}  // namespace merganser
