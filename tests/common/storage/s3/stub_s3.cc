#include "tests/common/storage/s3/stub_s3.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/storage/s3/crc32c.h"
#include "common/storage/s3/signer.h"

namespace merganser::s3 {
namespace {

std::string Decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      unsigned value = 0;
      if (absl::SimpleHexAtoi(std::string(text.substr(i + 1, 2)), &value)) {
        decoded += static_cast<char>(value);
        i += 2;
        continue;
      }
    }
    decoded += text[i];
  }
  return decoded;
}

// Keys in lists, as encoding-type=url has them.
std::string Encoded(std::string_view key) { return UriEncode(key, true); }

ScriptedAnswer Error(int code, std::string_view name, std::string_view message = "") {
  ScriptedAnswer answer{.code = code};
  answer.body = absl::StrCat("<Error><Code>", std::string(name), "</Code><Message>",
                             std::string(message), "</Message></Error>");
  return answer;
}

ScriptedAnswer Xml(std::string body) {
  return {.headers = {{"Content-Type", "application/xml"}}, .body = std::move(body)};
}

std::string Quoted(const std::string& etag) { return absl::StrCat("&quot;", etag, "&quot;"); }

}  // namespace

Credentials StubCredentials() {
  Credentials credentials;
  credentials.access_key_id = "stub-id";
  credentials.secret_access_key = "stub-secret";
  return credentials;
}

StubS3::StubS3(StubRules rules, Script script)
    : rules_(std::move(rules)),
      script_(std::move(script)),
      server_(std::make_unique<ScriptedHttpServer>([this](const ScriptedRequest& request) {
        if (script_) {
          if (std::optional<ScriptedAnswer> scripted = script_(request)) return *scripted;
        }
        return Answer(request);
      })) {}

Endpoint StubS3::endpoint() const {
  Endpoint endpoint;
  endpoint.scheme = "http";
  endpoint.host = absl::StrCat("127.0.0.1:", server_->port());
  endpoint.path = rules_.path;
  endpoint.ways.google = rules_.google;
  endpoint.ways.flat_lists_only = rules_.flat_lists_only;
  endpoint.ways.redirects_reads = !rules_.reads_at.empty();
  return endpoint;
}

std::shared_ptr<Client> StubS3::MakeClient(Checksum checksum) const {
  return std::make_shared<Client>(
      Shared{.http = HttpClient::Make({}).value(), .checksum = checksum}, endpoint(), "bucket",
      [](const Credentials*) -> absl::StatusOr<Credentials> { return StubCredentials(); });
}

std::vector<std::string> StubS3::Uploads() {
  MutexLock lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [id, upload] : uploads_) keys.push_back(upload.key);
  return keys;
}

std::string StubS3::Now() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(++clock_),
                          absl::UTCTimeZone());
}

std::optional<StubS3::Parsed> StubS3::Parse(const ScriptedRequest& request) const {
  Parsed parsed;
  const size_t mark = std::min(request.target.find('?'), request.target.size());
  std::string path = request.target.substr(0, mark);
  const std::string bucket = absl::StrCat(rules_.path, "/bucket");
  if (path.compare(0, bucket.size(), bucket) != 0) return std::nullopt;
  path = path.substr(bucket.size());
  parsed.key = Decoded(path.empty() ? "" : path.substr(1));
  if (mark < request.target.size()) {
    for (const std::string& pair :
         std::vector<std::string>(absl::StrSplit(request.target.substr(mark + 1), '&'))) {
      const size_t equals = std::min(pair.find('='), pair.size());
      parsed.query[Decoded(pair.substr(0, equals))] =
          equals < pair.size() ? Decoded(pair.substr(equals + 1)) : "";
    }
  }
  return parsed;
}

