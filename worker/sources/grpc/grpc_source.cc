#include "worker/sources/grpc/grpc_source.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/host.h"
#include "common/base/random_id.h"
#include "common/base/status.h"
#include "common/engine/result_record.h"
#include "worker/sources/grpc/worker_client.h"

namespace merganser {
namespace {

// Well below what the coordinator takes in one message (64 MiB).
constexpr size_t kMaxReportBytes = size_t{16} << 20;
// Plans are kept this long after their last lease: the next may come soon.
constexpr size_t kKeptContexts = 2;
// A worker that leaves does not wait long between calls: its time is short.
constexpr Duration kLeavingBackoff = std::chrono::seconds(1);

// No repetition mends these: it is another program, or another version.
bool IsFatal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsUnimplemented(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnauthenticated(status);
}

}  // namespace

std::string WorkerHostName() {
  std::string name = HostName();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '-';
  }
  return name;
}

std::string MakeWorkerName() {
  return absl::StrCat(WorkerHostName(), "-", getpid(), "-", RandomHex(8));
}

GrpcUnitSource::GrpcUnitSource(const GrpcSourceOptions& options)
    : options_(options),
      prefetch_(static_cast<size_t>(options.prefetch > 0 ? options.prefetch
                                                         : std::max(options.threads, 1) + 1)),
      max_undelivered_(static_cast<size_t>(options.max_undelivered > 0
                                               ? options.max_undelivered
                                               : 8 * std::max(options.threads, 1))),
      client_(
          std::make_unique<WorkerClient>(options.coordinator, options.security, options.stores)),
      backoff_({options.min_backoff, options.max_backoff}),
      batcher_(
          Duration::zero(), [this](std::span<WrittenUnit> batch) { TakeSettled(batch); },
          options.stores.metrics()) {
  absl::Status started = Guarded([&]() -> absl::Status {
    MERGANSER_RETURN_IF_ERROR(batcher_.started());
    MERGANSER_ASSIGN_OR_RETURN(sync_thread_, Thread::Start([this] { SyncLoop(); }));
    return absl::OkStatus();
  });
  if (started.ok()) return;
  MutexLock lock(mutex_);
  fatal_ = std::move(started);
}

GrpcUnitSource::~GrpcUnitSource() {
  Guarded([this] { return Finish(Duration::zero()); }).IgnoreError();
  // Also where that had no memory to say what is lost.
  {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.NotifyAll();
  }
}

std::string GrpcUnitSource::JobOf(const std::string& uid) const {
  const auto context = contexts_.find(uid);
  return context == contexts_.end() ? absl::StrCat("jobs/", uid) : context->second->job;
}

void GrpcUnitSource::TellFailed(const std::string& job, uint32_t unit,
                                const absl::Status& status) const {
  Guarded([&] {
    Log(options_.log, LogLevel::kWarn, absl::StrCat("unit failed: ", status.message()),
        {{"job", job},
         {"unit", unit},
         {"worker", options_.worker},
         {"code", absl::StatusCodeToString(status.code())}});
  }).IgnoreError();
}

void GrpcUnitSource::SyncSoon() {
  urgent_ = true;
  changed_.NotifyAll();
}

absl::StatusOr<std::optional<LeasedUnit>> GrpcUnitSource::Next() {
  while (true) {
    HeldLease lease;
    {
      MutexLock lock(mutex_);
      while (fatal_.ok() && !stopping_ && (book_.waiting() == 0 || Congested())) {
        changed_.Wait(mutex_);
      }
      if (!fatal_.ok()) return fatal_;
      if (stopping_) return std::nullopt;
      lease = *book_.Start();
      if (!starved_ && book_.waiting() <= prefetch_ / 2) SyncSoon();
    }
    absl::StatusOr<LeasedUnit> unit = Guarded([&] { return UnitOf(lease); });
    if (unit.ok()) return unit;
    const absl::Status& status = unit.status();
    if (!absl::IsNotFound(status) && !absl::IsCancelled(status)) {
      TellFailed(absl::StrCat("jobs/", lease.job_uid), lease.unit, status);
    }
    MutexLock lock(mutex_);
    if (absl::IsNotFound(status)) {
      // Job or round are over: leases that are still good are given again.
      book_.DropJob(lease.job_uid);
    } else if (absl::IsCancelled(status)) {
      book_.Return(lease.token);  // without effect if the lease is gone
    } else {
      book_.Fail(lease.token, status);
    }
    SyncSoon();
  }
}

