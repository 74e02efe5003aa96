// Signed requests to one bucket, with retries.
#ifndef MERGANSER_COMMON_STORAGE_S3_CLIENT_H_
#define MERGANSER_COMMON_STORAGE_S3_CLIENT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/storage/http/http_client.h"
#include "common/storage/http/retry.h"
#include "common/storage/s3/credentials.h"
#include "common/storage/s3/errors.h"
#include "common/storage/s3/signer.h"

namespace merganser::s3 {

// Where a bucket is.
struct Endpoint {
  std::string scheme = "https";
  std::string host;  // with a port that is not the scheme's
  std::string path;  // before the bucket, as "/storage/v1/s3"; encoded, without a '/' at its end
  std::string region = "us-east-1";
  bool path_style = true;  // else the bucket is part of the host's name
};

// What the clients of a process share.
struct Shared {
  std::shared_ptr<HttpClient> http;
  std::shared_ptr<RetryBudget> retries = std::make_shared<RetryBudget>();
  std::shared_ptr<InFlightLimit> in_flight = std::make_shared<InFlightLimit>(64);
};

// Gives the credentials to sign with now; `renew`: those given last have ended.
using CredentialsSource = std::function<absl::StatusOr<Credentials>(bool renew)>;

struct Call {
  std::string method;
  std::string key;  // "" for the bucket itself
  NameValues query;
  NameValues headers;  // names in lower case; signed too
  std::span<const std::byte> body;
  std::span<std::byte> sink;
  std::string_view action;  // the right that it needs, for messages
  // May be done twice: where it is unclear whether it was done, it is repeated.
  bool repeatable = true;
};

struct Reply {
  Verdict verdict;    // of the last try
  HttpAnswer answer;  // its answer, if there was one
  int tries = 0;
  // A try before the last may have been done though its answer got lost.
  bool perhaps_done_before = false;

  bool ok() const { return verdict.outcome == Outcome::kDone; }
};

// Thread-safe.
class Client {
 public:
  Client(Shared shared, Endpoint endpoint, std::string bucket, CredentialsSource credentials);

  // Does the calls side by side, as many as may be in flight, and repeats what failed for now.
  std::vector<Reply> Do(std::span<const Call> calls);
  Reply Do(const Call& call);

  const Endpoint& endpoint() const { return endpoint_; }
  const std::string& bucket() const { return bucket_; }

 private:
  absl::StatusOr<HttpRequest> Sign(const Call& call, const Credentials& credentials) const;
  // One try of some calls, all of them in flight at once.
  void TryOnce(std::span<const Call> calls, std::span<const size_t> which, bool renew,
               std::vector<Reply>& replies);

  const Shared shared_;
  const Endpoint endpoint_;
  const std::string bucket_;
  const CredentialsSource credentials_;
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_CLIENT_H_