// Signs what came as its sender should have.
bool StubS3::SignedWell(const ScriptedRequest& request, const Parsed& parsed) const {
  const std::string_view given = request.Header("authorization");
  const std::string prefix = rules_.google ? "x-goog-" : "x-amz-";
  RequestToSign to_sign;
  to_sign.method = request.method;
  to_sign.path = request.target.substr(0, request.target.find('?'));
  for (const auto& [name, value] : parsed.query) to_sign.query.emplace_back(name, value);
  const size_t names = given.find("SignedHeaders=");
  if (names == std::string_view::npos) return false;
  const std::string_view signed_names =
      given.substr(names + 14, given.find(',', names) - names - 14);
  for (const std::string& name :
       std::vector<std::string>(absl::StrSplit(std::string(signed_names), ';'))) {
    to_sign.headers.emplace_back(name, std::string(request.Header(name)));
  }
  for (const auto& [name, value] : request.headers) {
    // Each dialect knows its own headers alone, and all of them are signed.
    if (name.starts_with("x-amz-") || name.starts_with("x-goog-")) {
      if (!name.starts_with(prefix)) return false;
      if (std::none_of(to_sign.headers.begin(), to_sign.headers.end(),
                       [&n = name](const auto& header) { return header.first == n; })) {
        return false;
      }
    }
  }
  to_sign.payload_hash = std::string(request.Header(prefix + "content-sha256"));
  if (to_sign.payload_hash != Sha256Hex(request.body)) return false;
  absl::Time time;
  std::string error;
  if (!absl::ParseTime("%E4Y%m%dT%H%M%SZ", std::string(request.Header(prefix + "date")), &time,
                       &error)) {
    return false;
  }
  const WallTime when = std::chrono::time_point_cast<Duration>(absl::ToChronoTime(time));
  const Endpoint endpoint;
  return given == Authorization(to_sign, StubCredentials(),
                                rules_.google ? "auto" : endpoint.region,
                                rules_.google ? "storage" : "s3", when,
                                rules_.google ? kGoogleDialect : SigningDialect());
}

ScriptedAnswer StubS3::Answer(const ScriptedRequest& request) {
  const std::optional<Parsed> parsed = Parse(request);
  if (!parsed.has_value()) return Error(404, "NoSuchBucket");
  if (!SignedWell(request, *parsed)) return Error(403, "SignatureDoesNotMatch");
  MutexLock lock(mutex_);
  if (parsed->key.empty()) return OnBucket(*parsed);
  if (parsed->query.contains("uploads") || parsed->query.contains("uploadId")) {
    return OnUpload(request, *parsed);
  }
  return OnObject(request, *parsed);
}

ScriptedAnswer StubS3::Plain(const ScriptedRequest& request) {
  if (!request.Header("authorization").empty()) return Error(400, "CredentialsWentAlong");
  const std::optional<Parsed> parsed = Parse(request);
  MutexLock lock(mutex_);
  const auto found = parsed.has_value() ? objects_.find(parsed->key) : objects_.end();
  return found == objects_.end() ? Error(404, "NoSuchKey") : Read(request, found->second);
}

