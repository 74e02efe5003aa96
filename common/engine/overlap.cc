#include "common/engine/overlap.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<Uri> AbsoluteUri(std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  std::error_code error;
  const fs::path here = fs::current_path(error);
  return Absolute(uri, error ? std::string("/") : here.string());
}

std::vector<std::string> Segments(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) segments.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return segments;
}

// `inner` is `outer` or lies below it.
bool Within(std::string_view inner, std::string_view outer) {
  const std::vector<std::string> in = Segments(inner), out = Segments(outer);
  return in.size() >= out.size() && std::equal(out.begin(), out.end(), in.begin());
}

// The same by device and inode: one of inner's existing ancestors, or itself, is
// `outer`. Finds bind mounts and file systems that fold case.
bool WithinOnDisk(const std::string& inner, const std::string& outer) {
  struct stat target;
  if (::stat(outer.c_str(), &target) != 0) return false;
  for (fs::path at = inner;; at = at.parent_path()) {
    struct stat found;
    if (::stat(at.c_str(), &found) == 0 && found.st_dev == target.st_dev &&
        found.st_ino == target.st_ino) {
      return true;
    }
    if (at == at.parent_path()) return false;
  }
}

// An error where the output is `inside` the input, or `around` it.
absl::Status Judge(std::string_view output, std::string_view input, bool inside, bool around) {
  if (!inside && !around) return absl::OkStatus();
  const char* how = inside && around ? "is" : inside ? "lies inside" : "contains";
  return absl::FailedPreconditionError(
      absl::StrCat(Shown(output), ": the output ", how, " the folder of the input ", Shown(input),
                   "; choose an output apart from every input (--overwrite does not change this)"));
}

std::string Canonical(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path, error);
  return error ? path : real.string();
}

// Those of adapters too.
std::vector<std::string> FoldersOf(const std::vector<PlannedModel>& models) {
  std::vector<std::string> folders;
  for (const PlannedModel& model : models) {
    folders.push_back(model.uri);
    folders.insert(folders.end(), model.places.begin(), model.places.end());
  }
  return folders;
}

}  // namespace

absl::Status CheckApart(std::string_view output_uri, const std::vector<PlannedModel>& inputs) {
  MERGANSER_ASSIGN_OR_RETURN(const Uri output, AbsoluteUri(output_uri));
  const bool local = output.scheme == "file";
  const std::string output_real = local ? Canonical(output.path) : output.path;
  for (const std::string& folder : FoldersOf(inputs)) {
    MERGANSER_ASSIGN_OR_RETURN(const Uri input, AbsoluteUri(folder));
    if (input.scheme != output.scheme) continue;
    bool inside = Within(output.path, input.path), around = Within(input.path, output.path);
    if (local) {
      const std::string input_real = Canonical(input.path);
      inside = inside || Within(output_real, input_real) || WithinOnDisk(output_real, input_real);
      around = around || Within(input_real, output_real) || WithinOnDisk(input_real, output_real);
    }
    MERGANSER_RETURN_IF_ERROR(Judge(output_uri, folder, inside, around));
  }
  return absl::OkStatus();
}

absl::Status CheckPlacesApart(const Stores& stores, std::string_view output_uri,
                              const std::vector<PlannedModel>& inputs) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string output, stores.PlaceOf(output_uri));
  if (output.empty()) return absl::OkStatus();
  for (const std::string& folder : FoldersOf(inputs)) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string input, stores.PlaceOf(folder));
    if (input.empty()) continue;
    MERGANSER_RETURN_IF_ERROR(
        Judge(output_uri, folder, Within(output, input), Within(input, output)));
  }
  return absl::OkStatus();
}

}  // namespace merganser
