// A store in memory that speaks S3 over HTTP, with the ways of the stores that differ: each rule an
// answer.
#ifndef MERGANSER_TESTS_COMMON_STORAGE_S3_STUB_S3_H_
#define MERGANSER_TESTS_COMMON_STORAGE_S3_STUB_S3_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/storage/object_store.h"
#include "common/storage/s3/client.h"
#include "common/storage/s3/settings.h"
#include "tests/testing/scripted_http_server.h"

namespace merganser::s3 {

struct StubRules {
  // Of writes that are to make an object only where there is none.
  enum class Conditions { kHeeded, kIgnored, kRefused };
  Conditions conditions = Conditions::kHeeded;
  // Google's XML API: its own names of headers and signatures, and no others.
  bool google = false;
  // Lists want a delimiter.
  bool flat_lists_only = false;
  // Reads are answered with a redirect to this origin, which has the objects without signatures.
  std::string reads_at = {};
  // Before the bucket in paths.
  std::string path = {};
  // CRC-32C as Amazon keeps it: of an upload that wants it each part has it, ListParts tells it and
  // Complete names it; parts of other uploads may not.
  bool crc32c = false;
  // Bytes of a part that is not the last.
  uint64_t least_part = 2;
};

// One bucket, "bucket". Requests must be signed with StubCredentials(). Thread-safe.
class StubS3 {
 public:
  // Answers in the place of the store where it returns something; may be empty.
  using Script = std::function<std::optional<ScriptedAnswer>(const ScriptedRequest&)>;

  explicit StubS3(StubRules rules = {}, Script script = {});

  const ScriptedHttpServer& server() const { return *server_; }
  Endpoint endpoint() const;
  std::shared_ptr<Client> MakeClient(Checksum checksum = Checksum::kMd5) const;

  // What a GET of the object without a signature gets, as at a redirect's end.
  ScriptedAnswer Plain(const ScriptedRequest& request);
  // Keys of uploads that are under way.
  std::vector<std::string> Uploads();

 private:
  struct Object {
    std::string bytes, etag, modified;
    std::string crc32c = {};
  };
  struct Upload {
    std::string key, initiated;
    std::map<int, Object> parts;
    bool crc32c = false;
  };
  struct Parsed {
    std::string key;  // "" for the bucket
    std::map<std::string, std::string> query;
  };

  ScriptedAnswer Answer(const ScriptedRequest& request);
  std::optional<Parsed> Parse(const ScriptedRequest& request) const;
  bool SignedWell(const ScriptedRequest& request, const Parsed& parsed) const;
  ScriptedAnswer OnBucket(const Parsed& parsed) MERGANSER_REQUIRES(mutex_);
  ScriptedAnswer OnObject(const ScriptedRequest& request, const Parsed& parsed)
      MERGANSER_REQUIRES(mutex_);
  ScriptedAnswer OnUpload(const ScriptedRequest& request, const Parsed& parsed)
      MERGANSER_REQUIRES(mutex_);
  ScriptedAnswer Put(const ScriptedRequest& request, const std::string& key)
      MERGANSER_REQUIRES(mutex_);
  ScriptedAnswer Complete(const std::string& id, const std::string& body)
      MERGANSER_REQUIRES(mutex_);
  static ScriptedAnswer Read(const ScriptedRequest& request, const Object& object);
  std::string Now() MERGANSER_REQUIRES(mutex_);  // a second later each time

  const StubRules rules_;
  const Script script_;
  Mutex mutex_;
  std::map<std::string, Object> objects_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, Upload> uploads_ MERGANSER_GUARDED_BY(mutex_);
  int64_t clock_ MERGANSER_GUARDED_BY(mutex_) = 1'700'000'000;
  uint64_t last_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<ScriptedHttpServer> server_;  // last: its threads use the rest
};

Credentials StubCredentials();

// Such as small tests want: parts of two bytes.
inline constexpr StoreTraits kStubTraits = {.whole_pieces = true,
                                            .least_piece = 2,
                                            .most_piece = 1'000'000,
                                            .most_pieces = 1'000,
                                            .knows_writers = false,
                                            .read_size = 100'000};

}  // namespace merganser::s3

#endif  // MERGANSER_TESTS_COMMON_STORAGE_S3_STUB_S3_H_
