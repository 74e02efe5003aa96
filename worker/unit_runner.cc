// Three stages with queues between them:
//
//   readers   take units from the source, segment by segment, wait for memory
//             in that order, and read; small ones together with what lies behind
//             them, where a store answers late
//   computers fill the output; one with nothing to do lends its thread to the
//             others' large matrices
//   writers   digest and write, and complete the unit with its last segment
//
// Memory is taken for a whole segment (inputs, output, workspace), or a run of them, before it is
// read and given back when it is written, so no stage ever waits for memory
// while it holds some: there is nothing to deadlock on. Where the store wants whole
// pieces, one that spans segments has a buffer, taken before its first segment's memory: at
// most one is open when a segment waits, and Unit::memory holds room for it and the next.
//
// What a stage throws is the failure of the unit that it was at: behind every loop's
// body stands a barrier, and the queues take no memory.
#include "worker/unit_runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/executor.h"
#include "common/base/guarded.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "common/plan/encoding.h"
#include "worker/buffer_pool.h"
#include "worker/lively_executor.h"
#include "worker/open_scales.h"
#include "worker/piece_assembler.h"
#include "worker/segment_compute.h"
#include "worker/segment_io.h"
#include "worker/stage_queue.h"
#include "worker/unit_in_flight.h"
#include "worker/worker_metrics.h"

namespace merganser {
namespace {

// One segment on its way through the stages.
struct Item {
  std::shared_ptr<UnitInFlight> unit;
  size_t part = 0;
  SegmentData data;
  std::vector<Keepsake> keepsakes;  // that an earlier round left
  SegmentFindings findings;
  StageSeconds stages;
  MonotonicTime handed;  // to the next stage

  const Segment& segment() const { return unit->segment(part); }
};

// Segments of one unit that are read together; mostly one.
using Items = std::vector<Item>;

class Runner {
 public:
  Runner(UnitSource& source, const RunnerOptions& options)
      : source_(source),
        options_(options),
        metrics_(options.metrics),
        buffers_(options.memory),
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
      MutexLock lock(feed_mutex_);
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
    MutexLock lock(feed_mutex_);
    return status_;
  }

 private:
  // Segments that are read together.
  static constexpr size_t kMostJoined = 64;

  // Threads beside the first ones.
  struct Widened {
    ThreadGroup readers, writers;
  };

  // Stores that answer late answer many at once: for those of `job` there are as many readers and
  // writers as they want requests in flight, whatever computes. Threads that the system refuses
  // are not missed: the first ones go on.
  void Widen(const JobContext& job) MERGANSER_REQUIRES(feed_mutex_) {
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

  void EndWith(absl::Status status) MERGANSER_REQUIRES(feed_mutex_) {
    if (status_.ok()) status_ = std::move(status);
    ended_ = true;
  }

  // Runs `stage`, which may throw, on a segment; a failure is its unit's. A unit whose
  // source cannot be told ends the run.
  template <typename Stage>
  void AtStage(std::optional<Item> item, Stage stage) MERGANSER_EXCLUDES(feed_mutex_) {
    const std::shared_ptr<UnitInFlight> unit = item->unit;
    const absl::Status status = Guarded([&] { return stage(*item); });
    item.reset();
    Settle(*unit, status);
  }

  void Settle(UnitInFlight& unit, const absl::Status& status) MERGANSER_EXCLUDES(feed_mutex_) {
    if (status.ok()) return;
    if (absl::Status told = unit.Fail(status); !told.ok()) {
      MutexLock lock(feed_mutex_);
      EndWith(std::move(told));
    }
  }

  // The next segments with memory to hold them; nullopt at the end. Readers take
  // turns: memory goes to segments in the order of their units.
  std::optional<Items> NextRun() MERGANSER_EXCLUDES(feed_mutex_) {
    MutexLock lock(feed_mutex_);
    while (true) {
      if (current_ == nullptr && !TakeUnit()) return std::nullopt;
      if (next_ == current_->parts() || current_->dropped()) {
        current_.reset();
        continue;
      }
      Items run;
      absl::Status status = Guarded([&] {
        feed_mutex_.AssertHeld();
        return TakeRun(run);
      });
      if (status.ok()) return run;
      FailCurrent(status);
    }
  }

  // Makes the source's next unit the current one; false when there is none.
  bool TakeUnit() MERGANSER_REQUIRES(feed_mutex_) {
    while (!ended_) {
      absl::StatusOr<std::optional<LeasedUnit>> leased = Guarded([&] { return source_.Next(); });
      if (!leased.ok() || !leased->has_value()) {
        EndWith(leased.status());
        break;
      }
      const absl::Status begun = Guarded([&] {
        feed_mutex_.AssertHeld();
        current_ = std::make_shared<UnitInFlight>(**leased, source_, options_.worker, metrics_);
        next_ = 0;
        Widen(current_->job());
        return CheckMemory(*current_);
      });
      if (begun.ok()) return true;
      if (current_ != nullptr) {
        FailCurrent(begun);
        current_.reset();
      } else if (const absl::Status told = Guarded([&] { source_.Fail(**leased, begun); });
                 !told.ok()) {
        EndWith(told);
      }
    }
    return false;
  }

  void FailCurrent(const absl::Status& status) MERGANSER_REQUIRES(feed_mutex_) {
    if (const absl::Status told = current_->Fail(status); !told.ok()) EndWith(told);
  }

  absl::Status CheckMemory(const UnitInFlight& unit) const {
    const uint64_t need = unit.unit().memory;
    if (need <= options_.memory) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("unit ", unit.leased().unit, " of ", unit.job().job, " needs ",
                     FormatBytes(need), " of memory for tensors and this worker has ",
                     FormatBytes(options_.memory), "; start workers with --memory ",
                     MemoryFlag(need + ProcessMemory(unit.job().plan)), " or more"));
  }