ScriptedAnswer StubS3::OnBucket(const Parsed& parsed) {
  const auto query = [&](const std::string& name) {
    const auto found = parsed.query.find(name);
    return found == parsed.query.end() ? std::string() : found->second;
  };
  const std::string prefix = query("prefix"), delimiter = query("delimiter");
  if (parsed.query.contains("uploads")) {
    std::string body =
        "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</"
        "IsTruncated>";
    for (const auto& [id, upload] : uploads_) {
      if (upload.key.compare(0, prefix.size(), prefix) != 0) continue;
      absl::StrAppend(&body, "<Upload><Key>", Encoded(upload.key), "</Key><UploadId>", id,
                      "</UploadId><Initiated>", upload.initiated, "</Initiated></Upload>");
    }
    return Xml(absl::StrCat(body, "</ListMultipartUploadsResult>"));
  }
  if (rules_.flat_lists_only && delimiter != "/") return Error(501, "NotImplemented");
  uint64_t most = 1000;
  if (!query("max-keys").empty() && !absl::SimpleAtoi(query("max-keys"), &most)) {
    return Error(400, "InvalidArgument");
  }
  // Pages end after `most` entries, and the next one begins behind the last.
  const std::string after = query("continuation-token");
  std::string body = "<ListBucketResult><EncodingType>url</EncodingType>";
  std::set<std::string> folders;
  uint64_t count = 0;
  std::string last;
  bool more = false;
  for (const auto& [key, object] : objects_) {
    if (key.compare(0, prefix.size(), prefix) != 0) continue;
    const size_t slash = delimiter.empty() ? std::string::npos : key.find(delimiter, prefix.size());
    const std::string name = slash == std::string::npos ? key : key.substr(0, slash + 1);
    if (!after.empty() && name <= after) continue;
    if (folders.contains(name)) continue;
    if (count == most) {
      more = true;
      break;
    }
    ++count;
    last = name;
    if (slash != std::string::npos) {
      folders.insert(name);
      absl::StrAppend(&body, "<CommonPrefixes><Prefix>", Encoded(name),
                      "</Prefix></CommonPrefixes>");
    } else {
      absl::StrAppend(&body, "<Contents><Key>", Encoded(key), "</Key><LastModified>",
                      object.modified, "</LastModified><ETag>", Quoted(object.etag),
                      "</ETag><Size>", object.bytes.size(), "</Size></Contents>");
    }
  }
  absl::StrAppend(&body, "<IsTruncated>", more ? "true" : "false", "</IsTruncated>");
  if (more) absl::StrAppend(&body, "<NextContinuationToken>", last, "</NextContinuationToken>");
  return Xml(absl::StrCat(body, "</ListBucketResult>"));
}

