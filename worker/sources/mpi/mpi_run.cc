#include "worker/sources/mpi/mpi_run.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"
#include "worker/sources/mpi/dealer.h"
#include "worker/sources/mpi/message.h"

namespace merganser {
namespace {

// How long to sleep between two looks at MPI, which has no call that waits without
// spinning: short while there is traffic, a few hundred looks a second otherwise.
class Pause {
 public:
  Duration Next(bool busy) {
    if (busy) {
      next_ = kShortest;
      return Duration::zero();
    }
    return std::exchange(next_, std::min<Duration>(2 * next_, kLongest));
  }

 private:
  static constexpr Duration kShortest = std::chrono::microseconds(50);
  static constexpr Duration kLongest = std::chrono::milliseconds(4);
  Duration next_ = kShortest;
};

// Before rank 0 looks after its own units again.
constexpr int kMessagesAtOnce = 1000;

absl::Status WaitUntilSent(Transport& transport) {
  Pause pause;
  while (true) {
    MERGANSER_ASSIGN_OR_RETURN(const bool sent, transport.AllSent());
    if (sent) return absl::OkStatus();
    std::this_thread::sleep_for(pause.Next(false));
  }
}

}  // namespace

absl::Status MpiRank::Run() {
  Pause pause;
  while (!node_.left()) {
    bool busy = false;
    while (true) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<Arrived> arrived, transport_.Receive());
      if (!arrived.has_value()) break;
      MERGANSER_ASSIGN_OR_RETURN(Message message, ParseMessage(arrived->bytes));
      MERGANSER_RETURN_IF_ERROR(node_.Handle(std::move(message)));
      busy = true;
    }
    MERGANSER_RETURN_IF_ERROR(node_.Step());
    if (const Duration rest = pause.Next(busy); rest > Duration::zero()) node_.Wait(rest);
  }
  return WaitUntilSent(transport_);
}

absl::StatusOr<std::vector<UnitResult>> MpiRoot::Run(
    const std::shared_ptr<const JobContext>& job, const std::string& output_uri,
    std::vector<UnitResult> done, std::function<void(const UnitResult&)> completed) {
  Dealer dealer(job, transport_.size(), std::move(done), silence_, SystemClock().Now(),
                std::move(completed));
  node_ = std::make_unique<RankNode>(transport_, options_);
  // Once others know of the job, whatever ends this without their word leaves them at it.
  const absl::Status status = Guarded([&]() -> absl::Status {
    MERGANSER_RETURN_IF_ERROR(TellJob(*job, output_uri));
    node_->StartJob(job);
    return Converse(dealer);
  });
  if (!status.ok()) {
    lost_ = true;
    return dealer.status().ok() ? status : dealer.status();
  }
  node_.reset();
  return dealer.TakeResults();
}

absl::Status MpiRoot::TellJob(const JobContext& job, const std::string& output_uri) {
  if (transport_.size() == 1) return absl::OkStatus();
  std::string bytes = SerializeJobPlan({job.job, job.uid, job.plan, output_uri, job.writes});
  const std::string message = PackMessage({.kind = MessageKind::kJob, .number = bytes.size()});
  for (int r = 1; r < transport_.size(); ++r) {
    MERGANSER_RETURN_IF_ERROR(transport_.Send(r, message));
  }
  return transport_.Broadcast(std::move(bytes));
}

absl::Status MpiRoot::Converse(Dealer& dealer) {
  Pause pause;
  while (!dealer.over()) {
    bool busy = false;
    for (int i = 0; i < kMessagesAtOnce; ++i) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<Arrived> arrived, transport_.Receive());
      if (!arrived.has_value()) break;
      MERGANSER_ASSIGN_OR_RETURN(Message message, ParseMessage(arrived->bytes));
      if (ForRoot(message.kind)) {
        dealer.Handle(arrived->from, message, SystemClock().Now());
        // Answers go out before the next question is read: a rank may be idle.
        MERGANSER_RETURN_IF_ERROR(SendAll(dealer));
      } else {
        MERGANSER_RETURN_IF_ERROR(node_->Handle(std::move(message)));
      }
      busy = true;
    }
    const MonotonicTime now = SystemClock().Now();
    {
      MutexLock lock(mutex_);
      progress_ = dealer.progress();
      if (!failure_.ok()) dealer.Fail(failure_, now);
    }
    MERGANSER_RETURN_IF_ERROR(dealer.CheckRanks(now));
    MERGANSER_RETURN_IF_ERROR(SendAll(dealer));
    MERGANSER_RETURN_IF_ERROR(node_->Step());
    if (const Duration rest = pause.Next(busy); rest > Duration::zero()) node_->Wait(rest);
  }
  return absl::OkStatus();
}

absl::Status MpiRoot::SendAll(Dealer& dealer) {
  for (Dealer::Outgoing& out : dealer.TakeOutgoing()) {
    std::optional<std::string> payload;
    if (out.gates != nullptr) {
      payload = SerializeGates(*out.gates);
      out.message.number = payload->size();
      node_->SetGates(out.gates);
    }
    const std::string bytes = PackMessage(out.message);
    const bool everyone = out.rank == Dealer::kEveryone;
    // Rank 0 has its gates already.
    const int first = !everyone ? out.rank : payload.has_value() ? 1 : 0;
    const int last = everyone ? transport_.size() - 1 : out.rank;
    for (int r = first; r <= last; ++r) MERGANSER_RETURN_IF_ERROR(transport_.Send(r, bytes));
    if (payload.has_value() && transport_.size() > 1) {
      MERGANSER_RETURN_IF_ERROR(transport_.Broadcast(*std::move(payload)));
    }
  }
  return absl::OkStatus();
}

absl::Status MpiRoot::Dismiss() {
  const std::string leave = PackMessage({.kind = MessageKind::kLeave});
  for (int r = 1; r < transport_.size(); ++r) {
    MERGANSER_RETURN_IF_ERROR(transport_.Send(r, leave));
  }
  return WaitUntilSent(transport_);
}

void MpiRoot::Fail(absl::Status status) {
  MutexLock lock(mutex_);
  if (failure_.ok()) failure_ = std::move(status);
}

RunProgress MpiRoot::progress() {
  MutexLock lock(mutex_);
  return progress_;
}

}  // namespace merganser
