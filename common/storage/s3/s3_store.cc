#include "common/storage/s3/s3_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/checked.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/pieces.h"
#include "common/storage/s3/xml.h"

namespace merganser::s3 {
namespace {

// A moment as lists ("2013-05-24T00:00:00.000Z") or headers ("Fri, 24 May 2013 00:00:00 GMT") have
// it.
std::optional<WallTime> TimeOf(std::string_view text) {
  absl::Time time;
  std::string ignored;
  const absl::string_view view(text.data(), text.size());
  for (const char* const format : {absl::RFC3339_full, "%a, %d %b %Y %H:%M:%S GMT"}) {
    if (absl::ParseTime(format, view, &time, &ignored)) {
      return std::chrono::time_point_cast<Duration>(absl::ToChronoTime(time));
    }
  }
  return std::nullopt;
}

int64_t Seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// What a request was for, before what the store said of it.
absl::Status Failed(const absl::Status& status, std::string_view doing, std::string_view what) {
  return Annotate(status, absl::StrCat(std::string(doing), " ", std::string(what)));
}

class S3Store final : public ObjectStore {
 public:
  S3Store(std::shared_ptr<Client> client, std::string_view prefix, const WriteOptions& options,
          const StoreTraits& traits)
      : client_(std::move(client)),
        prefix_(prefix.empty() ? "" : absl::StrCat(std::string(prefix), "/")),
        options_(options),
        traits_(traits) {}

  StoreTraits traits() const override { return traits_; }

  std::string Describe(std::string_view key) const override {
    std::string name = absl::StrCat(prefix_, std::string(key));
    while (name.ends_with('/')) name.pop_back();
    return absl::StrCat("s3://", Shown(client_->bucket()), name.empty() ? "" : "/", Shown(name));
  }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const Reply reply = client_->Do(MakeCall("HEAD", key, "s3:GetObject"));
    if (reply.ok()) return std::optional<ObjectInfo>(InfoOf(reply.answer));
    if (absl::IsNotFound(reply.verdict.status)) return std::optional<ObjectInfo>();
    return Failed(WhyNot(key, reply.verdict), "look up", Describe(key));
  }

  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    if (out.empty()) return CheckEmptyRead(key, offset, if_match);
    std::vector<Call> calls;
    const uint64_t pieces = CeilDiv(out.size(), traits_.read_size);
    for (uint64_t i = 0; i < pieces; ++i) {
      const uint64_t begin = out.size() * i / pieces, end = out.size() * (i + 1) / pieces;
      Call call = MakeCall("GET", key, "s3:GetObject");
      call.headers.emplace_back("range",
                                absl::StrCat("bytes=", offset + begin, "-", offset + end - 1));
      if (!if_match.empty()) call.headers.emplace_back("if-match", std::string(if_match));
      call.sink = out.subspan(begin, end - begin);
      calls.push_back(std::move(call));
    }
    const std::vector<Reply> replies = client_->Do(calls);
    for (size_t i = 0; i < replies.size(); ++i) {
      MERGANSER_RETURN_IF_ERROR(
          CheckRange(key, offset, out.size(), if_match, calls[i], replies[i]));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options) override {
    Listing listing;
    std::string token;
    do {
      Call call = MakeCall("GET", "", "s3:ListBucket");
      call.key = "";
      call.query = {{"list-type", "2"},
                    {"encoding-type", "url"},
                    {"prefix", absl::StrCat(prefix_, std::string(prefix))}};
      if (options.flat) call.query.emplace_back("delimiter", "/");
      const size_t have = listing.objects.size() + listing.folders.size();
      constexpr size_t kPage = 1000;
      call.query.emplace_back("max-keys",
                              absl::StrCat(std::clamp<size_t>(options.limit - have, 1, kPage)));
      if (!token.empty()) call.query.emplace_back("continuation-token", token);
      const Reply reply = client_->Do(call);
      if (!reply.ok()) return Failed(reply.verdict.status, "list", Describe(prefix));
      absl::StatusOr<ListPage> page = ParseListPage(reply.answer.body);
      if (!page.ok()) return Failed(page.status(), "list", Describe(prefix));
      for (ListedKey& listed : page->keys) {
        std::string_view name = listed.key;
        if (!name.starts_with(prefix_)) continue;
        name.remove_prefix(prefix_.size());
        // The mark of a folder that other tools put down.
        if (!ValidateKey(name).ok()) continue;
        listing.objects.push_back(
            {std::string(name), {listed.size, std::move(listed.etag), TimeOf(listed.modified)}});
      }
      for (const std::string& folder : page->prefixes) {
        if (folder.starts_with(prefix_)) listing.folders.push_back(folder.substr(prefix_.size()));
      }
      token = std::move(page->next);
      const size_t found = listing.objects.size() + listing.folders.size();
      listing.more = found > options.limit || (found == options.limit && !token.empty());
      // Of none that may be told there was one, to know whether there are any.
      if (options.limit == 0) {
        listing.objects.clear();
        listing.folders.clear();
        break;
      }
    } while (!token.empty() && !listing.more);
    std::sort(listing.objects.begin(), listing.objects.end(),
              [](const ListedObject& a, const ListedObject& b) { return a.key < b.key; });
    std::sort(listing.folders.begin(), listing.folders.end());
    return listing;
  }

