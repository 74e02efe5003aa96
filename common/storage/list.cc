#include "common/storage/list.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {

absl::StatusOr<std::vector<ListedObject>> ListAll(ObjectStore& store, std::string_view prefix) {
  MERGANSER_ASSIGN_OR_RETURN(Listing listing, store.List(prefix));
  return std::move(listing.objects);
}

absl::StatusOr<std::vector<ListedObject>> ListFolder(ObjectStore& store, std::string_view folder,
                                                     size_t limit) {
  std::string prefix;
  if (!folder.empty()) {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(folder));
    prefix = absl::StrCat(std::string(folder), "/");
  }
  MERGANSER_ASSIGN_OR_RETURN(Listing listing, store.List(prefix, {.flat = true, .limit = limit}));
  if (listing.more) {
    return absl::InvalidArgumentError(absl::StrCat("list ", store.Describe(folder),
                                                   ": found more than ", limit,
                                                   " entries, expected at most as many"));
  }
  return std::move(listing.objects);
}

absl::StatusOr<std::optional<std::string>> FindAnyObject(
    ObjectStore& store, const std::vector<std::string_view>& ignored) {
  // As many folders may be empty, which some stores have.
  constexpr size_t kLimit = 1000;
  MERGANSER_ASSIGN_OR_RETURN(const Listing top, store.List("", {.flat = true, .limit = kLimit}));
  if (!top.objects.empty()) return top.objects.front().key;
  for (const std::string& folder : top.folders) {
    if (std::find(ignored.begin(), ignored.end(), folder) != ignored.end()) continue;
    MERGANSER_ASSIGN_OR_RETURN(const Listing within, store.List(folder, {.limit = 1}));
    if (!within.objects.empty()) return within.objects.front().key;
  }
  if (top.more) return top.folders.back();
  return std::nullopt;
}

}  // namespace merganser
