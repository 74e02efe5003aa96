// The conformance suite over a real S3, whose endpoint and key come from the environment:
// MERGANSER_S3_ENDPOINT, MERGANSER_S3_BUCKET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/storage/s3/s3_store.h"
#include "tests/common/storage/conformance.h"

namespace merganser {
namespace {

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) {
    ADD_FAILURE() << name << " is not set";
    return "";
  }
  return value;
}

// Of the server's own limits the least part is lowered, so that small tests have many.
constexpr StoreTraits kTraits = {.whole_pieces = true,
                                 .least_piece = 2,
                                 .most_piece = 1'000'000,
                                 .most_pieces = 1'000,
                                 .knows_writers = false,
                                 .read_size = 100'000};

std::shared_ptr<ObjectStore> EmptyPrefix() {
  static std::atomic<int> stores = 0;
  static const s3::Shared shared = [] {
    s3::Shared made;
    made.http = HttpClient::Make({}).value();
    return made;
  }();
  s3::Endpoint endpoint;
  const std::string url = FromEnvironment("MERGANSER_S3_ENDPOINT");
  endpoint.scheme = url.substr(0, url.find("://"));
  endpoint.host = url.substr(url.find("://") + 3);
  s3::Credentials credentials;
  credentials.access_key_id = FromEnvironment("AWS_ACCESS_KEY_ID");
  credentials.secret_access_key = FromEnvironment("AWS_SECRET_ACCESS_KEY");
  const auto client = std::make_shared<s3::Client>(
      shared, endpoint, FromEnvironment("MERGANSER_S3_BUCKET"),
      [credentials](const s3::Credentials*) -> absl::StatusOr<s3::Credentials> {
        return credentials;
      });
  return s3::MakeS3Store(client, absl::StrCat("conformance/", ::getpid(), "-", ++stores), {},
                         kTraits);
}

StoreFactory S3() { return {"s3", EmptyPrefix, std::chrono::milliseconds(1100)}; }

INSTANTIATE_TEST_SUITE_P(S3, StoreConformance, ::testing::Values(S3()), StoreFactoryName);
INSTANTIATE_TEST_SUITE_P(S3, PieceConformance, ::testing::Values(S3()), StoreFactoryName);

}  // namespace
}  // namespace merganser