  // Takes the next segments of the current unit, and memory for them.
  absl::Status TakeRun(Items& run) MERGANSER_REQUIRES(feed_mutex_) {
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
    MERGANSER_RETURN_IF_ERROR(OpenScalesOf(unit, run.front().segment()));
    MERGANSER_RETURN_IF_ERROR(TakePieceBuffer(unit, run.front().part));
    MERGANSER_ASSIGN_OR_RETURN(Buffer buffer,
                               Take(unit, RunBufferBytes(plan, segments), WorkspaceOf(segments)));
    const auto shared = std::make_shared<Buffer>(std::move(buffer));
    std::vector<SegmentData*> data;
    for (Item& item : run) {
      item.data.buffer = shared;
      data.push_back(&item.data);
    }
    LayOutRun(plan, segments, shared->data(), data);
    for (Item& item : run) {
      if (IsEncoded(unit, item.segment())) {
        item.data.scales = unit.scales().BytesOf(item.segment().tensor);
      }
    }
    return absl::OkStatus();
  }

  // Scales are read by nobody: they are written when all values of their tensor are encoded, and
  // the buffer of their piece is there.
  absl::Status TakeScales(Items& run) MERGANSER_REQUIRES(feed_mutex_) {
    run.emplace_back();
    run.back().unit = current_;
    run.back().part = next_++;
    const StageTimer timer(metrics_, Stage::kWait, run.back().stages.wait);
    return TakePieceBuffer(*current_, run.back().part);
  }

  // Whether what is computed of the segment is encoded before it is written.
  static bool IsEncoded(const UnitInFlight& unit, const Segment& segment) {
    return unit.writes() && !segment.header &&
           unit.job().plan.tensors[segment.tensor].encoding.has_value();
  }

  // Before the first values of a tensor that has scales: a place for these.
  absl::Status OpenScalesOf(UnitInFlight& unit, const Segment& first)
      MERGANSER_REQUIRES(feed_mutex_) {
    if (!IsEncoded(unit, first) || unit.scales().IsOpen(first.tensor)) return absl::OkStatus();
    const uint64_t bytes = ScaleBytes(unit.job().plan.tensors[first.tensor]);
    MERGANSER_ASSIGN_OR_RETURN(Buffer buffer, Take(unit, bytes, 0));
    size_t segments = 0;
    for (const Segment& segment : unit.unit().segments) {
      segments += !segment.header && segment.tensor == first.tensor ? 1 : 0;
    }
    unit.scales().Open(first.tensor, segments, std::move(buffer), bytes);
    return absl::OkStatus();
  }

