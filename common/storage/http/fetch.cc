#include "common/storage/http/fetch.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/http/addresses.h"

namespace merganser {
namespace {

constexpr int kMostTries = 10;
// A host that does not answer at all seldom begins to.
constexpr int kMostTriesWithoutAnswer = 6;
constexpr std::chrono::seconds kLongestAskedWait(60);
constexpr char kAllow[] = "--allow-private-addresses";

std::mt19937_64& Random() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

bool IsRedirect(const HttpAnswer& answer) {
  const int code = answer.code;
  return (code == 301 || code == 302 || code == 303 || code == 307 || code == 308) &&
         !answer.Header("location").empty();
}

bool AsksToSlowDown(const HttpAnswer& answer) { return answer.code == 429 || answer.code == 503; }

bool FailedForNow(const HttpAnswer& answer) {
  return AsksToSlowDown(answer) || answer.code == 408 ||
         (answer.code >= 500 && answer.code != 501 && answer.code != 505);
}

// How long the server wants to be left alone, in seconds; dates are not read.
Duration AskedWait(const HttpAnswer& answer) {
  const std::string_view text = answer.Header("retry-after");
  uint32_t seconds = 0;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &seconds)) return {};
  return std::min<Duration>(std::chrono::seconds(seconds), kLongestAskedWait);
}

bool IsThisMachine(const std::string& host) {
  const std::optional<IpAddress> address = ParseIpAddress(host);
  return host == "localhost" || (address.has_value() && IsLoopback(*address));
}

}  // namespace

struct Fetcher::Under {
  const Fetch* fetch = nullptr;
  Fetched fetched;       // `url`: where it has come to
  bool at_home = true;   // no redirect led to another origin
  bool follows = false;  // a redirect, which is no try
  int tries = 0;
};

absl::StatusOr<HttpRequest> Fetcher::Request(const Under& under) const {
  const Fetch& fetch = *under.fetch;
  const HttpUrl& url = under.fetched.url;
  const bool tls = url.scheme == "https";
  const bool trusted = fetch.trusted && under.at_home;
  if (!tls && !trusted && !private_addresses_) {
    return absl::PermissionDeniedError(
        absl::StrCat("found a URL without TLS, expected https://; within a network of one's own ",
                     kAllow, " allows it"));
  }
  HttpRequest request;
  request.method = fetch.method;
  request.url = url.ToString();
  request.headers = fetch.headers;
  request.headers.emplace_back("Accept-Encoding: identity");
  if (!fetch.token.empty() && under.at_home && (tls || IsThisMachine(url.host))) {
    request.headers.push_back(absl::StrCat("Authorization: Bearer ", fetch.token));
  }
  request.sink = fetch.sink;
  if (!trusted && !tls) {
    request.reach = Reach::kPrivate;
  } else if (!trusted && !private_addresses_) {
    request.reach = Reach::kPublic;
  }
  return request;
}

