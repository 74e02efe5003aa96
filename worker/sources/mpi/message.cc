#include "worker/sources/mpi/message.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/base/wire.h"

namespace merganser {
namespace {

constexpr size_t kUnitBytes = sizeof(uint32_t);
constexpr size_t kHeadBytes = 1 + sizeof(uint32_t) + sizeof(uint64_t) + sizeof(uint32_t);

}  // namespace

bool ForRoot(MessageKind kind) { return kind >= MessageKind::kHello; }

std::string PackMessage(const Message& message) {
  WireWriter writer;
  writer.Reserve(kHeadBytes + kUnitBytes * message.units.size() + message.text.size());
  writer.Raw(message.kind);
  writer.Raw(message.round);
  writer.Raw(message.number);
  writer.Raw(static_cast<uint32_t>(message.units.size()));
  for (const uint32_t unit : message.units) writer.Raw(unit);
  writer.Bytes(message.text);
  return writer.Take();
}

absl::StatusOr<Message> ParseMessage(std::string_view bytes) {
  if (bytes.size() < kHeadBytes) {
    return absl::InternalError(
        absl::StrCat("message: found ", bytes.size(), " bytes, expected ", kHeadBytes, " or more"));
  }
  WireReader reader(bytes);
  Message message;
  uint8_t kind = 0;
  uint32_t units = 0;
  reader.Raw(kind);
  reader.Raw(message.round);
  reader.Raw(message.number);
  reader.Raw(units);
  if (kind < static_cast<uint8_t>(MessageKind::kJob) ||
      kind > static_cast<uint8_t>(MessageKind::kStopped)) {
    return absl::InternalError(absl::StrCat(
        "message: found kind ", kind, ", expected 1 to ", static_cast<int>(MessageKind::kStopped),
        " (do all ranks run the same version of the program?)"));
  }
  message.kind = static_cast<MessageKind>(kind);
  if (units > reader.rest().size() / kUnitBytes) {
    return absl::InternalError(absl::StrCat("message of ", bytes.size(), " bytes: found a list of ",
                                            units, " units, expected no more than ",
                                            reader.rest().size() / kUnitBytes));
  }
  message.units.resize(units);
  for (uint32_t& unit : message.units) reader.Raw(unit);
  message.text = reader.rest();
  return message;
}

Message FailedMessage(const absl::Status& status) {
  Message message;
  message.kind = MessageKind::kFailed;
  message.number = static_cast<uint64_t>(status.raw_code());
  message.text = std::string(status.message());
  return message;
}

absl::Status FailureOf(const Message& message) {
  const bool known = message.number >= 1 &&
                     message.number <= static_cast<uint64_t>(absl::StatusCode::kUnauthenticated);
  return absl::Status(
      known ? static_cast<absl::StatusCode>(message.number) : absl::StatusCode::kUnknown,
      message.text);
}

}  // namespace merganser