absl::StatusOr<LeasedUnit> GrpcUnitSource::UnitOf(const HeldLease& lease) {
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const JobContext> context, Context(lease));
  const std::vector<Unit>& units = context->plan.units;
  if (lease.unit >= units.size()) {
    return absl::InternalError(
        absl::StrCat("found a lease of unit ", lease.unit, " of ", units.size()));
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const Gates> gates, RoundGates(lease, *context));
  return LeasedUnit{context,     lease.unit, lease.token,
                    lease.round, gates,      batcher_.FailedFlushes(*context, lease.unit)};
}

absl::StatusOr<std::shared_ptr<const JobContext>> GrpcUnitSource::Context(const HeldLease& lease) {
  return FetchOnce(lease.job_uid, lease, &GrpcUnitSource::contexts_,
                   [&] { return client_->FetchJob(lease.job_uid, options_.plan_timeout); });
}

absl::StatusOr<std::shared_ptr<const Gates>> GrpcUnitSource::RoundGates(const HeldLease& lease,
                                                                        const JobContext& job) {
  if (job.plan.groups.empty() || lease.round == 0) return std::shared_ptr<const Gates>();
  return FetchOnce(
      absl::StrCat(lease.job_uid, " ", lease.round), lease, &GrpcUnitSource::gates_,
      [&] { return client_->FetchGates(lease.job_uid, lease.round, job, options_.plan_timeout); });
}

template <typename T, typename Fetch>
absl::StatusOr<T> GrpcUnitSource::FetchOnce(const std::string& key, const HeldLease& lease,
                                            Cache<T> cache, Fetch fetch) {
  {
    MutexLock lock(mutex_);
    while (true) {
      if (const auto it = (this->*cache).find(key); it != (this->*cache).end()) return it->second;
      if (fetching_.insert(key).second) break;
      changed_.Wait(mutex_);
    }
  }
  Backoff backoff({options_.min_backoff, options_.max_backoff});
  while (true) {
    absl::StatusOr<T> fetched = Guarded(fetch);
    MutexLock lock(mutex_);
    const bool give_up = stopping_ || !book_.Holds(lease.token);
    // A coordinator that shuts down cancels the calls of others.
    const bool again = IsRetryable(fetched.status()) || absl::IsCancelled(fetched.status());
    if (fetched.ok() || give_up || !again) {
      fetching_.erase(key);
      changed_.NotifyAll();
      if (fetched.ok()) (this->*cache)[key] = *fetched;
      if (!fetched.ok() && give_up) return absl::CancelledError("no longer wanted");
      return fetched;
    }
    const MonotonicTime until = SystemClock().Now() + backoff.Next();
    while (!stopping_ && book_.Holds(lease.token)) {
      const Duration left = until - SystemClock().Now();
      if (left <= Duration::zero()) break;
      changed_.WaitFor(mutex_, left);
    }
  }
}

bool GrpcUnitSource::Progress(const LeasedUnit& unit, uint64_t bytes) {
  MutexLock lock(mutex_);
  return fatal_.ok() && book_.Progress(unit.token, bytes);
}

void GrpcUnitSource::Complete(const LeasedUnit& unit, UnitResult result) {
  MutexLock lock(mutex_);
  if (!book_.Holds(unit.token)) return;
  batcher_.Add({unit, std::move(result)});
  ++unsettled_;
}

void GrpcUnitSource::Fail(const LeasedUnit& unit, absl::Status status) {
  MutexLock lock(mutex_);
  // Its planned write may be gone and begun again: then the job's plan names another.
  if (absl::IsNotFound(status)) contexts_.erase(unit.job->uid);
  book_.Fail(unit.token, std::move(status));
  SyncSoon();
}

