// Which places a service may read and write on behalf of whoever asks it.
#ifndef MERGANSER_COMMON_STORAGE_ROOTS_H_
#define MERGANSER_COMMON_STORAGE_ROOTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

// A set of folders and URI prefixes, compared by whole segments: "/data" allows
// "/data" and "/data/a", not "/database". Without roots everything is allowed.
//
// A file path is judged by where it leads: links and ".." are followed as the
// kernel would, also those of a path that is not there yet. A link out of every
// root is refused; one that stays below a root (the Hugging Face cache is made of
// these) is fine. What a check says holds for the moment of the check; stores of a
// restricted service check what they have opened once more. Immutable, thread-safe.
class AllowedRoots {
 public:
  AllowedRoots() = default;

  // Each of `roots` as ParseUri takes it; relative paths against `directory`. A
  // file root must be a folder that is there (else kInvalidArgument). `who` is
  // whose roots these are, for messages: "the coordinator".
  static absl::StatusOr<AllowedRoots> Make(const std::vector<std::string>& roots,
                                           std::string_view directory, std::string_view who);

  // True when nothing is restricted.
  bool everything() const { return roots_.empty(); }

  // kPermissionDenied when `uri` (absolute, ParseUri's grammar) leads out of every
  // root. The message says nothing of what is or is not there.
  absl::Status Check(std::string_view uri) const;

 private:
  struct Root {
    std::string given;
    std::string scheme;
    std::vector<std::string> segments;
  };

  std::vector<Root> roots_;
  std::string who_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_ROOTS_H_
