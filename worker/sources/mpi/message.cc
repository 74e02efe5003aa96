#include "worker/sources/mpi/message.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

constexpr size_t kUnitBytes = sizeof(uint32_t);
constexpr size_t kHeadBytes = 1 + sizeof(uint32_t) + sizeof(uint64_t) + sizeof(uint32_t);

template <typename T>
void Put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Take(std::string_view& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  bytes.remove_prefix(sizeof(value));
  return value;
}

}  // namespace

bool ForRoot(MessageKind kind) { return kind >= MessageKind::kHello; }

std::string PackMessage(const Message& message) {
  std::string bytes;
  bytes.reserve(kHeadBytes + kUnitBytes * message.units.size() + message.text.size());
  Put(bytes, message.kind);
  Put(bytes, message.round);
  Put(bytes, message.number);
  Put(bytes, static_cast<uint32_t>(message.units.size()));
  for (const uint32_t unit : message.units) Put(bytes, unit);
  bytes += message.text;
  return bytes;
}

absl::StatusOr<Message> ParseMessage(std::string_view bytes) {
  if (bytes.size() < kHeadBytes) {
    return absl::InternalError(
        absl::StrCat("message: found ", bytes.size(), " bytes, expected ", kHeadBytes, " or more"));
  }
  const size_t size = bytes.size();
  const auto kind = Take<uint8_t>(bytes);
  if (kind < static_cast<uint8_t>(MessageKind::kJob) ||
      kind > static_cast<uint8_t>(MessageKind::kStopped)) {
    return absl::InternalError(absl::StrCat(
        "message: found kind ", kind, ", expected 1 to ", static_cast<int>(MessageKind::kStopped),
        " (do all ranks run the same version of the program?)"));
  }
  Message message;
  message.kind = static_cast<MessageKind>(kind);
  message.round = Take<uint32_t>(bytes);
  message.number = Take<uint64_t>(bytes);
  const uint64_t units = Take<uint32_t>(bytes);
  if (units * kUnitBytes > bytes.size()) {
    return absl::InternalError(absl::StrCat("message of ", size, " bytes: found a list of ", units,
                                            " units, expected no more than ",
                                            bytes.size() / kUnitBytes));
  }
  message.units.reserve(units);
  for (uint64_t u = 0; u < units; ++u) message.units.push_back(Take<uint32_t>(bytes));
  message.text = bytes;
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
