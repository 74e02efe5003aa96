// Flags about storage elsewhere, by the names of the AWS tools where those have them.
#ifndef MERGANSER_COORDINATOR_CLI_STORE_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_STORE_FLAGS_H_

#include "common/storage/stores.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// Of commands that only read.
void AddReadStoreFlags(CLI::App& command, StoreOptions& options);
// Of commands that write too.
void AddStoreFlags(CLI::App& command, StoreOptions& options);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_STORE_FLAGS_H_
