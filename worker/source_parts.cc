#include "worker/source_parts.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"

namespace merganser {
namespace {

// An element takes 8 bytes at most as it is stored, and 8 as a sum.
constexpr uint64_t kBufferElements = kPartBufferBytes / 16;

class PartReader {
 public:
  PartReader(const JobContext& job, const PlannedSource& source) : job_(job), source_(source) {}

  absl::Status Read(const SourcePart& part, uint64_t skipped, std::span<std::byte> out) {
    if (part.of.empty()) {
      std::memset(out.data(), 0, out.size());
      return absl::OkStatus();
    }
    if (part.of.size() == 1 && part.of[0].dtype == source_.dtype) {
      return ReadStored(part.of[0], skipped, out);
    }
    const size_t width = BytesPerElement(source_.dtype);
    if (part.of.size() == 1) return Convert(part.of[0], skipped, out.size() / width, out);
    for (uint64_t done = 0; done * width < out.size(); done += kBufferElements) {
      const uint64_t count = std::min(kBufferElements, out.size() / width - done);
      MERGANSER_RETURN_IF_ERROR(
          Mean(part, skipped + done, count, out.subspan(done * width, count * width)));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadStored(const StoredElements& stored, uint64_t skipped,
                          std::span<std::byte> out) const {
    const CheckpointShard& shard = job_.plan.models[stored.model].shards[stored.shard];
    absl::Status status =
        job_.Input(stored.model, stored.shard)
            .Read(shard.key, stored.offset + skipped * BytesPerElement(stored.dtype), out,
                  shard.info.identity);
    if (status.ok()) return status;
    return Annotate(status, absl::StrCat("tensor ", Shown(source_.tensor)));
  }

  // Elements of a narrower type are read into the end of their places and widened from the front:
  // none is written over before it was taken.
  absl::Status Convert(const StoredElements& stored, uint64_t skipped, uint64_t count,
                       std::span<std::byte> out) const {
    const size_t bytes = count * BytesPerElement(stored.dtype);
    const std::span<std::byte> narrow = out.last(bytes);
    MERGANSER_RETURN_IF_ERROR(ReadStored(stored, skipped, narrow));
    const TensorView view = {narrow.data(), stored.dtype, count};
    for (uint64_t i = 0; i < count; ++i) Put(ElementAt(view, i), i, out);
    return absl::OkStatus();
  }

  // Of `count` elements, at most kBufferElements.
  absl::Status Mean(const SourcePart& part, uint64_t skipped, uint64_t count,
                    std::span<std::byte> out) {
    std::fill_n(sums_.begin(), count, 0.0);
    for (const StoredElements& stored : part.of) {
      MERGANSER_RETURN_IF_ERROR(ReadStored(
          stored, skipped, std::span(stored_.data(), count * BytesPerElement(stored.dtype))));
      const TensorView view = {stored_.data(), stored.dtype, count};
      for (uint64_t i = 0; i < count; ++i) sums_[i] += ElementAt(view, i);
    }
    const auto divisor = static_cast<double>(part.of.size());
    for (uint64_t i = 0; i < count; ++i) Put(sums_[i] / divisor, i, out);
    return absl::OkStatus();
  }

  // As the source's type, F32 or F64, of which F32 is rounded to.
  void Put(double value, uint64_t i, std::span<std::byte> out) const {
    if (source_.dtype == DType::kF64) {
      std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
      return;
    }
    const auto single = static_cast<float>(value);
    std::memcpy(out.data() + i * sizeof single, &single, sizeof single);
  }

  const JobContext& job_;
  const PlannedSource& source_;
  alignas(double) std::array<std::byte, kBufferElements * sizeof(double)> stored_;
  std::array<double, kBufferElements> sums_;
};

}  // namespace

absl::Status ReadParts(const JobContext& job, const PlannedSource& source, uint64_t first,
                       const TensorView& view) {
  PartReader reader(job, source);
  absl::Status status;
  const size_t width = BytesPerElement(view.dtype);
  // The views are const to everybody else; this is where their bytes come from.
  std::byte* at = const_cast<std::byte*>(view.data);
  ForParts(source, first, view.size, [&](const SourcePart& part, uint64_t skipped, uint64_t count) {
    if (!status.ok()) return;
    status = reader.Read(part, skipped, std::span(at, count * width));
    at += count * width;
  });
  return status;
}

}  // namespace merganser