void Fetcher::TryOnce(std::span<Under> all, std::span<const size_t> which) {
  std::vector<HttpRequest> requests;
  std::vector<size_t> asked;
  for (const size_t i : which) {
    Under& under = all[i];
    absl::StatusOr<HttpRequest> request = Request(under);
    under.fetched.status = request.status();
    under.follows = false;
    if (!request.ok()) continue;
    requests.push_back(*std::move(request));
    asked.push_back(i);
  }
  std::vector<absl::StatusOr<HttpAnswer>> answers = http_->Do(requests);
  for (size_t k = 0; k < asked.size(); ++k) {
    Under& under = all[asked[k]];
    Fetched& fetched = under.fetched;
    ++counters_->requests;
    if (!answers[k].ok()) {
      fetched.status = answers[k].status();
      if (absl::IsPermissionDenied(fetched.status) && requests[k].reach == Reach::kPublic) {
        fetched.status = absl::PermissionDeniedError(absl::StrCat(
            std::string(fetched.status.message()), "; ", kAllow, " allows networks of one's own"));
      }
    } else {
      fetched.answer = *std::move(answers[k]);
      counters_->bytes_read += fetched.answer.sunk + fetched.answer.body.size();
      if (AsksToSlowDown(fetched.answer)) {
        ++counters_->throttled;
        in_flight_.SlowDown(SystemClock().Now());
      }
      if (!FailedForNow(fetched.answer)) {
        retries_.Succeeded();
        in_flight_.Succeeded();
      }
      if (!IsRedirect(fetched.answer)) continue;
      const absl::StatusOr<HttpUrl> to =
          ResolveLocation(fetched.url, fetched.answer.Header("location"));
      if (!to.ok()) {
        fetched.status = Annotate(to.status(), "redirected");
        continue;
      }
      const bool home = to->Origin() == under.fetch->url.Origin();
      if (under.fetch->stay && !home) continue;
      if (fetched.url.scheme == "https" && to->scheme == "http") {
        fetched.status = absl::PermissionDeniedError(absl::StrCat(
            "redirected to ", Shown(to->Origin()), ", which has no TLS, and is not followed"));
        continue;
      }
      if (fetched.redirects.size() == kMostRedirects) {
        fetched.status = absl::FailedPreconditionError(
            absl::StrCat("redirected more than ", kMostRedirects, " times"));
        continue;
      }
      fetched.redirects.push_back(std::move(fetched.answer));
      fetched.answer = {};
      under.at_home = under.at_home && home;
      fetched.url = *to;
      under.follows = true;
      continue;
    }
  }
  for (const size_t i : which) {
    Fetched& fetched = all[i].fetched;
    // A redirect that was not followed says so itself.
    if (fetched.status.ok() || fetched.redirects.empty() || fetched.answer.code != 0) continue;
    fetched.status =
        Annotate(fetched.status, absl::StrCat("redirected to ", Shown(fetched.url.Origin())));
  }
}

std::vector<Fetched> Fetcher::Do(std::span<const Fetch> fetches) {
  std::vector<Under> all(fetches.size());
  std::vector<size_t> left(fetches.size());
  for (size_t i = 0; i < left.size(); ++i) {
    all[i].fetch = &fetches[i];
    all[i].fetched.url = fetches[i].url;
    left[i] = i;
  }
  while (!left.empty()) {
    std::vector<size_t> again;
    Duration wait{};
    for (size_t begin = 0; begin < left.size();) {
      const uint32_t places = in_flight_.Take(static_cast<uint32_t>(left.size() - begin));
      const absl::Cleanup give_back = [&] { in_flight_.GiveBack(places); };
      const std::span<const size_t> which = std::span<const size_t>(left).subspan(begin, places);
      TryOnce(all, which);
      begin += places;
      for (const size_t i : which) {
        Under& under = all[i];
        const Fetched& fetched = under.fetched;
        if (under.follows) {
          again.push_back(i);
          continue;
        }
        ++under.tries;
        const bool answered = fetched.status.ok();
        if (answered ? !FailedForNow(fetched.answer) : !IsRetryable(fetched.status)) continue;
        if (under.tries >= (answered ? kMostTries : kMostTriesWithoutAnswer) || !retries_.Take()) {
          continue;
        }
        wait = std::max({wait, JitteredWait(under.tries, Random()),
                         answered ? AskedWait(fetched.answer) : Duration{}});
        // From its beginning: where a redirect led may have been for a short while.
        under.fetched = {};
        under.fetched.url = under.fetch->url;
        under.at_home = true;
        ++counters_->retries;
        again.push_back(i);
      }
    }
    left = std::move(again);
    if (wait > Duration{}) std::this_thread::sleep_for(wait);
  }
  std::vector<Fetched> fetched;
  fetched.reserve(all.size());
  for (Under& under : all) fetched.push_back(std::move(under.fetched));
  return fetched;
}

Fetched Fetcher::Do(const Fetch& fetch) { return std::move(Do({&fetch, 1}).front()); }

std::string Said(const HttpAnswer& answer) {
  constexpr size_t kLongestLine = 200;
  const std::string body(absl::StripAsciiWhitespace(answer.body));
  const bool text = !body.empty() && body.size() <= kLongestLine && body.front() != '<';
  return absl::StrCat(answer.code, text ? absl::StrCat(": ", Shown(body)) : "");
}

}  // namespace merganser
