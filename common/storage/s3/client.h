// Signed requests to one bucket, with retries.
#ifndef MERGANSER_COMMON_STORAGE_S3_CLIENT_H_
#define MERGANSER_COMMON_STORAGE_S3_CLIENT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/storage/http/bandwidth.h"
#include "common/storage/http/counters.h"
#include "common/storage/http/http_client.h"
#include "common/storage/http/retry.h"
#include "common/storage/s3/corrections.h"
#include "common/storage/s3/credentials.h"
#include "common/storage/s3/endpoint.h"
#include "common/storage/s3/errors.h"
#include "common/storage/s3/request.h"
#include "common/storage/s3/settings.h"

namespace merganser::s3 {

// What the clients of a process share.
struct Shared {
  std::shared_ptr<HttpClient> http;
  std::shared_ptr<RetryBudget> retries = std::make_shared<RetryBudget>();
  std::shared_ptr<InFlightLimit> in_flight = std::make_shared<InFlightLimit>(64);
  std::shared_ptr<BandwidthLimit> bandwidth = std::make_shared<BandwidthLimit>(0);
  std::shared_ptr<StorageCounters> counters = std::make_shared<StorageCounters>();
  Checksum checksum = Checksum::kMd5;
};

// Gives the credentials to sign with now, others than `ended`, which the store says have ended
// (null: nothing is said), where there are others. Thread-safe.
using CredentialsSource = std::function<absl::StatusOr<Credentials>(const Credentials* ended)>;

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
  StorageCounters& counters() const { return *shared_.counters; }
  const std::string& bucket() const { return bucket_; }
  // What is written carries x-amz-checksum-crc32c. Google's stores know another header for it.
  bool WritesCrc32c() const {
    return shared_.checksum == Checksum::kCrc32c && !endpoint_.ways.google;
  }

 private:
  // One try of some calls, all of them in flight at once. `ended`: as CredentialsSource has it.
  struct Attempt {
    Signing signing;
    std::optional<Credentials> credentials;  // what was signed with
  };
  Attempt TryOnce(std::span<const Call> calls, std::span<const size_t> which,
                  const std::optional<Credentials>& ended, std::vector<Reply>& replies);
  // Waits for its turn, where bandwidth is limited.
  void AwaitTurn(std::span<const HttpRequest> requests);
  // Reads whose answers are redirects, from where those lead to.
  void Follow(std::span<const HttpRequest> requests,
              std::vector<absl::StatusOr<HttpAnswer>>& answers);
  // Asks for the bucket's region, where none was given, once.
  void AskRegion() MERGANSER_EXCLUDES(asking_);

  const Shared shared_;
  const Endpoint endpoint_;
  const std::string bucket_;
  const CredentialsSource credentials_;
  Corrections corrections_;
  Mutex asking_;
  bool asked_ MERGANSER_GUARDED_BY(asking_) = false;
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_CLIENT_H_
