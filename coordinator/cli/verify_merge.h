// A merge's output held against its own report: what `verify` does, and a merge with --verify.
#ifndef MERGANSER_COORDINATOR_CLI_VERIFY_MERGE_H_
#define MERGANSER_COORDINATOR_CLI_VERIFY_MERGE_H_

#include <string>

#include "common/storage/stores.h"

namespace merganser::cli {

// Reads all of `checkpoint`, every byte against its checksum. Prints what came of it and returns
// the exit code.
int VerifyMerge(const Stores& stores, const std::string& checkpoint, int threads);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_VERIFY_MERGE_H_
