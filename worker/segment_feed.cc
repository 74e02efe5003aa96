#include "worker/segment_feed.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/plan/encoding.h"
#include "common/plan/plan.h"
#include "worker/process_memory.h"

namespace merganser {
namespace {

// Segments that are read together.
constexpr size_t kMostJoined = 64;

uint64_t PieceBuffer(const UnitInFlight& unit, uint32_t segment) {
  return unit.writes() ? unit.pieces().BufferBytes(segment) : 0;
}

uint64_t WorkspaceOf(const SegmentRun& segments) {
  uint64_t bytes = 0;
  for (const Segment* segment : segments) bytes += segment->workspace;
  return bytes;
}

}  // namespace

SegmentFeed::SegmentFeed(UnitSource& source, const RunnerOptions& options,
                         const WorkerMetrics& metrics, BufferPool& buffers,
                         std::function<void(const JobContext&)> begin)
    : source_(source),
      options_(options),
      metrics_(metrics),
      buffers_(buffers),
      begin_(std::move(begin)) {}

std::optional<SegmentsInFlight> SegmentFeed::Next() {
  MutexLock lock(mutex_);
  while (true) {
    if (current_ == nullptr && !TakeUnit()) return std::nullopt;
    if (next_ == current_->parts() || current_->dropped()) {
      current_.reset();
      continue;
    }
    SegmentsInFlight run;
    const absl::Status taken = Guarded([&] {
      mutex_.AssertHeld();
      return TakeRun(run);
    });
    if (taken.ok()) return run;
    Fail(*current_, taken);
  }
}

void SegmentFeed::Settle(UnitInFlight& unit, const absl::Status& status) {
  if (status.ok()) return;
  // The source is told without the lock: others may take segments meanwhile.
  if (absl::Status told = unit.Fail(status); !told.ok()) {
    MutexLock lock(mutex_);
    EndWith(std::move(told));
  }
}

absl::Status SegmentFeed::status() {
  MutexLock lock(mutex_);
  return status_;
}

void SegmentFeed::EndWith(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
  ended_ = true;
}

void SegmentFeed::Fail(UnitInFlight& unit, const absl::Status& status) {
  if (absl::Status told = unit.Fail(status); !told.ok()) EndWith(std::move(told));
}

bool SegmentFeed::TakeUnit() {
  while (!ended_) {
    absl::StatusOr<std::optional<LeasedUnit>> leased = Guarded([&] { return source_.Next(); });
    if (!leased.ok() || !leased->has_value()) {
      EndWith(leased.status());
      break;
    }
    const absl::Status begun = Guarded([&] {
      mutex_.AssertHeld();
      current_ = std::make_shared<UnitInFlight>(**leased, source_, options_.worker, metrics_);
      next_ = 0;
      begin_(current_->job());
      return CheckMemory(*current_);
    });
    if (begun.ok()) return true;
    if (current_ != nullptr) {
      Fail(*current_, begun);
      current_.reset();
    } else if (absl::Status told = Guarded([&] { source_.Fail(**leased, begun); }); !told.ok()) {
      EndWith(std::move(told));
    }
  }
  return false;
}

absl::Status SegmentFeed::CheckMemory(const UnitInFlight& unit) const {
  const uint64_t need = unit.unit().memory;
  if (need <= options_.memory) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("unit ", unit.leased().unit, " of ", unit.job().job, " needs ",
                   FormatBytes(need), " of memory for tensors and this worker has ",
                   FormatBytes(options_.memory), "; start workers with --memory ",
                   MemoryFlag(need + ProcessMemory(unit.job().plan)), " or more"));
}

