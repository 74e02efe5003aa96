// Moves one large object to or from a bucket, as merges do, and tells what it cost.
//
//   bench_s3 read URI KEY            16 MiB at a time, into memory
//   bench_s3 write URI KEY BYTES none|md5|crc32c
//                                    in pieces of 16 MiB, from memory; the checksum that
//                                    --storage-checksum asks for
//
// Prints "BYTES SECONDS CPU_SECONDS". Driven by s3_clients.py.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"

namespace merganser {
namespace {

constexpr uint64_t kPiece = uint64_t{16} << 20;

// Calls `move(begin, buffer)` for every piece of `size` bytes, `width` at a time.
template <typename Move>
absl::Status InPieces(uint64_t size, size_t width, Move move) {
  std::atomic<uint64_t> next = 0;
  Mutex mutex;
  absl::Status first;
  ThreadGroup threads;
  MERGANSER_RETURN_IF_ERROR(threads.Start(std::max<size_t>(1, width), [&] {
    std::unique_ptr<std::byte[]> buffer;
    while (true) {
      const uint64_t begin = next.fetch_add(kPiece);
      if (begin >= size) return;
      // Not touched before what is moved touches it.
      if (buffer == nullptr) buffer.reset(new std::byte[kPiece]);
      const uint64_t end = std::min(begin + kPiece, size);
      const absl::Status moved = move(begin, std::span(buffer.get(), end - begin));
      if (moved.ok()) continue;
      MutexLock lock(mutex);
      if (first.ok()) first = moved;
      next = size;
    }
  }));
  MERGANSER_RETURN_IF_ERROR(threads.Join());
  return first;
}

absl::StatusOr<uint64_t> Read(ObjectStore& store, const std::string& key) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(key));
  if (!info.has_value()) return absl::NotFoundError(store.Describe(key));
  const size_t width = store.traits().reads_in_flight;
  MERGANSER_RETURN_IF_ERROR(
      InPieces(info->size, width, [&](uint64_t begin, std::span<std::byte> out) {
        return store.Read(key, begin, out, info->identity);
      }));
  return info->size;
}

absl::StatusOr<uint64_t> Write(ObjectStore& store, const std::string& key, uint64_t size) {
  WriteLayout layout{key, size};
  for (uint64_t end = kPiece; end < size; end += kPiece) layout.ends.push_back(end);
  layout.ends.push_back(size);
  MERGANSER_ASSIGN_OR_RETURN(const PlannedWrite write, store.BeginWrite(layout, "bench"));
  Mutex mutex;
  std::vector<WriteReceipt> receipts;
  const size_t width = store.traits().writes_in_flight;
  MERGANSER_RETURN_IF_ERROR(
      InPieces(size, width, [&](uint64_t begin, std::span<std::byte> bytes) -> absl::Status {
        MERGANSER_ASSIGN_OR_RETURN(const WriteReceipt receipt,
                                   store.WriteRange(write, begin, bytes));
        MutexLock lock(mutex);
        receipts.push_back(receipt);
        return absl::OkStatus();
      }));
  MERGANSER_RETURN_IF_ERROR(store.CommitWrite(write, receipts));
  return size;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

int Run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (!(what == "read" && argc == 4) && !(what == "write" && argc == 6)) {
    std::fprintf(stderr, "usage: bench_s3 read URI KEY | bench_s3 write URI KEY BYTES CHECKSUM\n");
    return 2;
  }
  const MonotonicTime started = SystemClock().Now();
  StoreOptions options;
  const std::string checksum = argc == 6 ? argv[5] : "md5";
  options.buckets.checksum = checksum == "none"     ? s3::Checksum::kNone
                             : checksum == "crc32c" ? s3::Checksum::kCrc32c
                                                    : s3::Checksum::kMd5;
  const absl::StatusOr<std::shared_ptr<ObjectStore>> store = Stores(options).Open(argv[2]);
  absl::StatusOr<uint64_t> moved = uint64_t{0};
  if (!store.ok()) {
    moved = store.status();
  } else {
    moved = what == "read" ? Read(**store, argv[3])
                           : Write(**store, argv[3], std::strtoull(argv[4], nullptr, 10));
  }
  if (!moved.ok()) {
    std::fprintf(stderr, "%s\n", OneLine(std::string(moved.status().message())).c_str());
    return 1;
  }
  const double seconds = std::chrono::duration<double>(SystemClock().Now() - started).count();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%llu %.3f %.3f\n", static_cast<unsigned long long>(*moved), seconds,
              Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  return 0;
}

}  // namespace
}  // namespace merganser

int main(int argc, char** argv) { return merganser::Run(argc, argv); }
