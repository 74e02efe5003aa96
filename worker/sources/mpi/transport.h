// How the ranks of one run reach each other: bytes between two of them, and from
// rank 0 to all. What travels is none of its business.
#ifndef MERGANSER_WORKER_SOURCES_MPI_TRANSPORT_H_
#define MERGANSER_WORKER_SOURCES_MPI_TRANSPORT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

struct Arrived {
  int from = 0;
  std::string bytes;
};

// Used by one thread of each rank. No call waits for another rank. Messages
// between two ranks arrive in the order in which they were sent; so do
// broadcasts, but not in any order with messages: say by message that one comes.
// An error means that a rank cannot be reached any more, and the run is over.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // To itself as well. Takes the bytes and sends them while Receive is called.
  virtual absl::Status Send(int to, std::string bytes) = 0;
  // nullopt when nothing has arrived.
  virtual absl::StatusOr<std::optional<Arrived>> Receive() = 0;

  // Rank 0: to all others.
  virtual absl::Status Broadcast(std::string bytes) = 0;
  // The others: a broadcast of `size` bytes comes.
  virtual absl::Status Expect(uint64_t size) = 0;
  // The others: the next expected broadcast, when it has arrived.
  virtual absl::StatusOr<std::optional<std::string>> TakeBroadcast() = 0;

  // Whether everything that was sent and broadcast has left.
  virtual absl::StatusOr<bool> AllSent() = 0;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_TRANSPORT_H_
