#include "worker/sources/mpi/rank_node.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/result_record.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"
#include "worker/logged_source.h"
#include "worker/unit_runner.h"

namespace merganser {

RankNode::RankNode(Transport& transport, const RankOptions& options)
    : transport_(transport), options_(options), last_word_(SystemClock().Now()) {}

RankNode::~RankNode() {
  if (source_ != nullptr) source_->Drop();
  runner_.Join().IgnoreError();
}

void RankNode::Wait(Duration timeout) {
  if (source_ != nullptr) {
    source_->Wait(timeout);
  } else {
    std::this_thread::sleep_for(timeout);
  }
}

absl::Status RankNode::Handle(Message message) {
  switch (message.kind) {
    case MessageKind::kJob:
      if (told_stopped_) LeaveJob();
      [[fallthrough]];
    case MessageKind::kGates:
      MERGANSER_RETURN_IF_ERROR(transport_.Expect(message.number));
      expected_.push_back(message.kind);
      return absl::OkStatus();
    case MessageKind::kUnits:
    case MessageKind::kEnd:
      waiting_.push_back(std::move(message));
      GiveWaiting();
      return absl::OkStatus();
    case MessageKind::kDrop:
      dropped_ = true;
      if (source_ != nullptr) source_->Drop();
      return absl::OkStatus();
    case MessageKind::kLeave:
      left_ = true;
      return absl::OkStatus();
    default:
      return absl::InternalError(absl::StrCat(
          "rank ", transport_.rank(), ": found a message of kind ", static_cast<int>(message.kind),
          ", expected one of those that rank 0 sends"));
  }
}

// Another job comes, of the same run: rank 0 has this rank's word that it stopped.
void RankNode::LeaveJob() {
  runner_.Join().IgnoreError();
  source_.reset();
  job_.reset();
  waiting_.clear();
  told_hello_ = told_stopped_ = told_interrupt_ = dropped_ = false;
}

// Units of a round wait for its gates, which travel another way.
void RankNode::GiveWaiting() {
  while (expected_.empty() && source_ != nullptr && !waiting_.empty()) {
    const Message message = std::move(waiting_.front());
    waiting_.pop_front();
    if (message.kind == MessageKind::kEnd) {
      source_->Close();
      continue;
    }
    for (const uint32_t unit : message.units) {
      if (unit < job_->plan.units.size()) continue;
      Refuse(absl::InternalError(
          absl::StrCat("found unit ", unit, " of a plan that has ", job_->plan.units.size())));
      return;
    }
    source_->Give(message.round, gates_, message.units);
  }
}

absl::Status RankNode::TakeBroadcasts() {
  while (!expected_.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> bytes, transport_.TakeBroadcast());
    if (!bytes.has_value()) return absl::OkStatus();
    const MessageKind kind = expected_.front();
    expected_.pop_front();
    if (kind == MessageKind::kJob) {
      StartJob(std::string_view(*bytes));
    } else if (job_ != nullptr) {
      absl::StatusOr<Gates> gates = ParseGates(*bytes, job_->plan);
      if (gates.ok()) {
        gates_ = std::make_shared<const Gates>(*std::move(gates));
      } else {
        Refuse(gates.status());
      }
    }
  }
  GiveWaiting();
  return absl::OkStatus();
}

void RankNode::StartJob(std::string_view job_plan) {
  if (!options_.ready.ok()) return Refuse(options_.ready);
  absl::StatusOr<JobPlan> parsed = ParseJobPlan(job_plan);
  if (!parsed.ok()) return Refuse(parsed.status());
  absl::StatusOr<std::shared_ptr<const JobContext>> job =
      MakeJobContext(parsed->job, parsed->job_uid, std::move(parsed->plan), parsed->output_uri,
                     std::move(parsed->writes), options_.stores);
  if (!job.ok()) return Refuse(job.status());
  StartJob(*std::move(job));
}

