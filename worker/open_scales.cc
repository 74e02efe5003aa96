#include "worker/open_scales.h"

#include <utility>

namespace merganser {

void OpenScales::Open(uint32_t tensor, size_t segments, Buffer buffer, uint64_t bytes) {
  Entry entry;
  entry.missing = segments;
  entry.scales.bytes = {buffer.data(), bytes};
  entry.scales.buffer = std::make_shared<Buffer>(std::move(buffer));
  MutexLock lock(mutex_);
  open_.emplace(tensor, std::move(entry));
}

bool OpenScales::IsOpen(uint32_t tensor) {
  MutexLock lock(mutex_);
  return open_.count(tensor) > 0;
}

std::span<std::byte> OpenScales::BytesOf(uint32_t tensor) {
  MutexLock lock(mutex_);
  return open_.at(tensor).scales.bytes;
}

std::optional<OpenScales::Scales> OpenScales::Done(uint32_t tensor) {
  MutexLock lock(mutex_);
  const auto entry = open_.find(tensor);
  if (--entry->second.missing > 0) return std::nullopt;
  Scales scales = std::move(entry->second.scales);
  open_.erase(entry);
  return scales;
}

}  // namespace merganser
