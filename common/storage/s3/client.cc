#include "common/storage/s3/client.h"

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

constexpr int kMostTries = 10;

std::mt19937_64& Random() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

}  // namespace

Client::Client(Shared shared, Endpoint endpoint, std::string bucket, CredentialsSource credentials)
    : shared_(std::move(shared)),
      endpoint_(std::move(endpoint)),
      bucket_(std::move(bucket)),
      credentials_(std::move(credentials)) {}

absl::StatusOr<HttpRequest> Client::Sign(const Call& call, const Credentials& credentials) const {
  const WallTime now = SystemClock().WallNow();
  RequestToSign to_sign;
  to_sign.method = call.method;
  to_sign.query = call.query;
  to_sign.headers = call.headers;
  std::string host = endpoint_.host;
  to_sign.path = endpoint_.path;
  if (endpoint_.path_style) {
    absl::StrAppend(&to_sign.path, "/", UriEncode(bucket_, false));
  } else {
    host = absl::StrCat(bucket_, ".", host);
  }
  if (!call.key.empty()) absl::StrAppend(&to_sign.path, "/", UriEncode(call.key, true));
  if (to_sign.path.empty()) to_sign.path = "/";
  // Over TLS nothing changes a body on its way, and hashing it costs more than sending it.
  const bool tls = endpoint_.scheme == "https";
  to_sign.payload_hash =
      tls && call.body.size() > 0
          ? std::string(kUnsignedPayload)
          : Sha256Hex({reinterpret_cast<const char*>(call.body.data()), call.body.size()});
  to_sign.headers.emplace_back("host", host);
  if (!credentials.anonymous()) {
    to_sign.headers.emplace_back("x-amz-content-sha256", to_sign.payload_hash);
    to_sign.headers.emplace_back("x-amz-date", Timestamp(now));
    if (!credentials.session_token.empty()) {
      to_sign.headers.emplace_back("x-amz-security-token", credentials.session_token);
    }
  }
  HttpRequest request;
  request.method = call.method;
  request.url = absl::StrCat(endpoint_.scheme, "://", host, to_sign.path);
  if (!call.query.empty()) absl::StrAppend(&request.url, "?", CanonicalQuery(call.query));
  for (const auto& [name, value] : to_sign.headers) {
    if (name != "host") request.headers.push_back(absl::StrCat(name, ": ", value));
  }
  if (!credentials.anonymous()) {
    request.headers.push_back(absl::StrCat(
        "Authorization: ", Authorization(to_sign, credentials, endpoint_.region, "s3", now)));
  }
  // What libcurl would add of its own.
  request.headers.emplace_back("Expect:");
  request.headers.emplace_back("Accept-Encoding: identity");
  request.body = call.body;
  request.sink = call.sink;
  return request;
}

void Client::TryOnce(std::span<const Call> calls, std::span<const size_t> which, bool renew,
                     std::vector<Reply>& replies) {
  const absl::StatusOr<Credentials> credentials = credentials_(renew);
  std::vector<HttpRequest> requests;
  for (const size_t i : which) {
    absl::StatusOr<HttpRequest> request = credentials.ok()
                                              ? Sign(calls[i], *credentials)
                                              : absl::StatusOr<HttpRequest>(credentials.status());
    if (!request.ok()) {
      for (const size_t j : which) {
        ++replies[j].tries;
        replies[j].verdict = {Outcome::kNo, request.status(), ""};
      }
      return;
    }
    requests.push_back(*std::move(request));
  }
  std::vector<absl::StatusOr<HttpAnswer>> answers = shared_.http->Do(requests);
  for (size_t k = 0; k < which.size(); ++k) {
    Reply& reply = replies[which[k]];
    ++reply.tries;
    reply.perhaps_done_before |= reply.verdict.outcome == Outcome::kUnclear;
    reply.verdict = Judge(answers[k], calls[which[k]].action);
    if (answers[k].ok()) reply.answer = *std::move(answers[k]);
    if (reply.ok()) {
      shared_.retries->Succeeded();
      shared_.in_flight->Succeeded();
    } else if (reply.verdict.outcome == Outcome::kSlowDown) {
      shared_.in_flight->SlowDown(SystemClock().Now());
    }
  }
}

std::vector<Reply> Client::Do(std::span<const Call> calls) {
  std::vector<Reply> replies(calls.size());
  std::vector<size_t> left(calls.size());
  for (size_t i = 0; i < left.size(); ++i) left[i] = i;
  bool renew = false, renewed = false;
  while (!left.empty()) {
    std::vector<size_t> again;
    int tries = 0;
    for (size_t begin = 0; begin < left.size();) {
      const uint32_t places = shared_.in_flight->Take(static_cast<uint32_t>(left.size() - begin));
      const absl::Cleanup give_back = [&] { shared_.in_flight->GiveBack(places); };
      const std::span<const size_t> which = std::span<const size_t>(left).subspan(begin, places);
      TryOnce(calls, which, std::exchange(renew, false), replies);
      begin += places;
      for (const size_t i : which) {
        const Reply& reply = replies[i];
        const Outcome outcome = reply.verdict.outcome;
        bool repeat =
            outcome == Outcome::kSlowDown || (outcome == Outcome::kUnclear && calls[i].repeatable);
        if (outcome == Outcome::kExpired && !renewed) {
          renew = true;
          repeat = true;
        }
        if (!repeat || reply.tries >= kMostTries || !shared_.retries->Take()) continue;
        again.push_back(i);
        tries = std::max(tries, reply.tries);
      }
    }
    renewed |= renew;
    left = std::move(again);
    if (!left.empty()) std::this_thread::sleep_for(JitteredWait(tries, Random()));
  }
  return replies;
}

Reply Client::Do(const Call& call) { return std::move(Do({&call, 1}).front()); }

}  // namespace merganser::s3