ScriptedAnswer StubS3::Read(const ScriptedRequest& request, const Object& object) {
  const std::string etag = absl::StrCat("\"", object.etag, "\"");
  if (!request.Header("if-match").empty() && request.Header("if-match") != etag) {
    return Error(412, "PreconditionFailed");
  }
  absl::Time modified;
  std::string error;
  absl::ParseTime(absl::RFC3339_full, object.modified, &modified, &error);
  ScriptedAnswer answer{
      .headers = {{"ETag", etag},
                  {"Last-Modified",
                   absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", modified, absl::UTCTimeZone())}},
      .body = object.bytes};
  const std::string range(request.Header("range"));
  if (range.empty()) return answer;
  const size_t dash = range.find('-');
  uint64_t first = 0, last = 0;
  if (!absl::SimpleAtoi(range.substr(6, dash - 6), &first) ||
      !absl::SimpleAtoi(range.substr(dash + 1), &last) || first >= object.bytes.size()) {
    return Error(416, "InvalidRange");
  }
  answer.code = 206;
  last = std::min<uint64_t>(last, object.bytes.size() - 1);
  answer.body = object.bytes.substr(first, last - first + 1);
  return answer;
}

ScriptedAnswer StubS3::OnObject(const ScriptedRequest& request, const Parsed& parsed) {
  if (request.method == "PUT") return Put(request, parsed.key);
  if (request.method == "DELETE") {
    objects_.erase(parsed.key);
    return {.code = 204};
  }
  const auto found = objects_.find(parsed.key);
  if (found == objects_.end()) return Error(404, "NoSuchKey");
  if (request.method == "GET" && !rules_.reads_at.empty()) {
    return {.code = 302, .headers = {{"Location", rules_.reads_at + request.target}}};
  }
  return Read(request, found->second);
}

ScriptedAnswer StubS3::Put(const ScriptedRequest& request, const std::string& key) {
  const bool absent = rules_.google ? request.Header("x-goog-if-generation-match") == "0"
                                    : request.Header("if-none-match") == "*";
  // Google takes the header that it does not heed.
  const bool heeded = rules_.conditions == StubRules::Conditions::kHeeded;
  if (absent && rules_.conditions == StubRules::Conditions::kRefused) {
    return Error(501, "NotImplemented");
  }
  if (absent && heeded && objects_.contains(key)) return Error(412, "PreconditionFailed");
  objects_[key] = {request.body, absl::StrCat("v", ++last_), Now()};
  return {.headers = {{"ETag", absl::StrCat("\"v", last_, "\"")}}};
}

ScriptedAnswer StubS3::OnUpload(const ScriptedRequest& request, const Parsed& parsed) {
  if (parsed.query.contains("uploads")) {
    const std::string id = absl::StrCat("upload-", ++last_);
    uploads_[id] = {parsed.key,
                    Now(),
                    {},
                    rules_.crc32c && request.Header("x-amz-checksum-algorithm") == "CRC32C"};
    return Xml(absl::StrCat("<InitiateMultipartUploadResult><UploadId>", id,
                            "</UploadId></InitiateMultipartUploadResult>"));
  }
  const std::string id = parsed.query.at("uploadId");
  const auto found = uploads_.find(id);
  if (found == uploads_.end() || found->second.key != parsed.key) {
    return Error(404, "NoSuchUpload");
  }
  if (request.method == "PUT") {
    int number = 0;
    if (!absl::SimpleAtoi(parsed.query.at("partNumber"), &number)) {
      return Error(400, "InvalidArgument");
    }
    const std::string etag = absl::StrCat("p", ++last_);
    const std::string crc32c(request.Header("x-amz-checksum-crc32c"));
    if (rules_.crc32c && crc32c.empty() == found->second.crc32c) {
      return Error(400, "InvalidRequest");
    }
    if (rules_.crc32c && !crc32c.empty() &&
        crc32c != Crc32cBase64(std::as_bytes(std::span(request.body)))) {
      return Error(400, "BadDigest");
    }
    found->second.parts[number] = {request.body, etag, Now(), crc32c};
    return {.headers = {{"ETag", absl::StrCat("\"", etag, "\"")}}};
  }
  if (request.method == "DELETE") {
    uploads_.erase(found);
    return {.code = 204};
  }
  if (request.method == "POST") return Complete(id, request.body);
  std::string body = "<ListPartsResult><IsTruncated>false</IsTruncated>";
  for (const auto& [number, part] : found->second.parts) {
    absl::StrAppend(&body, "<Part><PartNumber>", number, "</PartNumber><ETag>", Quoted(part.etag),
                    "</ETag><Size>", part.bytes.size(), "</Size>",
                    found->second.crc32c
                        ? absl::StrCat("<ChecksumCRC32C>", part.crc32c, "</ChecksumCRC32C>")
                        : "",
                    "</Part>");
  }
  return Xml(absl::StrCat(body, "</ListPartsResult>"));
}

ScriptedAnswer StubS3::Complete(const std::string& id, const std::string& body) {
  const Upload upload = uploads_[id];
  std::string whole;
  size_t named = 0;
  for (size_t at = body.find("<PartNumber>"); at != std::string::npos;
       at = body.find("<PartNumber>", at + 1)) {
    int number = 0;
    const size_t begin = at + 12;
    if (!absl::SimpleAtoi(body.substr(begin, body.find('<', begin) - begin), &number) ||
        !upload.parts.contains(number)) {
      return Error(400, "InvalidPart");
    }
    const Object& part = upload.parts.at(number);
    if (body.find(part.etag, at) == std::string::npos ||
        (upload.crc32c && body.find(part.crc32c, at) == std::string::npos)) {
      return Error(400, "InvalidPart");
    }
    if (named > 0 && upload.parts.at(static_cast<int>(named)).bytes.size() < rules_.least_part) {
      return Error(400, "EntityTooSmall");
    }
    whole += part.bytes;
    ++named;
  }
  uploads_.erase(id);
  objects_[upload.key] = {whole, absl::StrCat("c", ++last_), Now()};
  return Xml("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
}

}  // namespace merganser::s3