  // One segment of a tensor with scales, or that of these, is done so far. With the last one they
  // are written.
  void ScalesGetOn(const std::shared_ptr<UnitInFlight>& unit, uint32_t tensor) {
    std::optional<OpenScales::Scales> scales = unit->scales().Done(tensor);
    if (!scales.has_value()) return;
    Item item;
    item.unit = unit;
    item.part = unit->ScalesPart(tensor);
    item.data.buffer = std::move(scales->buffer);
    item.data.output = {scales->bytes.data(), DType::kU8, scales->bytes.size()};
    item.handed = SystemClock().Now();
    written_.Push(std::move(item));
  }

  absl::Status TakePieceBuffer(UnitInFlight& unit, size_t part) MERGANSER_REQUIRES(feed_mutex_) {
    const uint32_t index = unit.segment_index(part);
    const uint64_t wanted = PieceBuffer(unit, index);
    if (wanted == 0) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(Buffer buffer, Take(unit, wanted, 0));
    unit.pieces().SetBuffer(index, std::move(buffer));
    return absl::OkStatus();
  }

  // Whether the current unit's next segment is read with these, which come before it. Never where
  // its piece has a buffer to be taken before, nor where memory could not hold them beside one.
  bool JoinsNext(SegmentRun segments) const MERGANSER_REQUIRES(feed_mutex_) {
    const UnitInFlight& unit = *current_;
    if (segments.size() == kMostJoined || next_ == unit.parts()) return false;
    const Segment& next = unit.segment(next_);
    if (!MayJoin(unit.job(), *segments.back(), next)) return false;
    if (PieceBuffer(unit, unit.segment_index(next_)) > 0) return false;
    segments.push_back(&next);
    const uint64_t beside = unit.writes() ? unit.pieces().LargestBuffer() : 0;
    const uint64_t whole = RunBufferBytes(unit.job().plan, segments) + WorkspaceOf(segments);
    return whole + beside <= options_.memory;
  }

  static uint64_t PieceBuffer(const UnitInFlight& unit, uint32_t segment) {
    return unit.writes() ? unit.pieces().BufferBytes(segment) : 0;
  }

  static uint64_t WorkspaceOf(const SegmentRun& segments) {
    uint64_t bytes = 0;
    for (const Segment* segment : segments) bytes += segment->workspace;
    return bytes;
  }

  absl::StatusOr<Buffer> Take(const UnitInFlight& unit, uint64_t bytes, uint64_t reserved) {
    Buffer buffer = buffers_.Acquire(bytes, reserved);
    if (buffer.data() != nullptr) return buffer;
    return absl::ResourceExhaustedError(
        absl::StrCat("the system has no ", FormatBytes(bytes), " of memory left for a piece of ",
                     unit.job().job, "; lower --memory, or give the process more"));
  }

  void ReadLoop() {
    while (std::optional<Items> run = NextRun()) {
      const std::shared_ptr<UnitInFlight> unit = run->front().unit;
      const absl::Status status = Guarded([&] { return Read(*run); });
      run.reset();
      Settle(*unit, status);
    }
  }

  absl::Status Read(Items& run) {
    if (run.front().segment().scales) {
      ScalesGetOn(run.front().unit, run.front().segment().tensor);
      return absl::OkStatus();
    }
    SegmentRun segments;
    std::vector<SegmentData*> data;
    for (Item& item : run) {
      segments.push_back(&item.segment());
      data.push_back(&item.data);
    }
    {
      const StageTimer timer(metrics_, Stage::kRead, run.front().stages.read);
      MERGANSER_RETURN_IF_ERROR(ReadRun(run.front().unit->job(), segments, data));
      for (Item& item : run) MERGANSER_RETURN_IF_ERROR(ReadKept(item));
    }
    for (Item& item : run) {
      if (!item.unit->Alive()) return absl::OkStatus();
      uncomputed_.fetch_add(1);
      item.handed = SystemClock().Now();
      ready_.Push(std::move(item));
      helpers_.Wake();
    }
    return absl::OkStatus();
  }