void GrpcUnitSource::Stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    book_.ReturnWaiting();
    // Also where the last call failed: this may be the last chance.
    next_sync_ = SystemClock().Now();
    backoff_.Limit(kLeavingBackoff);
    SyncSoon();
  }
  client_->CancelFetches();
}

absl::Status GrpcUnitSource::Finish(Duration timeout) {
  Stop();
  absl::Status status;
  {
    MutexLock lock(mutex_);
    const MonotonicTime began = SystemClock().Now();
    while (!closed_ && fatal_.ok() && !said_goodbye_) {
      // Without results to lose, nobody needs to hear the goodbye: leases that are
      // not spoken of expire.
      const Duration limit =
          undelivered() > 0 ? timeout : std::min(timeout, options_.goodbye_timeout);
      const Duration left = began + limit - SystemClock().Now();
      if (left <= Duration::zero()) break;
      changed_.WaitFor(mutex_, left);
    }
    const size_t lost = undelivered();
    if (!fatal_.ok()) {
      status = fatal_;
    } else if (lost > 0) {
      status = absl::UnavailableError(
          absl::StrCat("coordinator ", options_.coordinator, ": the end of ", lost,
                       lost == 1 ? " unit" : " units",
                       " could not be reported; what is not reported is done again elsewhere"));
    }
    closed_ = true;
    changed_.NotifyAll();
  }
  client_->Cancel();
  sync_thread_.Join().IgnoreError();
  batcher_.Stop();
  return status;
}

void GrpcUnitSource::TakeSettled(std::span<WrittenUnit> batch) {
  for (const WrittenUnit& written : batch) {
    if (written.status.ok()) continue;
    TellFailed(written.unit.job->job, written.unit.unit, written.status);
  }
  MutexLock lock(mutex_);
  unsettled_ -= batch.size();
  absl::Status told = Guarded([&] {
    mutex_.AssertHeld();
    for (WrittenUnit& written : batch) {
      if (written.status.ok()) {
        book_.Complete(written.unit.token,
                       PackResult(written.unit.job->plan.digest, written.result));
      } else {
        book_.Fail(written.unit.token, written.status);
      }
    }
  });
  if (!told.ok()) {
    // Those of which no word could be put down.
    absl::Status failed = Guarded([&] {
      mutex_.AssertHeld();
      for (const WrittenUnit& written : batch) {
        if (!book_.Ended(written.unit.token)) book_.Fail(written.unit.token, told);
      }
    });
    if (!failed.ok() && fatal_.ok()) fatal_ = std::move(failed);
  }
  SyncSoon();
}

size_t GrpcUnitSource::undelivered() const { return book_.ends() + unsettled_; }

bool GrpcUnitSource::Congested() const { return undelivered() >= max_undelivered_; }

void GrpcUnitSource::SyncLoop() {
  while (true) {
    bool goes_on = true;
    const absl::Status status = Guarded([&] { goes_on = SyncOnce(); });
    if (!goes_on) return;
    if (status.ok()) continue;
    // As a call that failed; what an answer brought is brought again.
    MutexLock lock(mutex_);
    next_sync_ = SystemClock().Now() + backoff_.Next();
  }
}

bool GrpcUnitSource::SyncOnce() {
  SyncCall call;
  {
    MutexLock lock(mutex_);
    while (!closed_) {
      const Duration left = next_sync_ - SystemClock().Now();
      // A coordinator that is away is not called more often for being needed.
      if (left <= Duration::zero() || (urgent_ && !backoff_.failing())) break;
      changed_.WaitFor(mutex_, left);
    }
    if (closed_) return false;
    call = PrepareCall();
  }
  const absl::StatusOr<SyncReply> reply = client_->Sync(call, options_.call_timeout);
  std::vector<LogLine> lines;
  {
    MutexLock lock(mutex_);
    lines = reply.ok() ? TakeReply(call, *reply) : TakeError(reply.status());
    changed_.NotifyAll();
    if (closed_ || !fatal_.ok()) return false;
  }
  for (const LogLine& line : lines) {
    if (options_.log) options_.log(line);
  }
  return true;
}