void RankNode::StartJob(std::shared_ptr<const JobContext> job) {
  job_ = std::move(job);
  absl::Status started = Guarded([&] {
    gates_ = std::make_shared<const Gates>(job_->plan.groups.size());
    return StartRunner();
  });
  if (started.ok()) return;
  source_ = nullptr;
  Refuse(std::move(started));
}

absl::Status RankNode::StartRunner() {
  const uint64_t process = ProcessMemory(job_->plan);
  const uint64_t needed = process + job_->plan.peak_leaf_memory;
  if (options_.memory < needed) {
    return absl::InvalidArgumentError(absl::StrCat("--memory: found ", FormatBytes(options_.memory),
                                                   ", expected ", MemoryFlag(needed),
                                                   " or more for every rank"));
  }
  source_ = std::make_unique<RankSource>(job_, options_.flush_period, options_.stores.metrics());
  if (dropped_) source_->Drop();
  RunnerOptions options;
  options.threads = options_.threads;
  options.memory = options_.memory - process;
  options.metrics = options_.stores.metrics();
  options.worker = absl::StrCat("rank ", transport_.rank(), " on ", options_.host);
  MERGANSER_ASSIGN_OR_RETURN(runner_,
                             Thread::Start([source = source_.get(), options, log = options_.log] {
                               LoggedSource logged(*source, options.worker, log);
                               source->End(Guarded([&] { return RunUnits(logged, options); }));
                             }));
  return absl::OkStatus();
}

void RankNode::Refuse(absl::Status status) {
  if (failure_.ok()) failure_ = std::move(status);
}

absl::Status RankNode::Tell(const Message& message) {
  last_word_ = SystemClock().Now();
  return transport_.Send(0, PackMessage(message));
}

absl::Status RankNode::Step() {
  MERGANSER_RETURN_IF_ERROR(TakeBroadcasts());
  if (told_stopped_) return absl::OkStatus();
  if (source_ != nullptr && !told_hello_) {
    told_hello_ = true;
    // Room first: with the last hello units are dealt to all.
    MERGANSER_RETURN_IF_ERROR(
        Tell({.kind = MessageKind::kWanted, .number = options_.prefetch + 1}));
    MERGANSER_RETURN_IF_ERROR(
        Tell({.kind = MessageKind::kHello, .number = kNumericsVersion, .text = options_.host}));
  }
  // Not before: a rank without a job says nothing.
  if (interrupted_ && told_hello_ && !told_interrupt_) {
    told_interrupt_ = true;
    MERGANSER_RETURN_IF_ERROR(Tell({.kind = MessageKind::kInterrupted}));
  }
  if (!failure_.ok()) {
    MERGANSER_RETURN_IF_ERROR(
        Tell({.kind = MessageKind::kHello, .number = kNumericsVersion, .text = options_.host}));
    MERGANSER_RETURN_IF_ERROR(Tell(FailedMessage(std::exchange(failure_, absl::OkStatus()))));
  }
  if (source_ != nullptr) return TellEvents(source_->TakeEvents());
  if (!dropped_) return absl::OkStatus();
  // A rank that never began has nothing to wait for.
  told_stopped_ = true;
  return Tell({.kind = MessageKind::kStopped});
}

absl::Status RankNode::TellEvents(const RankEvents& events) {
  for (const UnitResult& result : events.results) {
    Message message{.kind = MessageKind::kResult, .round = result.round};
    message.text = PackResult(job_->plan.digest, result);
    MERGANSER_RETURN_IF_ERROR(Tell(message));
  }
  if (!events.failure.ok()) MERGANSER_RETURN_IF_ERROR(Tell(FailedMessage(events.failure)));
  if (events.taken > 0) {
    MERGANSER_RETURN_IF_ERROR(Tell({.kind = MessageKind::kWanted, .number = events.taken}));
  }
  if (events.bytes > 0 || SystemClock().Now() - last_word_ >= options_.heartbeat) {
    MERGANSER_RETURN_IF_ERROR(Tell({.kind = MessageKind::kProgress, .number = events.bytes}));
  }
  if (!events.ended) return absl::OkStatus();
  told_stopped_ = true;
  return Tell({.kind = MessageKind::kStopped});
}

}  // namespace merganser
