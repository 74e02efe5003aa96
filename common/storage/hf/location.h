// Models of the Hugging Face hub as users name them: pure.
#ifndef MERGANSER_COMMON_STORAGE_HF_LOCATION_H_
#define MERGANSER_COMMON_STORAGE_HF_LOCATION_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

struct HfLocation {
  std::string repository;         // "org/name", or "name" of the hub's first models
  std::string revision = "main";  // branch, tag, pull request (refs/pr/1) or commit
  std::string folder = {};        // in the repository; "" for its top

  bool pinned() const;  // its revision is a commit
  // "hf://org/name@revision/folder", as ParseUri and ParseHfLocation take it.
  std::string ToString() const;
};

// What follows "hf://": "org/name[@revision][/folder]". A '/' of a revision is %2F, but in
// refs/pr/1. kInvalidArgument for anything else, and for what is no model.
absl::StatusOr<HfLocation> ParseHfLocation(std::string_view path);

// "name" or "org/name" as the hub allows them.
bool IsHfRepository(std::string_view text);

// 40 digits of lower-case hex.
bool IsHfCommit(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HF_LOCATION_H_