  // What analysis left for the round that writes.
  static absl::Status ReadKept(Item& item) {
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
      std::optional<Item> item = ready_.TryPop();
      if (!item.has_value()) {
        if (AllComputed()) return;
        helpers_.HelpUntil([this] { return ready_.HasItem() || AllComputed(); });
        continue;
      }
      AtStage(std::move(item), [this](Item& segment) { return Compute(segment); });
      if (uncomputed_.fetch_sub(1) == 1) helpers_.Wake();
    }
  }

  // A thread has the segment, which was handed to its stage.
  void NoteWait(Item& item) const {
    const Duration waited = SystemClock().Now() - item.handed;
    item.stages.wait += std::chrono::duration<double>(waited).count();
    metrics_.Spent(Stage::kWait, waited);
  }

  absl::Status Compute(Item& item) {
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
    const Segment& segment = item.segment();
    written_.Push(std::move(item));
    if (IsEncoded(unit, segment)) ScalesGetOn(owner, segment.tensor);
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
    while (std::optional<Item> item = written_.Pop()) {
      AtStage(std::move(item), [this](Item& segment) { return Write(segment); });
    }
  }

  absl::Status Write(Item& item) {
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

  static absl::Status WriteOutput(const Item& item, std::string& digest) {
    UnitInFlight& unit = *item.unit;
    std::span<const std::byte> bytes(item.data.output.data, item.data.output.bytes());
    if (!item.data.encoded.empty()) bytes = item.data.encoded;
    digest = DigestHex(bytes);
    return unit.pieces().Write(*unit.job().output, unit.offset(item.part), bytes);
  }

  static absl::Status WriteKept(Item& item, std::string& digest) {
    if (item.findings.keepsakes.empty()) return absl::OkStatus();
    const UnitInFlight& unit = *item.unit;
    MERGANSER_ASSIGN_OR_RETURN(
        digest, WriteKeepsakes(unit.job(), unit.leased().unit, unit.segment_index(item.part),
                               item.findings.keepsakes));
    item.findings.keepsakes.clear();
    return absl::OkStatus();
  }

  UnitSource& source_;
  const RunnerOptions options_;
  const WorkerMetrics metrics_;  // outlives the units in flight
  BufferPool buffers_;
  const size_t computers_;
  const size_t readers_;
  const size_t writers_;
  StageQueue<Item> ready_;
  StageQueue<Item> written_;
  ThreadPool helpers_;
  std::atomic<size_t> uncomputed_ = 0;  // read, and not through Compute yet

  Mutex feed_mutex_;
  std::shared_ptr<UnitInFlight> current_ MERGANSER_GUARDED_BY(feed_mutex_);
  size_t next_ MERGANSER_GUARDED_BY(feed_mutex_) = 0;
  Widened widened_ MERGANSER_GUARDED_BY(feed_mutex_);
  bool ended_ MERGANSER_GUARDED_BY(feed_mutex_) = false;
  absl::Status status_ MERGANSER_GUARDED_BY(feed_mutex_);
  MetricRegistry::Collector memory_in_use_;  // last: it looks at the pool
};

}  // namespace

uint64_t ProcessMemory(const Plan& plan) {
  // What is kept of every tensor (plan, headers of all models, report) and of
  // every leaf that is measured; generous, from runs over 20,000 small tensors.
  constexpr uint64_t kPerSource = 768, kPerTensor = 1024, kPerLeaf = 1536, kPerLeafAndModel = 512;
  uint64_t bytes = kProcessMemory;
  for (const PlannedTensor& tensor : plan.tensors) {
    bytes += kPerTensor + kPerSource * plan.models.size();
    if (tensor.needs.rounds == 0) continue;
    bytes += tensor.leaves * (kPerLeaf + kPerLeafAndModel * plan.models.size());
  }
  return bytes;
}

absl::Status RunUnits(UnitSource& source, const RunnerOptions& options) {
  return Guarded([&] { return Runner(source, options).Run(); });
}

}  // namespace merganser
