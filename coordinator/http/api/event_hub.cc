#include "coordinator/http/api/event_hub.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/random_id.h"
#include "common/base/status.h"
#include "coordinator/http/site/text.h"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

// Who may watch a job may follow all of them.
constexpr std::string_view kRpc = "/merganser.v1.MergeService/WatchJob";

Course At(Response response) {
  Course course;
  course.response = std::move(response);
  return course;
}

absl::Status Invalid(const std::string& message) {
  return ReasonedError(absl::StatusCode::kInvalidArgument, "QUERY_INVALID", message);
}

// What a query follows.
absl::StatusOr<std::vector<std::string>> TopicsOf(std::string_view query) {
  MERGANSER_ASSIGN_OR_RETURN(const auto parameters, ParseQuery(query));
  std::map<std::string, std::string> found;
  for (const auto& [name, value] : parameters) {
    if ((name != "view" && name != "name") || !found.emplace(name, value).second) {
      return Invalid(absl::StrCat("found the parameter \"", OneLine(name.substr(0, 100)),
                                  "\", expected view, and of a job name, once"));
    }
  }
  const std::string view = found["view"], name = found["name"];
  if (view == "job") {
    if (name.substr(0, 5) != "jobs/" || name.size() > 100) {
      return Invalid("name: expected jobs/ID");
    }
    return std::vector<std::string>{name};
  }
  if (!name.empty() || (view != "jobs" && view != "workers")) {
    return Invalid("view: expected jobs, workers, or job and its name");
  }
  if (view == "jobs") return std::vector<std::string>{"jobs", "cluster"};
  return std::vector<std::string>{"workers", "cluster"};
}

}  // namespace

EventHub::EventHub(Feed& feed, const Authorizer& authorizer, const Clock& clock,
                   const HubLimits& limits)
    : feed_(feed),
      authorizer_(authorizer),
      clock_(clock),
      limits_(limits),
      epoch_(RandomHex(6)),
      seats_(limits.streams, clock) {}

absl::StatusOr<std::unique_ptr<EventHub>> EventHub::Start(Feed& feed, const Authorizer& authorizer,
                                                          const Clock& clock,
                                                          const HubLimits& limits) {
  std::unique_ptr<EventHub> hub(new EventHub(feed, authorizer, clock, limits));
  MERGANSER_ASSIGN_OR_RETURN(hub->thread_, Thread::Start([h = hub.get()] { h->Run(); }));
  return hub;
}

EventHub::~EventHub() { Stop(); }

void EventHub::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
    for (const Follower& follower : followers_) follower.stream->End();
    followers_.clear();
  }
  thread_.Join().IgnoreError();
}

std::string EventHub::Id(uint64_t sequence) const { return absl::StrCat(epoch_, ".", sequence); }

bool EventHub::SequenceOf(std::string_view id, uint64_t& sequence) const {
  const size_t dot = id.find('.');
  return dot != std::string_view::npos && id.substr(0, dot) == epoch_ &&
         absl::SimpleAtoi(absl::string_view(id.data() + dot + 1, id.size() - dot - 1), &sequence);
}

Course EventHub::Begin(const Request& request, const Asker& asker) {
  if (request.method != "GET") return At(ErrorResponse(405, "expected GET"));
  const absl::StatusOr<Caller> caller = authorizer_.Check(kRpc, asker.Values());
  if (!caller.ok()) return At(ErrorResponse(caller.status()));
  absl::StatusOr<std::vector<std::string>> topics = TopicsOf(request.query);
  if (!topics.ok()) return At(ErrorResponse(topics.status()));
  std::optional<FairSeats::Seat> seat = seats_.Take(caller->name);
  if (!seat.has_value()) {
    return At(ErrorResponse(
        RetryAfter(ReasonedError(absl::StatusCode::kUnavailable, "TOO_MANY_STREAMS",
                                 absl::StrCat("found too many streams of ", caller->name,
                                              ", expected fewer; ask every few seconds instead"),
                                 {{"owner", caller->name}}),
                   std::chrono::seconds(5))));
  }
  Course course;
  course.where = Course::Where::kQuick;
  course.answer = [this, topics = *std::move(topics), asker,
                   kept = std::make_shared<FairSeats::Seat>(*std::move(seat))](
                      const Request& whole) { return Follow(whole, topics, asker, kept); };
  return course;
}

