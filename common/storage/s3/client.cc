#include "common/storage/s3/client.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

constexpr int kMostTries = 10;
// An endpoint that says nothing takes half a minute a try: after so long no more are made than
// these.
constexpr Duration kLong = std::chrono::minutes(2);
constexpr int kTriesOfLong = 3;

std::mt19937_64& Random() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

}  // namespace

Client::Client(Shared shared, Endpoint endpoint, std::string bucket, CredentialsSource credentials)
    : shared_(std::move(shared)),
      endpoint_(std::move(endpoint)),
      bucket_(std::move(bucket)),
      credentials_(std::move(credentials)),
      corrections_(endpoint_.region) {}

void Client::AskRegion() {
  if (!endpoint_.ask_region) return;
  MutexLock lock(asking_);
  if (std::exchange(asked_, true)) return;
  // Whoever may not look at the bucket is told as well, and so is who does not sign.
  const Signing signing = corrections_.At(SystemClock().WallNow());
  const BucketPlace place = PlaceOf(endpoint_, bucket_, signing.region);
  HttpRequest request;
  request.method = "HEAD";
  request.url = absl::StrCat(endpoint_.scheme, "://", place.host, place.path, "/");
  const absl::StatusOr<HttpAnswer> answer = shared_.http->Do(request);
  // Without an answer, the first request that is refused has one.
  if (answer.ok()) corrections_.Learn(*answer, signing);
}

void Client::AwaitTurn(std::span<const HttpRequest> requests) {
  uint64_t bytes = 0;
  for (const HttpRequest& request : requests) bytes += request.body.size() + request.sink.size();
  const Duration wait = shared_.bandwidth->Take(bytes, SystemClock().Now());
  if (wait > Duration::zero()) std::this_thread::sleep_for(wait);
}

void Client::Follow(std::span<const HttpRequest> requests,
                    std::vector<absl::StatusOr<HttpAnswer>>& answers) {
  std::vector<size_t> which;
  std::vector<HttpRequest> next;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].method != "GET" || !answers[i].ok()) continue;
    const int code = answers[i]->code;
    const std::string_view to = answers[i]->Header("location");
    if ((code != 302 && code != 307) || to.empty()) continue;
    HttpRequest request;
    request.url = to;
    // What stands there already is the store's own: neither signature nor condition goes along.
    for (const std::string& header : requests[i].headers) {
      if (header.starts_with("range:") || header.starts_with("Accept-Encoding:")) {
        request.headers.push_back(header);
      }
    }
    request.sink = requests[i].sink;
    // A store of one's own network may lead to another of its machines, and no other may.
    request.reach = endpoint_.scheme == "https" ? Reach::kPublic : Reach::kAnywhere;
    which.push_back(i);
    next.push_back(std::move(request));
  }
  if (next.empty()) return;
  std::vector<absl::StatusOr<HttpAnswer>> followed = shared_.http->Do(next);
  for (size_t k = 0; k < which.size(); ++k) {
    const std::string etag(answers[which[k]]->Header("etag"));
    answers[which[k]] = std::move(followed[k]);
    if (!answers[which[k]].ok()) continue;
    // The object's, and not that of where its bytes come from.
    auto& headers = answers[which[k]]->headers;
    headers.erase("etag");
    if (!etag.empty()) headers["etag"] = etag;
  }
}

Client::Attempt Client::TryOnce(std::span<const Call> calls, std::span<const size_t> which,
                                const std::optional<Credentials>& ended,
                                std::vector<Reply>& replies) {
  absl::StatusOr<Credentials> credentials = credentials_(ended.has_value() ? &*ended : nullptr);
  Attempt attempt{corrections_.At(SystemClock().WallNow()), std::nullopt};
  std::vector<HttpRequest> requests;
  if (!credentials.ok()) {
    for (const size_t i : which) {
      ++replies[i].tries;
      replies[i].verdict = {Outcome::kNo, credentials.status(), ""};
      replies[i].answer = {};
    }
    return attempt;
  }
  for (const size_t i : which) {
    requests.push_back(
        MakeRequest(calls[i], endpoint_, bucket_, *credentials, attempt.signing, shared_.checksum));
  }
  AwaitTurn(requests);
  attempt.credentials = *std::move(credentials);
  std::vector<absl::StatusOr<HttpAnswer>> answers = shared_.http->Do(requests);
  if (endpoint_.ways.redirects_reads) Follow(requests, answers);
  StorageCounters& counters = *shared_.counters;
  for (size_t k = 0; k < which.size(); ++k) {
    Reply& reply = replies[which[k]];
    ++counters.requests;
    if (++reply.tries > 1) ++counters.retries;
    counters.bytes_written += calls[which[k]].body.size();
    reply.perhaps_done_before |= reply.verdict.outcome == Outcome::kUnclear;
    reply.verdict = Judge(answers[k], calls[which[k]].action);
    reply.answer = answers[k].ok() ? *std::move(answers[k]) : HttpAnswer();
    counters.bytes_read += reply.answer.sunk + reply.answer.body.size();
    if (reply.ok()) {
      shared_.retries->Succeeded();
      shared_.in_flight->Succeeded();
    } else if (reply.verdict.outcome == Outcome::kSlowDown) {
      ++counters.throttled;
      shared_.in_flight->SlowDown(SystemClock().Now());
    }
  }
  return attempt;
}

std::vector<Reply> Client::Do(std::span<const Call> calls) {
  std::vector<Reply> replies(calls.size());
  std::vector<size_t> left(calls.size());
  for (size_t i = 0; i < left.size(); ++i) left[i] = i;
  AskRegion();
  const MonotonicTime begun = SystemClock().Now();
  std::optional<Credentials> ended;
  bool renewed = false;
  std::vector<bool> corrected(calls.size());
  while (!left.empty()) {
    std::vector<size_t> again;
    int tries = 0;
    bool wait = false;
    std::optional<Credentials> next_ended;
    for (size_t begin = 0; begin < left.size();) {
      const uint32_t places = shared_.in_flight->Take(static_cast<uint32_t>(left.size() - begin));
      const absl::Cleanup give_back = [&] { shared_.in_flight->GiveBack(places); };
      const std::span<const size_t> which = std::span<const size_t>(left).subspan(begin, places);
      const Attempt attempt = TryOnce(calls, which, std::exchange(ended, std::nullopt), replies);
      begin += places;
      for (const size_t i : which) {
        const Reply& reply = replies[i];
        const Outcome outcome = reply.verdict.outcome;
        bool repeat =
            outcome == Outcome::kSlowDown || (outcome == Outcome::kUnclear && calls[i].repeatable);
        wait |= repeat;
        if (outcome == Outcome::kExpired && !renewed) {
          next_ended = attempt.credentials;
          repeat = true;
        }
        // Nothing was done: what is not repeatable may be done now.
        if (outcome == Outcome::kNo && !corrected[i] &&
            corrections_.Learn(reply.answer, attempt.signing)) {
          corrected[i] = true;
          repeat = true;
        }
        const bool late = SystemClock().Now() - begun >= kLong;
        if (!repeat || reply.tries >= (late ? kTriesOfLong : kMostTries) ||
            !shared_.retries->Take()) {
          continue;
        }
        again.push_back(i);
        tries = std::max(tries, reply.tries);
      }
    }
    renewed |= next_ended.has_value();
    ended = std::move(next_ended);
    left = std::move(again);
    if (!left.empty() && wait) std::this_thread::sleep_for(JitteredWait(tries, Random()));
  }
  return replies;
}

Reply Client::Do(const Call& call) { return std::move(Do({&call, 1}).front()); }

}  // namespace merganser::s3
