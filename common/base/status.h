// Status plumbing: early-return macros and the one place that says which
// failures a retry may mend.
#ifndef MERGANSER_COMMON_BASE_STATUS_H_
#define MERGANSER_COMMON_BASE_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

// Puts "`context`: " before the message of a failed `status`, once, where the
// context (file, tensor, key) is known. The code and payloads are kept; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// True for failures that the same call may survive later: storage or a peer
// that is gone (kUnavailable), time-outs, a full disk or quota, an aborted race.
bool IsRetryable(const absl::Status& status);

// The failure of a system call: `action` names call and path
// ("open /models/a/model.safetensors"). ENOENT becomes kNotFound; EACCES, EPERM
// and EROFS kPermissionDenied; ENOSPC, EDQUOT, EFBIG (a file size limit), EMFILE,
// ENFILE and ENOMEM kResourceExhausted; EIO, stale handles and a server that is
// gone kUnavailable; ENAMETOOLONG kInvalidArgument; the rest kInternal.
absl::Status ErrnoStatus(int error_number, std::string_view action);

// `text` as a message or a terminal may show it, whatever a tensor or file was named:
// each character that IsHidden, newlines among them, and each byte that is no UTF-8 is
// '?'.
std::string OneLine(std::string_view text);

}  // namespace merganser

#define MERGANSER_CONCAT_INNER_(a, b) a##b
#define MERGANSER_CONCAT_(a, b) MERGANSER_CONCAT_INNER_(a, b)

#define MERGANSER_RETURN_IF_ERROR(expr)                                   \
  do {                                                                    \
    if (absl::Status merganser_status_ = (expr); !merganser_status_.ok()) \
      return merganser_status_;                                           \
  } while (false)

#define MERGANSER_ASSIGN_OR_RETURN(lhs, expr) \
  MERGANSER_ASSIGN_OR_RETURN_IMPL_(MERGANSER_CONCAT_(merganser_or_, __LINE__), lhs, expr)
#define MERGANSER_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                     \
  if (!tmp.ok()) return std::move(tmp).status();         \
  lhs = *std::move(tmp)

#endif  // MERGANSER_COMMON_BASE_STATUS_H_