absl::Status EventHub::Open(const std::string& topic, MonotonicTime now) {
  const auto there = topics_.find(topic);
  if (there != topics_.end()) {
    there->second.left = now;
    return absl::OkStatus();
  }
  if (topics_.size() >= limits_.topics) {
    return absl::ResourceExhaustedError("too many jobs are followed at a time");
  }
  Followed followed;
  MERGANSER_ASSIGN_OR_RETURN(followed.topic, feed_.Open(topic));
  followed.left = now;
  // What was before it was followed is not known.
  followed.forgotten = sequence_;
  topics_.emplace(topic, std::move(followed));
  return absl::OkStatus();
}

Response EventHub::Follow(const Request& request, const std::vector<std::string>& topics,
                          const Asker& asker, std::shared_ptr<FairSeats::Seat> seat) {
  Response response;
  response.headers = {{"Content-Type", "text/event-stream"},
                      {"Cache-Control", "no-store"},
                      {"X-Accel-Buffering", "no"}};  // proxies pass on what comes as it comes
  response.stream = std::make_shared<EventStream>(clock_);
  response.hold = std::move(seat);
  const std::optional<std::string_view> shown = request.Header("last-event-id");
  MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  if (stopping_) return ErrorResponse(503, "the server stops");
  for (const std::string& topic : topics) {
    if (const absl::Status open = Open(topic, now); !open.ok()) return ErrorResponse(open);
  }
  // The id of now is the first thing that is said: who loses the stream before anything happened
  // can go on with it.
  uint64_t last = 0;
  bool known = shown.has_value() && SequenceOf(*shown, last) && last <= sequence_;
  for (const std::string& topic : topics) known = known && topics_[topic].forgotten <= last;
  if (known) {
    std::map<uint64_t, const std::string*> missed;
    for (const std::string& topic : topics) {
      for (const Told& told : topics_[topic].told) {
        if (told.sequence > last) missed.emplace(told.sequence, &told.text);
      }
    }
    for (const auto& [sequence, text] : missed) response.stream->Send(*text);
    response.stream->Send(absl::StrCat("id: ", Id(sequence_), "\n: told\n\n"));
  } else if (shown.has_value()) {
    response.stream->Send(EventText(Id(sequence_), "reset", "{}"));
  } else {
    response.stream->Send(EventText(Id(sequence_), "hello", "{}"));
  }
  followers_.push_back({response.stream, topics, asker, now});
  changed_.NotifyAll();
  return response;
}

void EventHub::Ask(const std::string& name, Followed& followed, MonotonicTime now) {
  for (const FeedEvent& event : followed.topic->Poll(now)) {
    Told told{++sequence_, now, ""};
    told.text = EventText(Id(told.sequence), event.name, event.json);
    for (const Follower& follower : followers_) {
      if (std::find(follower.topics.begin(), follower.topics.end(), name) !=
          follower.topics.end()) {
        follower.stream->Send(told.text);
      }
    }
    followed.bytes += told.text.size();
    followed.told.push_back(std::move(told));
  }
  while (!followed.told.empty() &&
         (now - followed.told.front().time > limits_.kept || followed.bytes > limits_.kept_bytes)) {
    followed.bytes -= followed.told.front().text.size();
    followed.forgotten = followed.told.front().sequence;
    followed.told.pop_front();
  }
}

void EventHub::Tick() {
  MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  std::set<std::string> wanted;
  for (auto at = followers_.begin(); at != followers_.end();) {
    if (now - at->checked >= limits_.recheck) {
      at->checked = now;
      if (!at->asker.still() || !authorizer_.Check(kRpc, at->asker.Values()).ok())
        at->stream->End();
    }
    if (at->stream->ended()) {
      at = followers_.erase(at);
      continue;
    }
    wanted.insert(at->topics.begin(), at->topics.end());
    ++at;
  }
  for (auto at = topics_.begin(); at != topics_.end();) {
    auto& [name, followed] = *at;
    if (wanted.count(name) > 0) followed.left = now;
    if (now - followed.left > limits_.kept) {
      at = topics_.erase(at);
      continue;
    }
    Ask(name, followed, now);
    ++at;
  }
}

void EventHub::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      // Without anybody who follows there is nothing to ask for.
      while (!stopping_ && topics_.empty()) changed_.Wait(mutex_);
      if (!stopping_) changed_.WaitFor(mutex_, limits_.period);
      if (stopping_) return;
    }
    Guarded([this] { Tick(); }).IgnoreError();
  }
}

}  // namespace merganser::http
