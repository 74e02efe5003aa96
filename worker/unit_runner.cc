// Three stages with queues between them:
//
//   readers   take units from the source, segment by segment, wait for memory
//             in that order, and read
//   computers fill the output; one with nothing to do lends its thread to the
//             others' large matrices
//   writers   digest and write, and complete the unit with its last segment
//
// Memory is taken for a whole segment (inputs, output, workspace) before it is
// read and given back when it is written, so no stage ever waits for memory
// while it holds some: there is nothing to deadlock on.
#include "worker/unit_runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/executor.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "worker/buffer_pool.h"
#include "worker/segment_compute.h"
#include "worker/segment_io.h"
#include "worker/stage_queue.h"

namespace merganser {
namespace {

// A unit between its first read and its last write.
class UnitInFlight {
 public:
  UnitInFlight(LeasedUnit leased, UnitSource& source, const std::string& worker)
      : leased_(std::move(leased)), source_(source), started_(SystemClock().Now()) {
    const size_t segments = unit().segments.size();
    result_.unit = leased_.unit;
    result_.worker = worker;
    result_.segment_digests.resize(segments);
    result_.receipts.resize(segments);
    reports_.resize(segments);
    left_ = segments;
    uint64_t at = unit().begin;
    for (const Segment& segment : unit().segments) {
      offsets_.push_back(at);
      at += segment.bytes_out;
    }
  }

  const JobContext& job() const { return *leased_.job; }
  const LeasedUnit& leased() const { return leased_; }
  const Unit& unit() const { return leased_.job->plan.units[leased_.unit]; }
  uint64_t offset(size_t segment) const { return offsets_[segment]; }

  bool dropped() {
    MutexLock lock(mutex_);
    return dropped_;
  }

  // The unit's remaining segments are not worth their work any more.
  void Drop() {
    MutexLock lock(mutex_);
    dropped_ = true;
  }

  // Tells the source that the unit gets on. False when it is not worth further
  // work.
  bool Alive() {
    if (dropped()) return false;
    if (source_.Progress(leased_, 0)) return true;
    Drop();
    return false;
  }

  void Fail(absl::Status status) {
    {
      MutexLock lock(mutex_);
      if (dropped_) return;
      dropped_ = true;
    }
    source_.Fail(leased_, std::move(status));
  }

  void SegmentDone(size_t index, std::string digest, WriteReceipt receipt,
                   std::vector<LeafReport> reports) {
    const Segment& segment = unit().segments[index];
    if (!source_.Progress(leased_, segment.bytes_out)) Drop();
    UnitResult finished;
    {
      MutexLock lock(mutex_);
      result_.segment_digests[index] = std::move(digest);
      result_.receipts[index] = std::move(receipt);
      reports_[index] = std::move(reports);
      result_.bytes_read += segment.bytes_in;
      result_.bytes_written += segment.bytes_out;
      if (--left_ != 0 || dropped_) return;
      for (auto& leaf_reports : reports_) {
        std::move(leaf_reports.begin(), leaf_reports.end(), std::back_inserter(result_.leaves));
      }
      result_.seconds = std::chrono::duration<double>(SystemClock().Now() - started_).count();
      finished = std::move(result_);
    }
    source_.Complete(leased_, std::move(finished));
  }

 private:
  const LeasedUnit leased_;
  UnitSource& source_;
  const MonotonicTime started_;
  std::vector<uint64_t> offsets_;
  Mutex mutex_;
  UnitResult result_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<std::vector<LeafReport>> reports_ MERGANSER_GUARDED_BY(mutex_);
  size_t left_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool dropped_ MERGANSER_GUARDED_BY(mutex_) = false;
};

// One segment on its way through the stages.
struct Item {
  std::shared_ptr<UnitInFlight> unit;
  size_t index = 0;
  SegmentData data;
  std::vector<LeafReport> reports;

  const Segment& segment() const { return unit->unit().segments[index]; }
};

// Lends the helpers to one segment's computation, and tells that it gets on: an
// iteration over a large matrix comes by here at every step. A hung one does not.
class LivelyExecutor final : public Executor {
 public:
  LivelyExecutor(Executor& executor, UnitInFlight& unit) : executor_(executor), unit_(unit) {}

  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }

  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override {
    const MonotonicTime::rep now = SystemClock().Now().time_since_epoch().count();
    MonotonicTime::rep due = due_.load(std::memory_order_relaxed);
    if (now >= due && due_.compare_exchange_strong(due, now + kPause.count())) {
      if (!unit_.Alive()) cancelled_.store(true, std::memory_order_relaxed);
    }
    executor_.ParallelFor(count, block);
  }

 private:
  static constexpr Duration kPause = std::chrono::seconds(1);

  Executor& executor_;
  UnitInFlight& unit_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<MonotonicTime::rep> due_ = (SystemClock().Now() + kPause).time_since_epoch().count();
};

class Runner {
 public:
  Runner(UnitSource& source, const RunnerOptions& options)
      : source_(source),
        options_(options),
        buffers_(options.memory),
        computers_(static_cast<size_t>(std::max(1, options.threads))),
        readers_(std::clamp<size_t>(computers_, 2, 16)),
        writers_(std::clamp<size_t>(computers_ / 2, 2, 8)),
        ready_(computers_ + 4),
        written_(computers_ + 4),
        helpers_(0) {}