  absl::Status Put(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const Reply reply = client_->Do(PutCall(key, bytes));
    if (reply.ok()) return absl::OkStatus();
    return Failed(reply.verdict.status, "put", Describe(key));
  }

  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    if (!keeps_conditions_) {
      // A store that does not heed the condition would replace what is there.
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> there, Stat(key));
      if (there.has_value()) return false;
    }
    Call call = PutCall(key, bytes);
    call.headers.emplace_back("if-none-match", "*");
    const Reply reply = client_->Do(call);
    if (reply.ok()) {
      MERGANSER_RETURN_IF_ERROR(CheckConditions(call, key));
      return true;
    }
    if (absl::IsUnimplemented(reply.verdict.status)) return NoConditions(key);
    if (reply.answer.code != 412) return Failed(reply.verdict.status, "put", Describe(key));
    keeps_conditions_ = true;
    if (!reply.perhaps_done_before) return false;
    // The answer to an earlier try got lost: what is there may be ours.
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(key));
    if (!info.has_value() || info->size != bytes.size()) return false;
    std::string there(bytes.size(), '\0');
    MERGANSER_RETURN_IF_ERROR(
        Read(key, 0, std::as_writable_bytes(std::span(there)), info->identity));
    return there == bytes;
  }

  absl::Status Delete(std::string_view key, std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    if (!if_match.empty()) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(key));
      if (!info.has_value() || info->identity != if_match) return absl::OkStatus();
    }
    const Reply reply = client_->Do(MakeCall("DELETE", key, "s3:DeleteObject"));
    if (reply.ok() || absl::IsNotFound(reply.verdict.status)) return absl::OkStatus();
    return Failed(reply.verdict.status, "delete", Describe(key));
  }

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(layout.key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(layout.key)));
    MERGANSER_RETURN_IF_ERROR(CheckPieces(layout, traits_, Describe(layout.key)));
    Call call = MakeCall("POST", layout.key, "s3:PutObject");
    call.query = {{"uploads", ""}};
    AddWriteHeaders(call);
    // Done twice, one upload would be nobody's.
    call.repeatable = false;
    const Reply reply = client_->Do(call);
    if (!reply.ok())
      return Failed(reply.verdict.status, "begin an upload of", Describe(layout.key));
    absl::StatusOr<std::string> id = ParseUploadId(reply.answer.body);
    if (!id.ok()) return Failed(id.status(), "begin an upload of", Describe(layout.key));
    return PlannedWrite{layout.key, layout.size, *std::move(id), layout.ends};
  }

  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    MERGANSER_ASSIGN_OR_RETURN(const size_t piece,
                               PieceAt(write, offset, bytes.size(), Describe(write.key)));
    Call call = MakeCall("PUT", write.key, "s3:PutObject");
    call.query = {{"partNumber", absl::StrCat(piece + 1)}, {"uploadId", write.upload}};
    call.body = bytes;
    const Reply reply = client_->Do(call);
    if (!reply.ok()) return Failed(reply.verdict.status, "write a part of", Describe(write.key));
    const std::string_view etag = reply.answer.Header("etag");
    if (etag.empty()) {
      return absl::DataLossError(
          absl::StrCat("write a part of ", Describe(write.key), ": the store gave no ETag for it"));
    }
    return WriteReceipt{offset, bytes.size(), std::string(etag)};
  }

  // A part is durable when it is taken.
  absl::Status FlushWrite(const PlannedWrite&) override { return absl::OkStatus(); }

  absl::StatusOr<bool> Stands(const PlannedWrite& write) override {
    Call call = PartsCall(write, "");
    call.query.emplace_back("max-parts", "1");
    const Reply reply = client_->Do(call);
    if (reply.ok()) return true;
    if (Gone(reply)) return false;
    return Failed(reply.verdict.status, "look up the upload of", Describe(write.key));
  }

  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    MERGANSER_RETURN_IF_ERROR(CheckCoverage(receipts, write.size, Describe(write.key)));
    if (write.size == 0) {
      // An upload has at least one part; of nothing there is none.
      MERGANSER_ASSIGN_OR_RETURN(const bool stands, Stands(write));
      if (!stands) return NotUnderWay(write);
      MERGANSER_RETURN_IF_ERROR(Put(write.key, ""));
      return AbortWrite(write);
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<CompletedPart> parts, Parts(write, receipts));
    const std::string body = CompleteBody(parts);
    Call call = MakeCall("POST", write.key, "s3:PutObject");
    call.query = {{"uploadId", write.upload}};
    call.headers.emplace_back("content-type", "application/xml");
    call.body = std::as_bytes(std::span(body));
    const Reply reply = client_->Do(call);
    if (reply.ok()) return absl::OkStatus();
    // An earlier try may have done it, and then its upload is gone.
    if (reply.perhaps_done_before || reply.verdict.outcome == Outcome::kUnclear) {
      MERGANSER_ASSIGN_OR_RETURN(const bool stands, Stands(write));
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(write.key));
      if (!stands && info.has_value() && info->size == write.size) return absl::OkStatus();
    }
    if (Gone(reply)) return NotUnderWay(write);
    return Failed(reply.verdict.status, "complete the upload of", Describe(write.key));
  }

  absl::Status AbortWrite(const PlannedWrite& write) override {
    // A part that was on its way may come after: until there is nothing to list.
    constexpr int kLooks = 10;
    for (int look = 0; look < kLooks; ++look) {
      Call call = MakeCall("DELETE", write.key, "s3:AbortMultipartUpload");
      call.query = {{"uploadId", write.upload}};
      const Reply reply = client_->Do(call);
      if (!reply.ok() && !Gone(reply)) {
        return Failed(reply.verdict.status, "abort the upload of", Describe(write.key));
      }
      const absl::StatusOr<bool> stands = Stands(write);
      // Without the right to list parts the store's word has to do.
      if (absl::IsPermissionDenied(stands.status())) return absl::OkStatus();
      if (!stands.ok()) return stands.status();
      if (!*stands) return absl::OkStatus();
    }
    return absl::UnavailableError(absl::StrCat("abort the upload of ", Describe(write.key),
                                               ": its parts are still listed afterwards"));
  }

  // Uploads do not say whose they are: those of exactly this key, begun since.
  absl::Status AbortWritesOf(std::string_view key, std::string_view writer,
                             std::optional<WallTime> since) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(key)));
    if (!since.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat(Describe(key),
                       ": it is not known since when uploads are to be aborted: the store told "
                       "no time of what was put before them"));
    }
    const std::string full = absl::StrCat(prefix_, std::string(key));
    std::string next_key, next_id;
    std::vector<std::string> ids;
    bool more = true;
    while (more) {
      Call call = MakeCall("GET", "", "s3:ListBucketMultipartUploads");
      call.key = "";
      call.query = {{"uploads", ""}, {"prefix", full}, {"encoding-type", "url"}};
      if (!next_key.empty()) {
        call.query.emplace_back("key-marker", next_key);
        call.query.emplace_back("upload-id-marker", next_id);
      }
      const Reply reply = client_->Do(call);
      if (!reply.ok()) return Failed(reply.verdict.status, "list the uploads of", Describe(key));
      absl::StatusOr<UploadsPage> page = ParseUploadsPage(reply.answer.body);
      if (!page.ok()) return Failed(page.status(), "list the uploads of", Describe(key));
      for (const ListedUpload& upload : page->uploads) {
        if (upload.key != full) continue;
        const std::optional<WallTime> begun = TimeOf(upload.initiated);
        // To the second, as some stores tell no more. One of an unknown time is left.
        if (begun.has_value() && Seconds(*begun) >= Seconds(*since)) ids.push_back(upload.id);
      }
      more = page->more;
      next_key = page->next_key;
      next_id = page->next_id;
    }
    for (const std::string& id : ids) {
      MERGANSER_RETURN_IF_ERROR(AbortWrite({std::string(key), 0, id}));
    }
    return absl::OkStatus();
  }

 private:
  Call MakeCall(std::string method, std::string_view key, std::string_view action) const {
    Call call;
    call.method = std::move(method);
    call.key = absl::StrCat(prefix_, std::string(key));
    call.action = action;
    if (options_.requester_pays) call.headers.emplace_back("x-amz-request-payer", "requester");
    return call;
  }

  void AddWriteHeaders(Call& call) const {
    const auto add = [&](const char* name, const std::string& value) {
      if (!value.empty()) call.headers.emplace_back(name, value);
    };
    add("x-amz-storage-class", options_.storage_class);
    add("x-amz-server-side-encryption", options_.encryption);
    add("x-amz-server-side-encryption-aws-kms-key-id", options_.kms_key_id);
    add("x-amz-acl", options_.acl);
  }

  Call PutCall(std::string_view key, std::string_view bytes) const {
    Call call = MakeCall("PUT", key, "s3:PutObject");
    AddWriteHeaders(call);
    call.body = std::as_bytes(std::span(bytes));
    return call;
  }

  Call PartsCall(const PlannedWrite& write, std::string_view after) const {
    Call call = MakeCall("GET", write.key, "s3:ListMultipartUploadParts");
    call.query = {{"uploadId", write.upload}};
    if (!after.empty()) call.query.emplace_back("part-number-marker", std::string(after));
    return call;
  }

  static ObjectInfo InfoOf(const HttpAnswer& answer) {
    ObjectInfo info;
    uint64_t size = 0;
    if (absl::SimpleAtoi(std::string(answer.Header("content-length")), &size)) info.size = size;
    info.identity = std::string(answer.Header("etag"));
    info.modified = TimeOf(answer.Header("last-modified"));
    return info;
  }

  static bool Gone(const Reply& reply) {
    return reply.verdict.code == "NoSuchUpload" || absl::IsNotFound(reply.verdict.status);
  }

  absl::Status NotUnderWay(const PlannedWrite& write) const {
    return absl::NotFoundError(
        absl::StrCat(Describe(write.key), ": no upload ", Shown(write.upload),
                     " is under way: it was completed or aborted, or never begun"));
  }

  // The answer of HEAD has no body that says why: a byte of GET has.
  absl::Status WhyNot(std::string_view key, const Verdict& verdict) {
    if (verdict.outcome != Outcome::kNo || !verdict.code.empty()) return verdict.status;
    Call call = MakeCall("GET", key, "s3:GetObject");
    call.headers.emplace_back("range", "bytes=0-0");
    const Reply reply = client_->Do(call);
    if (reply.ok() || reply.verdict.code.empty()) return WithListing(verdict.status);
    return reply.verdict.code == "AccessDenied" ? WithListing(reply.verdict.status)
                                                : reply.verdict.status;
  }

  // Some stores take If-None-Match and do not heed it: of two who put, both would win. `call` has
  // just put the object, so that it must be refused now; the same bytes do no harm.
  absl::Status CheckConditions(const Call& call, std::string_view key) {
    if (keeps_conditions_) return absl::OkStatus();
    const Reply again = client_->Do(call);
    if (again.answer.code == 412) {
      keeps_conditions_ = true;
      return absl::OkStatus();
    }
    if (again.ok()) {
      MERGANSER_RETURN_IF_ERROR(Delete(key, {}));
      return NoConditions(key);
    }
    return Failed(again.verdict.status, "put", Describe(key));
  }
  absl::Status NoConditions(std::string_view key) const {
    return absl::FailedPreconditionError(
        absl::StrCat("put ", Describe(key),
                     ": this store does not keep to If-None-Match, so that two merges into one "
                     "output could not be told apart; write to another store or to a disk"));
  }

  // A store says "denied" of what is missing to those who may not list.
  static absl::Status WithListing(const absl::Status& status) {
    if (!absl::IsPermissionDenied(status)) return status;
    return absl::PermissionDeniedError(absl::StrCat(
        std::string(status.message()),
        "; or it is missing, which is told only to those who may list (s3:ListBucket)"));
  }

  absl::Status CheckEmptyRead(std::string_view key, uint64_t offset, std::string_view if_match) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(key));
    if (!info.has_value()) return Missing(key, if_match);
    if (!if_match.empty() && info->identity != if_match) return Changed(key, if_match);
    if (offset > info->size) return PastEnd(key, offset, 0);
    return absl::OkStatus();
  }

  absl::Status Missing(std::string_view key, std::string_view if_match) const {
    if (!if_match.empty()) {
      return absl::UnavailableError(
          absl::StrCat(Describe(key), ": no such object; it was there when it was opened"));
    }
    return absl::NotFoundError(absl::StrCat(Describe(key), ": no such object"));
  }
  absl::Status Changed(std::string_view key, std::string_view expected) const {
    return absl::DataLossError(
        absl::StrCat(Describe(key), ": the object changed since it was opened: expected ETag ",
                     Shown(expected), ", found another"));
  }
  absl::Status PastEnd(std::string_view key, uint64_t offset, uint64_t size) const {
    return absl::DataLossError(absl::StrCat(Describe(key), ": ", size, " bytes wanted from offset ",
                                            offset, ", but the object is shorter"));
  }

  absl::Status CheckRange(std::string_view key, uint64_t offset, uint64_t size,
                          std::string_view if_match, const Call& call, const Reply& reply) const {
    if (!reply.ok()) {
      const absl::Status& status = reply.verdict.status;
      if (absl::IsNotFound(status)) return Missing(key, if_match);
      if (reply.answer.code == 412) return Changed(key, if_match);
      if (absl::IsOutOfRange(status)) return PastEnd(key, offset, size);
      return Failed(WithListing(status), "read", Describe(key));
    }
    const HttpAnswer& answer = reply.answer;
    if (answer.code != 206) {
      return absl::DataLossError(absl::StrCat("read ", Describe(key), ": found an answer ",
                                              answer.code,
                                              " to a request for a range, expected 206: the store "
                                              "or a proxy before it ignores ranges"));
    }
    if (answer.sunk != call.sink.size() || answer.overflowed) {
      // A range beyond the end is answered with what there is.
      if (!answer.overflowed) return PastEnd(key, offset, size);
      return absl::DataLossError(absl::StrCat(
          "read ", Describe(key), ": found more bytes than the range that was asked for"));
    }
    const std::string_view etag = answer.Header("etag");
    if (!if_match.empty() && !etag.empty() && etag != if_match) return Changed(key, if_match);
    return absl::OkStatus();
  }

  // What is sent to complete `write`: every part as it is listed, which some receipt knows.
  absl::StatusOr<std::vector<CompletedPart>> Parts(const PlannedWrite& write,
                                                   std::span<const WriteReceipt> receipts) {
    std::map<uint64_t, std::set<std::string_view>> known;  // by offset
    for (const WriteReceipt& receipt : receipts) known[receipt.offset].insert(receipt.proof);
    std::vector<CompletedPart> parts;
    std::string after;
    do {
      const Reply reply = client_->Do(PartsCall(write, after));
      if (Gone(reply)) return NotUnderWay(write);
      if (!reply.ok()) {
        return Failed(reply.verdict.status, "list the parts of", Describe(write.key));
      }
      absl::StatusOr<PartsPage> page = ParsePartsPage(reply.answer.body);
      if (!page.ok()) return Failed(page.status(), "list the parts of", Describe(write.key));
      for (const ListedPart& part : page->parts) {
        const size_t index = parts.size();
        const size_t count = PieceCount(write);
        const uint64_t begin = index == 0 ? 0 : index < count ? write.ends[index - 1] : write.size;
        const uint64_t end = write.ends.empty() ? write.size
                             : index < count    ? write.ends[index]
                                                : write.size;
        if (part.number != index + 1 || index >= count || part.size != end - begin ||
            !known[begin].contains(part.etag)) {
          return absl::DataLossError(
              absl::StrCat(Describe(write.key), ": part ", part.number, " of ", part.size,
                           " bytes is not as it was written; expected part ", index + 1, " of ",
                           count, ", ", end - begin, " bytes"));
        }
        parts.push_back({part.number, part.etag, ""});
      }
      after = std::move(page->next);
    } while (!after.empty());
    if (parts.size() == PieceCount(write)) return parts;
    return absl::DataLossError(absl::StrCat(Describe(write.key), ": found ", parts.size(),
                                            " parts, expected ", PieceCount(write)));
  }

  const std::shared_ptr<Client> client_;
  const std::string prefix_;  // "" or with a '/' at its end
  const WriteOptions options_;
  const StoreTraits traits_;
  std::atomic<bool> keeps_conditions_ = false;  // it was seen to
};

}  // namespace

StoreTraits TraitsOf(const Endpoint& endpoint) {
  StoreTraits traits = kS3Traits;
  traits.equal_pieces = endpoint.host.ends_with(".r2.cloudflarestorage.com");
  return traits;
}

std::shared_ptr<ObjectStore> MakeS3Store(std::shared_ptr<Client> client, std::string_view prefix,
                                         const WriteOptions& options, const StoreTraits& traits) {
  return std::make_shared<S3Store>(std::move(client), prefix, options, traits);
}

}  // namespace merganser::s3
