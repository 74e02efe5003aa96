// Three stages with queues between them:
//
//   readers   take segments and memory for them from the feed (segment_feed.h), and read; small
//             ones together with what lies behind them, where a store answers late
//   computers fill the output; one with nothing to do lends its thread to the
//             others' large matrices
//   writers   digest and write, and complete the unit with its last segment
//
// What a stage throws is the failure of the unit that it was at: behind every loop's
// body stands a barrier, and the queues take no memory.
#include "worker/unit_runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/executor.h"
#include "common/base/guarded.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "worker/buffer_pool.h"
#include "worker/lively_executor.h"
#include "worker/open_scales.h"
#include "worker/segment_compute.h"
#include "worker/segment_feed.h"
#include "worker/segment_in_flight.h"
#include "worker/segment_io.h"
#include "worker/stage_queue.h"
#include "worker/unit_in_flight.h"
#include "worker/worker_metrics.h"

namespace merganser {
namespace {

class Runner {
 public:
  Runner(UnitSource& source, const RunnerOptions& options)
      : options_(options),
        metrics_(options.metrics),
        buffers_(options.memory),
        feed_(source, options_, metrics_, buffers_, [this](const JobContext& job) { Widen(job); }),
        computers_(static_cast<size_t>(std::max(1, options.threads))),
        readers_(std::clamp<size_t>(computers_, 2, 16)),
        writers_(std::clamp<size_t>(computers_ / 2, 2, 8)),
        ready_(computers_),
        written_(computers_),
        helpers_(0) {
    metrics_.memory_budget().Set(static_cast<double>(options.memory));
    metrics_.threads().Set(static_cast<double>(computers_));
    memory_in_use_ = metrics_.registry().Collect(
        [this] { metrics_.memory_used().Set(static_cast<double>(buffers_.used())); });
  }

  absl::Status Run() {
    // One thread a stage is enough: the others are helpers that the system may refuse.
    // Readers come last: without the other stages nothing may be taken.
    ThreadGroup writers, computers, readers;
    absl::Status started = writers.Start(writers_, [this] { WriteLoop(); });
    if (started.ok()) started = computers.Start(computers_, [this] { ComputeLoop(); });
    if (started.ok()) started = readers.Start(readers_, [this] { ReadLoop(); });
    readers.Join().IgnoreError();
    // Nobody starts more any longer.
    Widened widened;
    {
      MutexLock lock(widened_mutex_);
      std::swap(widened, widened_);
    }
    widened.readers.Join().IgnoreError();
    ready_.Close();
    helpers_.Wake();
    computers.Join().IgnoreError();
    written_.Close();
    writers.Join().IgnoreError();
    widened.writers.Join().IgnoreError();
    MERGANSER_RETURN_IF_ERROR(started);
    return feed_.status();
  }

 private:
  // Threads beside the first ones.
  struct Widened {
    ThreadGroup readers, writers;
  };

  // Stores that answer late answer many at once: for those of `job` there are as many readers and
  // writers as they want requests in flight, whatever computes. Threads that the system refuses
  // are not missed: the first ones go on.
  void Widen(const JobContext& job) MERGANSER_EXCLUDES(widened_mutex_) {
    MutexLock lock(widened_mutex_);
    size_t readers = 0;
    for (const std::shared_ptr<ObjectStore>& input : job.inputs) {
      readers = std::max<size_t>(readers, input->traits().reads_in_flight);
    }
    for (const auto& places : job.places) {
      for (const std::shared_ptr<ObjectStore>& place : places) {
        readers = std::max<size_t>(readers, place->traits().reads_in_flight);
      }
    }
    if (const size_t have = readers_ + widened_.readers.size(); readers > have) {
      widened_.readers.Start(readers - have, [this] { ReadLoop(); }).IgnoreError();
    }
    const size_t writers = job.output->traits().writes_in_flight;
    if (const size_t have = writers_ + widened_.writers.size(); writers > have) {
      widened_.writers.Start(writers - have, [this] { WriteLoop(); }).IgnoreError();
    }
  }