SyncCall GrpcUnitSource::PrepareCall() {
  SyncCall call;
  call.worker = options_.worker;
  call.sequence = ++sequence_;
  call.epoch = epoch_;
  call.threads = static_cast<uint32_t>(std::max(options_.threads, 1));
  call.memory = options_.memory;
  call.simd = options_.simd;
  call.host = WorkerHostName();
  call.version = options_.version;
  call.leases = book_.Snapshot(kMaxReportBytes);
  call.draining = stopping_;
  if (!stopping_ && !Congested() && book_.waiting() < prefetch_) {
    call.wanted = static_cast<uint32_t>(prefetch_ - book_.waiting());
  }
  // What did not fit goes at once with the next call.
  urgent_ = call.leases.reports.size() < book_.reports();
  return call;
}

std::vector<LogLine> GrpcUnitSource::TakeReply(const SyncCall& call, const SyncReply& reply) {
  if (reply.epoch < epoch_) {
    return TakeError(absl::UnavailableError(
        absl::StrCat("coordinator ", options_.coordinator, ": found epoch ", reply.epoch, " after ",
                     epoch_, ", expected it to rise (are there two coordinators?)")));
  }
  std::vector<LogLine> lines;
  const auto told = [&](LogLevel level, std::string_view what) {
    lines.push_back({level,
                     absl::StrCat("coordinator ", options_.coordinator, ": ", std::string(what)),
                     {{"peer", options_.coordinator}}});
  };
  if (epoch_ == 0) {
    told(LogLevel::kInfo, "connected");
  } else if (reply.epoch > epoch_) {
    told(LogLevel::kWarn, "was started anew; units in flight are dropped");
    book_.DropUnreported();
    contexts_.clear();
    gates_.clear();
  } else if (backoff_.failing()) {
    told(LogLevel::kInfo, "connected again");
  }
  epoch_ = reply.epoch;
  for (const std::string& token : reply.acknowledged) book_.Acknowledge(token);
  for (const std::string& token : reply.revoked) {
    if (const std::optional<HeldLease> lease = book_.Find(token);
        lease.has_value() && !book_.Ended(token)) {
      lines.push_back(
          {LogLevel::kInfo,
           "unit taken back: its job is over, or another worker has it",
           {{"job", JobOf(lease->job_uid)}, {"unit", lease->unit}, {"worker", options_.worker}}});
    }
    book_.Revoke(token);
  }
  // After Stop new leases are not mentioned again, and so given to others.
  if (!stopping_) {
    for (const HeldLease& lease : reply.leases) book_.Add(lease);
  }
  starved_ = reply.leases.size() < call.wanted;
  backoff_.Reset();
  turned_away_ = false;
  next_sync_ = SystemClock().Now() + reply.next_sync_after;
  if (call.draining && book_.empty() && unsettled_ == 0) said_goodbye_ = true;
  const std::set<std::string> jobs = book_.jobs();
  for (auto it = contexts_.begin(); it != contexts_.end() && contexts_.size() > kKeptContexts;) {
    it = jobs.contains(it->first) ? std::next(it) : contexts_.erase(it);
  }
  for (auto it = gates_.begin(); it != gates_.end() && gates_.size() > kKeptContexts;) {
    const std::string job = it->first.substr(0, it->first.find(' '));
    it = jobs.contains(job) ? std::next(it) : gates_.erase(it);
  }
  return lines;
}

std::vector<LogLine> GrpcUnitSource::TakeError(const absl::Status& status) {
  // One that was let in before is not turned away by tokens or certificates that are
  // being changed: it waits until both sides have the new ones.
  const bool turned_away = absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
  if (IsFatal(status) && !(turned_away && epoch_ > 0)) {
    fatal_ = status;
    return {};
  }
  // One that is away and comes back with other certificates than ours has two things to tell.
  const bool news = !backoff_.failing() || (turned_away && !turned_away_);
  turned_away_ = turned_away_ || turned_away;
  next_sync_ = SystemClock().Now() + backoff_.Next();
  if (!news) return {};
  return {
      {LogLevel::kWarn,
       absl::StrCat(std::string(status.message()),
                    stopping_ ? "; trying again for a while" : "; trying again until it answers"),
       {{"peer", options_.coordinator}, {"code", absl::StatusCodeToString(status.code())}}}};
}

}  // namespace merganser
