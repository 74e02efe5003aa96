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
    result_.unit = leased_.unit;
    result_.round = leased_.round;
    result_.worker = worker;
    if (leased_.gates == nullptr) {
      leased_.gates = std::make_shared<const Gates>(job().plan.groups.size());
    }
    uint64_t at = unit().begin;
    for (uint32_t i = 0; i < unit().segments.size(); ++i) {
      const Segment& segment = unit().segments[i];
      if (TakesPart(job().plan, segment, leased_.round, *leased_.gates)) {
        parts_.push_back({i, at});
      }
      at += segment.bytes_out;
    }
    const size_t parts = parts_.size();
    findings_.resize(parts);
    left_ = parts;
    if (writes()) {
      result_.segment_digests.resize(parts);
      result_.receipts.resize(parts);
    } else {
      result_.keepsake_digests.resize(parts);
    }
  }

  const JobContext& job() const { return *leased_.job; }
  const LeasedUnit& leased() const { return leased_; }
  const Unit& unit() const { return leased_.job->plan.units[leased_.unit]; }
  // The round writes; else it analyzes.
  bool writes() const { return IsLastRound(job().plan, leased_.round); }
  // The segments that take part in the round.
  size_t parts() const { return parts_.size(); }
  uint32_t segment_index(size_t part) const { return parts_[part].segment; }
  const Segment& segment(size_t part) const { return unit().segments[parts_[part].segment]; }
  uint64_t offset(size_t part) const { return parts_[part].offset; }

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

  // `digest` of what was written: the output, or the keepsakes.
  void PartDone(size_t part, std::string digest, WriteReceipt receipt, SegmentFindings findings) {
    const Segment& done = segment(part);
    if (!source_.Progress(leased_, writes() ? done.bytes_out : done.bytes_in)) Drop();
    UnitResult finished;
    {
      MutexLock lock(mutex_);
      if (writes()) {
        result_.segment_digests[part] = std::move(digest);
        result_.receipts[part] = std::move(receipt);
        result_.bytes_written += done.bytes_out;
      } else {
        result_.keepsake_digests[part] = std::move(digest);
      }
      result_.bytes_read += done.bytes_in;
      findings_[part] = std::move(findings);
      if (--left_ != 0 || dropped_) return;
      Gather();
      finished = std::move(result_);
    }
    source_.Complete(leased_, std::move(finished));
  }

 private:
  struct Part {
    uint32_t segment;
    uint64_t offset;  // in the output shard
  };

  template <typename T>
  static void Append(std::vector<T>& from, std::vector<T>& to) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  }

  // In the order of the segments, however they were finished.
  void Gather() MERGANSER_REQUIRES(mutex_) {
    for (SegmentFindings& findings : findings_) {
      Append(findings.leaves, result_.leaves);
      Append(findings.groups, result_.groups);
      Append(findings.sums, result_.sums);
      for (GroupCounts& counts : findings.counts) {
        if (!result_.counts.empty() && result_.counts.back().group == counts.group) {
          AddCounts(counts.counts, result_.counts.back().counts);
        } else {
          result_.counts.push_back(std::move(counts));
        }
      }
    }
    result_.seconds = std::chrono::duration<double>(SystemClock().Now() - started_).count();
  }

  LeasedUnit leased_;
  UnitSource& source_;
  const MonotonicTime started_;
  std::vector<Part> parts_;
  Mutex mutex_;
  UnitResult result_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<SegmentFindings> findings_ MERGANSER_GUARDED_BY(mutex_);
  size_t left_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool dropped_ MERGANSER_GUARDED_BY(mutex_) = false;
};

// One segment on its way through the stages.
struct Item {
  std::shared_ptr<UnitInFlight> unit;
  size_t part = 0;
  SegmentData data;
  std::vector<Keepsake> keepsakes;  // that an earlier round left
  SegmentFindings findings;

  const Segment& segment() const { return unit->segment(part); }
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
        ready_(computers_),
        written_(computers_),
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
      if (next_ == current_->parts() || current_->dropped()) {
        current_.reset();
        continue;
      }
      Item item;
      item.unit = current_;
      item.part = next_++;
      const Segment& segment = item.segment();
      const Plan& plan = item.unit->job().plan;
      item.data.buffer = buffers_.Acquire(SegmentBufferBytes(plan, segment), segment.workspace);
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
      absl::Status status = ReadSegment(item->unit->job(), item->segment(), item->data);
      if (status.ok()) status = ReadKept(*item);
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
      Compute(*std::move(item));
      if (uncomputed_.fetch_sub(1) == 1) helpers_.Wake();
    }
  }

  void Compute(Item item) {
    UnitInFlight& unit = *item.unit;
    if (!unit.Alive()) return;
    LivelyExecutor executor(helpers_, unit);
    absl::StatusOr<SegmentFindings> findings = ComputeSegment(
        unit.leased(), item.segment(), item.data, item.keepsakes, SystemClock(), executor);
    if (!findings.ok()) return unit.Fail(findings.status());
    if (!unit.Alive()) return;
    item.findings = *std::move(findings);
    written_.Push(std::move(item));
  }

  void WriteLoop() {
    while (std::optional<Item> item = written_.Pop()) {
      UnitInFlight& unit = *item->unit;
      if (unit.dropped()) continue;
      std::string digest;
      WriteReceipt receipt;
      const absl::Status status =
          unit.writes() ? WriteOutput(*item, digest, receipt) : WriteKept(*item, digest);
      if (!status.ok()) {
        unit.Fail(status);
        continue;
      }
      item->data.buffer.Release();
      unit.PartDone(item->part, std::move(digest), std::move(receipt), std::move(item->findings));
    }
  }

  static absl::Status WriteOutput(const Item& item, std::string& digest, WriteReceipt& receipt) {
    const UnitInFlight& unit = *item.unit;
    const std::span<const std::byte> bytes(item.data.output.data, item.data.output.bytes());
    digest = DigestHex(bytes);
    MERGANSER_ASSIGN_OR_RETURN(receipt,
                               unit.job().output->WriteRange(unit.job().writes[unit.unit().shard],
                                                             unit.offset(item.part), bytes));
    return absl::OkStatus();
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