  // Runs `stage`, which may throw, on a segment; a failure is its unit's. A unit whose
  // source cannot be told ends the run.
  template <typename Stage>
  void AtStage(std::optional<SegmentInFlight> item, Stage stage) {
    const std::shared_ptr<UnitInFlight> unit = item->unit;
    const absl::Status status = Guarded([&] { return stage(*item); });
    item.reset();
    feed_.Settle(*unit, status);
  }

  // One segment of a tensor with scales, or that of these, is done so far. With the last one they
  // are written.
  void ScalesGetOn(const std::shared_ptr<UnitInFlight>& unit, uint32_t tensor) {
    std::optional<OpenScales::Scales> scales = unit->scales().Done(tensor);
    if (!scales.has_value()) return;
    SegmentInFlight item;
    item.unit = unit;
    item.part = unit->ScalesPart(tensor);
    item.data.buffer = std::move(scales->buffer);
    item.data.output = {scales->bytes.data(), DType::kU8, scales->bytes.size()};
    item.handed = SystemClock().Now();
    written_.Push(std::move(item));
  }

  void ReadLoop() {
    while (std::optional<SegmentsInFlight> run = feed_.Next()) {
      const std::shared_ptr<UnitInFlight> unit = run->front().unit;
      const absl::Status status = Guarded([&] { return Read(*run); });
      run.reset();
      feed_.Settle(*unit, status);
    }
  }

  absl::Status Read(SegmentsInFlight& run) {
    if (run.front().segment().scales) {
      ScalesGetOn(run.front().unit, run.front().segment().tensor);
      return absl::OkStatus();
    }
    SegmentRun segments;
    std::vector<SegmentData*> data;
    for (SegmentInFlight& item : run) {
      segments.push_back(&item.segment());
      data.push_back(&item.data);
    }
    {
      const StageTimer timer(metrics_, Stage::kRead, run.front().stages.read);
      MERGANSER_RETURN_IF_ERROR(ReadRun(run.front().unit->job(), segments, data));
      for (SegmentInFlight& item : run) MERGANSER_RETURN_IF_ERROR(ReadKept(item));
    }
    for (SegmentInFlight& item : run) {
      if (!item.unit->Alive()) return absl::OkStatus();
      uncomputed_.fetch_add(1);
      item.handed = SystemClock().Now();
      ready_.Push(std::move(item));
      helpers_.Wake();
    }
    return absl::OkStatus();
  }

  // What analysis left for the round that writes.
  static absl::Status ReadKept(SegmentInFlight& item) {
    const UnitInFlight& unit = *item.unit;
    const Plan& plan = unit.job().plan;
    if (!unit.writes() || !InRounds(plan, item.segment()) ||
        !plan.tensors[item.segment().tensor].needs.keeps) {
      return absl::OkStatus();
    }
    absl::StatusOr<std::vector<Keepsake>> kept =
        ReadKeepsakes(unit.job(), unit.leased().unit, unit.segment_index(item.part));
    if (!kept.ok()) return kept.status();
    item.keepsakes = *std::move(kept);
    return absl::OkStatus();
  }

  // No segment is being computed, and none will come.
  bool AllComputed() { return ready_.Closed() && uncomputed_.load() == 0; }

  void ComputeLoop() {
    while (true) {
      std::optional<SegmentInFlight> item = ready_.TryPop();
      if (!item.has_value()) {
        if (AllComputed()) return;
        helpers_.HelpUntil([this] { return ready_.HasItem() || AllComputed(); });
        continue;
      }
      AtStage(std::move(item), [this](SegmentInFlight& segment) { return Compute(segment); });
      if (uncomputed_.fetch_sub(1) == 1) helpers_.Wake();
    }
  }

  // A thread has the segment, which was handed to its stage.
  void NoteWait(SegmentInFlight& item) const {
    const Duration waited = SystemClock().Now() - item.handed;
    item.stages.wait += std::chrono::duration<double>(waited).count();
    metrics_.Spent(Stage::kWait, waited);
  }

