// The folder under --state: where it may be, and who holds it.
#ifndef MERGANSER_COORDINATOR_JOURNAL_STATE_DIRECTORY_H_
#define MERGANSER_COORDINATOR_JOURNAL_STATE_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace merganser {

// The name of a file system whose locks do not bind every machine that sees it
// ("NFS"), by statfs' f_type; empty for others.
std::string_view NetworkFileSystemName(uint64_t f_type);

// Makes the folder, for its owner alone, where it is missing. kFailedPrecondition when
// it is on a network file system, kInvalidArgument when it is no folder.
absl::Status PrepareStateDirectory(const std::string& directory);

// Writes down that this process holds the folder, for HolderOf. To be called under the
// journal's lock.
absl::Status WriteHolder(const std::string& directory);

// Who wrote it last: "pid 17 on host a, since 2026-01-31T23:59:59Z", or "another
// process".
std::string HolderOf(const std::string& directory);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_JOURNAL_STATE_DIRECTORY_H_
