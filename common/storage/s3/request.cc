#include "common/storage/s3/request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/storage/s3/crc32c.h"

namespace merganser::s3 {
namespace {

constexpr std::string_view kAmazon = "x-amz-";
constexpr std::string_view kGoogle = "x-goog-";

// What Google calls a header of Amazon's.
std::pair<std::string, std::string> AsGoogle(const std::pair<std::string, std::string>& header) {
  const auto& [name, value] = header;
  // Without an object there is no generation.
  if (name == "if-none-match" && value == "*") return {"x-goog-if-generation-match", "0"};
  if (!name.starts_with(kAmazon)) return header;
  return {absl::StrCat(std::string(kGoogle), name.substr(kAmazon.size())), value};
}

}  // namespace

BucketPlace PlaceOf(const Endpoint& endpoint, std::string_view bucket, std::string_view region) {
  BucketPlace place{HostIn(endpoint, region), endpoint.path};
  if (endpoint.path_style) {
    absl::StrAppend(&place.path, "/", UriEncode(bucket, false));
  } else {
    place.host = absl::StrCat(std::string(bucket), ".", place.host);
  }
  return place;
}

HttpRequest MakeRequest(const Call& call, const Endpoint& endpoint, std::string_view bucket,
                        const Credentials& credentials, const Signing& signing, Checksum checksum) {
  const bool google = endpoint.ways.google;
  RequestToSign to_sign;
  to_sign.method = call.method;
  to_sign.query = call.query;
  to_sign.headers = call.headers;
  BucketPlace place = PlaceOf(endpoint, bucket, signing.region);
  to_sign.path = std::move(place.path);
  if (!call.key.empty()) absl::StrAppend(&to_sign.path, "/", UriEncode(call.key, true));
  if (to_sign.path.empty()) to_sign.path = "/";
  const std::string_view body(reinterpret_cast<const char*>(call.body.data()), call.body.size());
  // Over TLS nothing changes a body on its way, and hashing it costs more than sending it.
  const bool hashed = endpoint.scheme != "https" || body.empty();
  to_sign.payload_hash = hashed ? Sha256Hex(body) : std::string(kUnsignedPayload);
  const bool has_one =
      std::any_of(call.headers.begin(), call.headers.end(),
                  [](const auto& header) { return header.first == kCrc32cHeader; });
  if (checksum != Checksum::kNone && !has_one && !body.empty() &&
      (!hashed || credentials.anonymous())) {
    to_sign.headers.emplace_back("content-md5", Md5Base64(body));
  }
  if (!credentials.anonymous()) {
    to_sign.headers.emplace_back("x-amz-content-sha256", to_sign.payload_hash);
    to_sign.headers.emplace_back("x-amz-date", Timestamp(signing.time));
    if (!credentials.session_token.empty()) {
      to_sign.headers.emplace_back("x-amz-security-token", credentials.session_token.Reveal());
    }
  }
  if (google) {
    for (auto& header : to_sign.headers) header = AsGoogle(header);
  }
  to_sign.headers.emplace_back("host", place.host);
  HttpRequest request;
  request.method = call.method;
  request.url = absl::StrCat(endpoint.scheme, "://", place.host, to_sign.path);
  if (!call.query.empty()) absl::StrAppend(&request.url, "?", CanonicalQuery(call.query));
  for (const auto& [name, value] : to_sign.headers) {
    if (name != "host") request.headers.push_back(absl::StrCat(name, ": ", value));
  }
  if (!credentials.anonymous()) {
    request.headers.push_back(absl::StrCat(
        "Authorization: ",
        google
            ? Authorization(to_sign, credentials, "auto", "storage", signing.time, kGoogleDialect)
            : Authorization(to_sign, credentials, signing.region, "s3", signing.time)));
  }
  // What libcurl would add of its own.
  request.headers.emplace_back("Expect:");
  request.headers.emplace_back("Accept-Encoding: identity");
  request.body = call.body;
  request.sink = call.sink;
  // Whether these were done before has to be known: of an upload that is begun or completed, and of
  // what is put on a condition.
  request.once = call.method == "POST" ||
                 std::any_of(call.headers.begin(), call.headers.end(),
                             [](const auto& header) { return header.first == "if-none-match"; });
  return request;
}

}  // namespace merganser::s3
