// What ranks say to each other: a pure codec. The conversation is in README.md.
#ifndef MERGANSER_WORKER_SOURCES_MPI_MESSAGE_H_
#define MERGANSER_WORKER_SOURCES_MPI_MESSAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

enum class MessageKind : uint8_t {
  // From rank 0.
  kJob = 1,  // a broadcast of `number` bytes comes: the job's plan
  kGates,    // a broadcast of `number` bytes comes: the gates of `round`
  kUnits,    // `units` of `round`, to be done in this order
  kEnd,      // there will be no more units
  kDrop,     // units in flight are of no more use
  kLeave,    // the last word
  // To rank 0.
  kHello,        // ready for units; `number` is the numerics version, `text` the host
  kWanted,       // room for `number` more units
  kProgress,     // `number` more bytes moved; 0 is a sign of life
  kResult,       // `text` is a unit's result (PackResults); its bytes are durable
  kFailed,       // `number` is a status code, `text` its message
  kInterrupted,  // a signal asked this rank to end
  kStopped,      // this rank writes nothing any more; its last word
};

struct Message {
  MessageKind kind = MessageKind::kProgress;
  uint32_t round = 0;
  uint64_t number = 0;
  std::vector<uint32_t> units = {};
  std::string text = {};

  bool operator==(const Message&) const = default;
};

// Whether the kind is one that rank 0 receives.
bool ForRoot(MessageKind kind);

// Layout, little-endian: kind (1 byte), round (4), number (8), how many units (4),
// the units (4 each), the rest is `text`.
std::string PackMessage(const Message& message);

// kInternal for bytes that are no message: peers run the same program, so this is
// a bug or another version.
absl::StatusOr<Message> ParseMessage(std::string_view bytes);

// Of kFailed. What is no code of a failure becomes kUnknown.
Message FailedMessage(const absl::Status& status);
absl::Status FailureOf(const Message& message);

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_MESSAGE_H_