  absl::Status Compute(SegmentInFlight& item) {
    UnitInFlight& unit = *item.unit;
    NoteWait(item);
    if (!unit.Alive()) return absl::OkStatus();
    LivelyExecutor executor(helpers_, unit);
    {
      const StageTimer timer(metrics_, Stage::kCompute, item.stages.compute);
      MERGANSER_ASSIGN_OR_RETURN(
          item.findings, ComputeSegment(unit.leased(), item.segment(), item.data, item.keepsakes,
                                        SystemClock(), executor));
    }
    CountSteps(item.findings);
    item.handed = SystemClock().Now();
    if (!unit.Alive()) return absl::OkStatus();
    const std::shared_ptr<UnitInFlight> owner = item.unit;
    const size_t part = item.part;
    written_.Push(std::move(item));
    if (owner->encodes(part)) ScalesGetOn(owner, owner->segment(part).tensor);
    return absl::OkStatus();
  }

  // What spectral methods report as `steps` (REPORT.md).
  void CountSteps(const SegmentFindings& findings) const {
    for (const LeafReport& leaf : findings.leaves) {
      for (const ReportField& field : leaf.fields) {
        if (field.key != "steps") continue;
        for (const double steps : field.values) {
          metrics_.solver_steps() += static_cast<uint64_t>(std::max(steps, 0.0));
        }
      }
    }
  }

  void WriteLoop() {
    while (std::optional<SegmentInFlight> item = written_.Pop()) {
      AtStage(std::move(item), [this](SegmentInFlight& segment) { return Write(segment); });
    }
  }

  absl::Status Write(SegmentInFlight& item) {
    UnitInFlight& unit = *item.unit;
    NoteWait(item);
    if (unit.dropped()) return absl::OkStatus();
    std::string digest;
    {
      const StageTimer timer(metrics_, Stage::kWrite, item.stages.write);
      MERGANSER_RETURN_IF_ERROR(unit.writes() ? WriteOutput(item, digest)
                                              : WriteKept(item, digest));
    }
    item.data.buffer.reset();
    metrics_.input_bytes() += item.segment().bytes_in;
    if (unit.writes()) metrics_.output_bytes() += item.segment().bytes_out;
    unit.PartDone(item.part, std::move(digest), std::move(item.findings), item.stages);
    return absl::OkStatus();
  }

  static absl::Status WriteOutput(const SegmentInFlight& item, std::string& digest) {
    UnitInFlight& unit = *item.unit;
    std::span<const std::byte> bytes(item.data.output.data, item.data.output.bytes());
    if (!item.data.encoded.empty()) bytes = item.data.encoded;
    digest = DigestHex(bytes);
    return unit.pieces().Write(*unit.job().output, unit.offset(item.part), bytes);
  }

  static absl::Status WriteKept(SegmentInFlight& item, std::string& digest) {
    if (item.findings.keepsakes.empty()) return absl::OkStatus();
    const UnitInFlight& unit = *item.unit;
    MERGANSER_ASSIGN_OR_RETURN(
        digest, WriteKeepsakes(unit.job(), unit.leased().unit, unit.segment_index(item.part),
                               item.findings.keepsakes));
    item.findings.keepsakes.clear();
    return absl::OkStatus();
  }

  const RunnerOptions options_;
  const WorkerMetrics metrics_;  // outlives the units in flight
  BufferPool buffers_;
  SegmentFeed feed_;
  const size_t computers_;
  const size_t readers_;
  const size_t writers_;
  StageQueue<SegmentInFlight> ready_;
  StageQueue<SegmentInFlight> written_;
  ThreadPool helpers_;
  std::atomic<size_t> uncomputed_ = 0;  // read, and not through Compute yet

  Mutex widened_mutex_;
  Widened widened_ MERGANSER_GUARDED_BY(widened_mutex_);
  MetricRegistry::Collector memory_in_use_;  // last: it looks at the pool
};

}  // namespace

absl::Status RunUnits(UnitSource& source, const RunnerOptions& options) {
  return Guarded([&] { return Runner(source, options).Run(); });
}

}  // namespace merganser