absl::Status SegmentFeed::TakeRun(SegmentsInFlight& run) {
  UnitInFlight& unit = *current_;
  const Plan& plan = unit.job().plan;
  if (unit.segment(next_).scales) return TakeScales(run);
  SegmentRun segments;
  do {
    run.emplace_back();
    run.back().unit = current_;
    run.back().part = next_++;
    segments.push_back(&run.back().segment());
  } while (JoinsNext(segments));
  const StageTimer timer(metrics_, Stage::kWait, run.front().stages.wait);
  MERGANSER_RETURN_IF_ERROR(OpenScalesOf(unit, run.front().part));
  MERGANSER_RETURN_IF_ERROR(TakePieceBuffer(unit, run.front().part));
  MERGANSER_ASSIGN_OR_RETURN(Buffer buffer,
                             Take(unit, RunBufferBytes(plan, segments), WorkspaceOf(segments)));
  const auto shared = std::make_shared<Buffer>(std::move(buffer));
  std::vector<SegmentData*> data;
  data.reserve(run.size());
  for (SegmentInFlight& item : run) {
    item.data.buffer = shared;
    data.push_back(&item.data);
  }
  LayOutRun(plan, segments, shared->data(), data);
  for (SegmentInFlight& item : run) {
    if (unit.encodes(item.part)) item.data.scales = unit.scales().BytesOf(item.segment().tensor);
  }
  return absl::OkStatus();
}

absl::Status SegmentFeed::TakeScales(SegmentsInFlight& run) {
  run.emplace_back();
  run.back().unit = current_;
  run.back().part = next_++;
  const StageTimer timer(metrics_, Stage::kWait, run.back().stages.wait);
  return TakePieceBuffer(*current_, run.back().part);
}

absl::Status SegmentFeed::OpenScalesOf(UnitInFlight& unit, size_t part) {
  const uint32_t tensor = unit.segment(part).tensor;
  if (!unit.encodes(part) || unit.scales().IsOpen(tensor)) return absl::OkStatus();
  const uint64_t bytes = ScaleBytes(unit.job().plan.tensors[tensor]);
  MERGANSER_ASSIGN_OR_RETURN(Buffer buffer, Take(unit, bytes, 0));
  size_t segments = 0;
  for (const Segment& segment : unit.unit().segments) {
    segments += !segment.header && segment.tensor == tensor ? 1 : 0;
  }
  unit.scales().Open(tensor, segments, std::move(buffer), bytes);
  return absl::OkStatus();
}

absl::Status SegmentFeed::TakePieceBuffer(UnitInFlight& unit, size_t part) {
  const uint32_t index = unit.segment_index(part);
  const uint64_t wanted = PieceBuffer(unit, index);
  if (wanted == 0) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(Buffer buffer, Take(unit, wanted, 0));
  unit.pieces().SetBuffer(index, std::move(buffer));
  return absl::OkStatus();
}

bool SegmentFeed::JoinsNext(SegmentRun segments) const {
  const UnitInFlight& unit = *current_;
  if (segments.size() == kMostJoined || next_ == unit.parts()) return false;
  const Segment& next = unit.segment(next_);
  if (!MayJoin(unit.job(), *segments.back(), next)) return false;
  if (PieceBuffer(unit, unit.segment_index(next_)) > 0) return false;
  segments.push_back(&next);
  const uint64_t beside = unit.writes() ? unit.pieces().LargestBuffer() : 0;
  const uint64_t whole = RunBufferBytes(unit.job().plan, segments) + WorkspaceOf(segments);
  // Each of the two is rounded up, and the one that the unit has is not given back before.
  return whole + beside + 2 * kBufferRounding <= options_.memory;
}

absl::StatusOr<Buffer> SegmentFeed::Take(const UnitInFlight& unit, uint64_t bytes,
                                         uint64_t reserved) {
  Buffer buffer = buffers_.Acquire(bytes, reserved);
  if (buffer.data() != nullptr) return buffer;
  return absl::ResourceExhaustedError(
      absl::StrCat("the system has no ", FormatBytes(bytes), " of memory left for a piece of ",
                   unit.job().job, "; lower --memory, or give the process more"));
}

}  // namespace merganser
