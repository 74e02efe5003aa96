// Reading from servers of others: redirects that are judged one by one, credentials that stay where
// they belong, and tries again.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_FETCH_H_
#define MERGANSER_COMMON_STORAGE_HTTP_FETCH_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/storage/http/counters.h"
#include "common/storage/http/http_client.h"
#include "common/storage/http/retry.h"
#include "common/storage/http/url.h"

namespace merganser {

struct Fetch {
  std::string method = "GET";  // or HEAD
  HttpUrl url = {};
  std::vector<std::string> headers = {};  // sent wherever redirects lead
  // A bearer's. Sent to the URL's own origin alone, over TLS or to this machine.
  std::string token = {};
  std::span<std::byte> sink = {};
  // An operator named the URL's own origin: it may have any address, without TLS too. Where
  // redirects lead is judged all the same.
  bool trusted = false;
  // A redirect to another origin is the answer.
  bool stay = false;
};

struct Fetched {
  // Without an answer: what failed below HTTP, or a redirect that is not followed. The request's
  // URL is not in it.
  absl::Status status;
  HttpAnswer answer;                       // whatever its code
  HttpUrl url;                             // that gave it
  std::vector<HttpAnswer> redirects = {};  // that were followed to it

  bool success() const { return status.ok() && answer.code >= 200 && answer.code < 300; }
};

// What the readers of a process share. Thread-safe.
class Fetcher {
 public:
  static constexpr int kMostRedirects = 5;

  // Addresses that are not of the public Internet, and http://, are refused unless
  // `private_addresses`. What is asked is counted in `counters`.
  Fetcher(std::shared_ptr<HttpClient> http, bool private_addresses,
          std::shared_ptr<StorageCounters> counters = std::make_shared<StorageCounters>())
      : http_(std::move(http)),
        private_addresses_(private_addresses),
        counters_(std::move(counters)) {}

  // Does them side by side, as many as may be in flight, and repeats what failed for now.
  std::vector<Fetched> Do(std::span<const Fetch> fetches);
  Fetched Do(const Fetch& fetch);

 private:
  struct Under;  // one that is under way

  // The request for where `under` has come to.
  absl::StatusOr<HttpRequest> Request(const Under& under) const;
  void TryOnce(std::span<Under> all, std::span<const size_t> which);

  const std::shared_ptr<HttpClient> http_;
  const bool private_addresses_;
  const std::shared_ptr<StorageCounters> counters_;
  RetryBudget retries_;
  InFlightLimit in_flight_{64};
};

// "404", with what a person may make of the body: its first line, if it is short text.
std::string Said(const HttpAnswer& answer);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_FETCH_H_
