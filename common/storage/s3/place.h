// A place in a bucket, and what all requests about it have in common.
#ifndef MERGANSER_COMMON_STORAGE_S3_PLACE_H_
#define MERGANSER_COMMON_STORAGE_S3_PLACE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/s3/client.h"
#include "common/storage/s3/settings.h"

namespace merganser::s3 {

// The objects below a prefix of a bucket. Thread-safe.
class Place {
 public:
  // `prefix`: "" or without '/' at its end.
  Place(std::shared_ptr<Client> client, std::string_view prefix, WriteOptions options);

  Client& client() const { return *client_; }
  // "" or with a '/' at its end.
  const std::string& prefix() const { return prefix_; }

  // "s3://bucket/prefix/key".
  std::string Describe(std::string_view key) const;
  // What the bucket calls it.
  std::string FullKey(std::string_view key) const;

  // A request about an object, which needs the right `action`.
  Call ObjectCall(std::string method, std::string_view key, std::string_view action) const;
  // A GET about the bucket itself.
  Call BucketCall(std::string_view action) const;
  // What a request has that makes an object.
  void AddWriteHeaders(Call& call) const;

  // HEAD. Its answer has no body that says why not: where there is another reason than that there
  // is no such object, the verdict is that of a GET of its first byte.
  Reply Head(std::string_view key) const;

 private:
  Call MakeCall(std::string method, std::string_view action) const;

  const std::shared_ptr<Client> client_;
  const std::string prefix_;
  const WriteOptions options_;
};

// Asks for a page, which `parse` reads. One that is none was spoiled on its way: it is asked for
// again, where that is harmless, and is kUnavailable in the end. Other errors are those of the
// verdict.
template <typename Page>
absl::StatusOr<Page> Ask(Client& client, const Call& call,
                         absl::StatusOr<Page> (*parse)(std::string_view body)) {
  constexpr int kMostTries = 5;
  for (int tries = 1;; ++tries) {
    const Reply reply = client.Do(call);
    if (!reply.ok()) return reply.verdict.status;
    absl::StatusOr<Page> page = parse(reply.answer.body);
    if (page.ok()) return page;
    if (tries >= kMostTries || !call.repeatable) {
      return absl::UnavailableError(page.status().message());
    }
  }
}

// `status` of a request, with what it was for before it: "read s3://bucket/key: ...".
absl::Status Failed(const absl::Status& status, std::string_view doing, std::string_view what);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_PLACE_H_