  absl::Status Run() {
    std::vector<std::thread> writers = Start(writers_, [this] { WriteLoop(); });
    std::vector<std::thread> computers = Start(computers_, [this] { ComputeLoop(); });
    // Readers come last: without the other stages nothing may be taken.
    std::vector<std::thread> readers;
    if (!writers.empty() && !computers.empty()) {
      readers = Start(readers_, [this] { ReadLoop(); });
    }
    const bool started = !readers.empty();
    Join(readers);
    ready_.Close();
    helpers_.Wake();
    Join(computers);
    written_.Close();
    Join(writers);
    if (!started) {
      return absl::ResourceExhaustedError(
          "the system refuses to start threads; raise its limit (ulimit -u, pids.max) or lower "
          "--threads");
    }
    MutexLock lock(feed_mutex_);
    return status_;
  }

 private:
  // As many of `count` threads as the system gives.
  template <typename Loop>
  static std::vector<std::thread> Start(size_t count, Loop loop) {
    std::vector<std::thread> threads;
    try {
      for (size_t i = 0; i < count; ++i) threads.emplace_back(loop);
    } catch (const std::system_error&) {
      // The caller sees how many there are.
    }
    return threads;
  }
  static void Join(std::vector<std::thread>& threads) {
    for (std::thread& thread : threads) thread.join();
  }

  // The next segment with memory to hold it; nullopt at the end. Readers take
  // turns: memory goes to segments in the order of their units.
  std::optional<Item> NextSegment() MERGANSER_EXCLUDES(feed_mutex_) {
    MutexLock lock(feed_mutex_);
    while (true) {
      if (current_ == nullptr) {
        if (ended_) return std::nullopt;
        absl::StatusOr<std::optional<LeasedUnit>> leased = source_.Next();
        if (!leased.ok()) status_ = leased.status();
        if (!leased.ok() || !leased->has_value()) {
          ended_ = true;
          return std::nullopt;
        }
        current_ = std::make_shared<UnitInFlight>(**std::move(leased), source_, options_.worker);
        next_ = 0;
        if (const uint64_t need = current_->unit().memory; need > options_.memory) {
          current_->Fail(absl::ResourceExhaustedError(
              absl::StrCat("unit ", current_->leased().unit, " of ", current_->job().job, " needs ",
                           FormatBytes(need), " of memory for tensors and this worker has ",
                           FormatBytes(options_.memory), "; start workers with --memory ",
                           MemoryFlag(need + ProcessMemory(current_->job().plan)), " or more")));
        }
      }
      if (next_ == current_->unit().segments.size() || current_->dropped()) {
        current_.reset();
        continue;
      }
      Item item;
      item.unit = current_;
      item.index = next_++;
      const Segment& segment = item.segment();
      const Plan& plan = item.unit->job().plan;
      item.data.buffer =
          buffers_.Acquire(SegmentBufferBytes(plan, segment),
                           segment.header ? 0 : plan.tensors[segment.tensor].needs.workspace_bytes);
      if (item.data.buffer.data() == nullptr) {
        current_->Fail(absl::ResourceExhaustedError(
            absl::StrCat("the system has no ", FormatBytes(SegmentBufferBytes(plan, segment)),
                         " of memory left for a piece of ", current_->job().job,
                         "; lower --memory, or give the process more")));
        continue;
      }
      LayOutSegment(plan, segment, item.data);
      return item;
    }
  }

  void ReadLoop() {
    while (std::optional<Item> item = NextSegment()) {
      const absl::Status status = ReadSegment(item->unit->job(), item->segment(), item->data);
      if (!status.ok()) {
        item->unit->Fail(status);
        continue;
      }
      if (!item->unit->Alive()) continue;
      uncomputed_.fetch_add(1);
      ready_.Push(*std::move(item));
      helpers_.Wake();
    }
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
      Compute(*std::move(item));
      if (uncomputed_.fetch_sub(1) == 1) helpers_.Wake();
    }
  }

  void Compute(Item item) {
    UnitInFlight& unit = *item.unit;
    if (!unit.Alive()) return;
    LivelyExecutor executor(helpers_, unit);
    absl::StatusOr<std::vector<LeafReport>> reports = ComputeSegment(
        unit.job(), item.segment(), unit.unit().shard, item.data, SystemClock(), executor);
    if (!reports.ok()) return unit.Fail(reports.status());
    if (!unit.Alive()) return;
    item.reports = *std::move(reports);
    written_.Push(std::move(item));
  }

  void WriteLoop() {
    while (std::optional<Item> item = written_.Pop()) {
      UnitInFlight& unit = *item->unit;
      if (unit.dropped()) continue;
      const std::span<const std::byte> bytes(item->data.output.data, item->data.output.bytes());
      std::string digest = DigestHex(bytes);
      absl::StatusOr<WriteReceipt> receipt = unit.job().output->WriteRange(
          unit.job().writes[unit.unit().shard], unit.offset(item->index), bytes);
      if (!receipt.ok()) {
        unit.Fail(receipt.status());
        continue;
      }
      item->data.buffer.Release();
      unit.SegmentDone(item->index, std::move(digest), *std::move(receipt),
                       std::move(item->reports));
    }
  }

  UnitSource& source_;
  const RunnerOptions options_;
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
  bool ended_ MERGANSER_GUARDED_BY(feed_mutex_) = false;
  absl::Status status_ MERGANSER_GUARDED_BY(feed_mutex_);
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
  return Runner(source, options).Run();
}

}  // namespace merganser
