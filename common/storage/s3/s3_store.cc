#include "common/storage/s3/s3_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/pieces.h"
#include "common/storage/s3/aws/times.h"
#include "common/storage/s3/crc32c.h"
#include "common/storage/s3/uploads.h"
#include "common/storage/s3/xml.h"

namespace merganser::s3 {
namespace {

int64_t Seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

class S3Store final : public ObjectStore {
 public:
  S3Store(std::shared_ptr<Client> client, std::string_view prefix, const Settings& settings,
          const StoreTraits& traits)
      : place_(std::move(client), prefix, settings.write),
        traits_(traits),
        uploads_(place_),
        exclusive_(settings.exclusive_output) {}

  StoreTraits traits() const override { return traits_; }

  std::string Describe(std::string_view key) const override { return place_.Describe(key); }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const Reply reply = place_.Head(key);
    if (reply.ok()) return std::optional<ObjectInfo>(InfoOf(reply.answer));
    if (absl::IsNotFound(reply.verdict.status)) return std::optional<ObjectInfo>();
    return Failed(WithListing(reply.verdict.status), "look up", Describe(key));
  }

  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    if (out.empty()) return CheckEmptyRead(key, offset, if_match);
    std::vector<Call> calls;
    const uint64_t pieces = CeilDiv(out.size(), traits_.read_size);
    for (uint64_t i = 0; i < pieces; ++i) {
      const uint64_t begin = out.size() * i / pieces, end = out.size() * (i + 1) / pieces;
      Call call = place_.ObjectCall("GET", key, "s3:GetObject");
      call.headers.emplace_back("range",
                                absl::StrCat("bytes=", offset + begin, "-", offset + end - 1));
      if (!if_match.empty()) call.headers.emplace_back("if-match", std::string(if_match));
      call.sink = out.subspan(begin, end - begin);
      calls.push_back(std::move(call));
    }
    const std::vector<Reply> replies = place_.client().Do(calls);
    for (size_t i = 0; i < replies.size(); ++i) {
      MERGANSER_RETURN_IF_ERROR(
          CheckRange(key, offset, out.size(), if_match, calls[i], replies[i]));
    }
    // Where answers do not tell what they are of, as behind redirects, the object does.
    const bool told = std::all_of(replies.begin(), replies.end(), [](const Reply& reply) {
      return !reply.answer.Header("etag").empty();
    });
    return told || if_match.empty() ? absl::OkStatus() : CheckEmptyRead(key, 0, if_match);
  }

  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options) override {
    Listing listing;
    // Folders that are still to be looked into, where a list does not go deeper than one.
    std::vector<std::string> waiting = {std::string(prefix)};
    const bool walks = place_.client().endpoint().ways.flat_lists_only && !options.flat;
    while (!waiting.empty() && !listing.more) {
      const std::string folder = std::move(waiting.back());
      waiting.pop_back();
      MERGANSER_RETURN_IF_ERROR(ListOnce(folder, options, walks, listing));
      if (!walks) continue;
      for (std::string& deeper : listing.folders) waiting.push_back(std::move(deeper));
      listing.folders.clear();
      listing.more |= listing.objects.size() >= options.limit && !waiting.empty();
    }
    // Of none that may be told there was one, to know whether there are any.
    if (options.limit == 0) {
      listing.objects.clear();
      listing.folders.clear();
    }
    std::sort(listing.objects.begin(), listing.objects.end(),
              [](const ListedObject& a, const ListedObject& b) { return a.key < b.key; });
    std::sort(listing.folders.begin(), listing.folders.end());
    return listing;
  }

  absl::Status Put(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const Reply reply = place_.client().Do(PutCall(key, bytes));
    if (reply.ok()) return absl::OkStatus();
    return Failed(reply.verdict.status, "put", Describe(key));
  }

  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    if (conditions_ != Conditions::kHeeded) {
      // A store that does not heed the condition would replace what is there.
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> there, Stat(key));
      if (there.has_value()) return false;
    }
    Call call = PutCall(key, bytes);
    if (conditions_ == Conditions::kIgnored) {
      const Reply reply = place_.client().Do(call);
      if (reply.ok()) return true;
      return Failed(reply.verdict.status, "put", Describe(key));
    }
    call.headers.emplace_back("if-none-match", "*");
    const Reply reply = place_.client().Do(call);
    if (reply.ok()) {
      MERGANSER_RETURN_IF_ERROR(CheckConditions(call, key));
      return true;
    }
    if (absl::IsUnimplemented(reply.verdict.status)) {
      MERGANSER_RETURN_IF_ERROR(WithoutConditions(key));
      return PutIfAbsent(key, bytes);
    }
    if (reply.answer.code != 412) return Failed(reply.verdict.status, "put", Describe(key));
    conditions_ = Conditions::kHeeded;
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
    const Reply reply = place_.client().Do(place_.ObjectCall("DELETE", key, "s3:DeleteObject"));
    if (reply.ok() || absl::IsNotFound(reply.verdict.status)) return absl::OkStatus();
    return Failed(reply.verdict.status, "delete", Describe(key));
  }

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(layout.key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(layout.key)));
    MERGANSER_RETURN_IF_ERROR(CheckPieces(layout, traits_, Describe(layout.key)));
    return uploads_.Begin(layout);
  }

  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    MERGANSER_ASSIGN_OR_RETURN(const size_t piece,
                               PieceAt(write, offset, bytes.size(), Describe(write.key)));
    return uploads_.WritePart(write, piece, offset, bytes);
  }

  // A part is durable when it is taken.
  absl::Status FlushWrite(const PlannedWrite&) override { return absl::OkStatus(); }

  absl::StatusOr<bool> Stands(const PlannedWrite& write) override { return uploads_.Stands(write); }

  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite& write,
                                                 std::span<const WriteReceipt> receipts) override {
    return uploads_.LostPieces(write, receipts);
  }

  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    MERGANSER_RETURN_IF_ERROR(CheckCoverage(receipts, write.size, Describe(write.key)));
    if (write.size > 0) return uploads_.Complete(write, receipts);
    // An upload has at least one part; of nothing there is none.
    MERGANSER_ASSIGN_OR_RETURN(const bool stands, Stands(write));
    if (!stands) return uploads_.NotUnderWay(write);
    MERGANSER_RETURN_IF_ERROR(Put(write.key, ""));
    return AbortWrite(write);
  }

  absl::Status AbortWrite(const PlannedWrite& write) override { return uploads_.Abort(write); }

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
    const std::string full = place_.FullKey(key);
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedUpload> listed, uploads_.List(full));
    for (const ListedUpload& upload : listed) {
      if (upload.key != full) continue;
      const std::optional<WallTime> begun = TimeOf(upload.initiated);
      // To the second, as some stores tell no more. One of an unknown time is left.
      if (!begun.has_value() || Seconds(*begun) < Seconds(*since)) continue;
      MERGANSER_RETURN_IF_ERROR(AbortWrite({std::string(key), 0, upload.id}));
    }
    return absl::OkStatus();
  }

 private:
  // Adds to `listing` what begins with `prefix`, page by page up to the limit.
  absl::Status ListOnce(std::string_view prefix, const ListOptions& options, bool walks,
                        Listing& listing) {
    // Folders that are walked into are none that are told of.
    const auto count = [&] {
      return listing.objects.size() + (walks ? 0 : listing.folders.size());
    };
    std::string token;
    do {
      Call call = place_.BucketCall("s3:ListBucket");
      call.query = {
          {"list-type", "2"}, {"encoding-type", "url"}, {"prefix", place_.FullKey(prefix)}};
      if (options.flat || walks) call.query.emplace_back("delimiter", "/");
      constexpr size_t kPage = 1000;
      const size_t left = options.limit > count() ? options.limit - count() : 1;
      call.query.emplace_back("max-keys", absl::StrCat(std::min(left, kPage)));
      if (!token.empty()) call.query.emplace_back("continuation-token", token);
      absl::StatusOr<ListPage> page = Ask(place_.client(), call, ParseListPage);
      if (!page.ok()) return Failed(page.status(), "list", Describe(prefix));
      for (ListedKey& listed : page->keys) {
        std::string_view name = listed.key;
        if (!name.starts_with(place_.prefix())) continue;
        name.remove_prefix(place_.prefix().size());
        // The mark of a folder that other tools put down.
        if (!ValidateKey(name).ok()) continue;
        listing.objects.push_back(
            {std::string(name), {listed.size, std::move(listed.etag), TimeOf(listed.modified)}});
      }
      for (const std::string& folder : page->prefixes) {
        if (folder.starts_with(place_.prefix())) {
          listing.folders.push_back(folder.substr(place_.prefix().size()));
        }
      }
      token = std::move(page->next);
      listing.more = count() > options.limit || (count() == options.limit && !token.empty());
    } while (!token.empty() && !listing.more);
    return absl::OkStatus();
  }

  Call PutCall(std::string_view key, std::string_view bytes) const {
    Call call = place_.ObjectCall("PUT", key, "s3:PutObject");
    place_.AddWriteHeaders(call);
    call.body = std::as_bytes(std::span(bytes));
    if (place_.client().WritesCrc32c()) {
      call.headers.emplace_back(kCrc32cHeader, Crc32cBase64(call.body));
    }
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

  // Some stores take If-None-Match and do not heed it: of two who put, both would win. `call` has
  // just put the object, so that it must be refused now; the same bytes do no harm.
  absl::Status CheckConditions(const Call& call, std::string_view key) {
    if (conditions_ == Conditions::kHeeded) return absl::OkStatus();
    const Reply again = place_.client().Do(call);
    if (again.answer.code == 412) {
      conditions_ = Conditions::kHeeded;
      return absl::OkStatus();
    }
    if (!again.ok()) return Failed(again.verdict.status, "put", Describe(key));
    absl::Status without = WithoutConditions(key);
    if (!without.ok()) MERGANSER_RETURN_IF_ERROR(Delete(key, {}));
    return without;
  }
  // This store was seen not to heed conditions.
  absl::Status WithoutConditions(std::string_view key) {
    if (!exclusive_) return NoConditions(key);
    conditions_ = Conditions::kIgnored;
    return absl::OkStatus();
  }
  absl::Status NoConditions(std::string_view key) const {
    return absl::FailedPreconditionError(absl::StrCat(
        "put ", Describe(key),
        ": this store does not keep to If-None-Match, so that two merges into one "
        "output could not be told apart; write to another store or to a disk, or, where "
        "nobody else writes there, say so with --exclusive-output"));
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

  const Place place_;
  const StoreTraits traits_;
  Uploads uploads_;
  const bool exclusive_;
  // Whether conditions are heeded, as far as that was seen; ignored ones only where that may be.
  enum class Conditions { kUnknown, kHeeded, kIgnored };
  std::atomic<Conditions> conditions_ = Conditions::kUnknown;
};

}  // namespace

StoreTraits TraitsOf(const Endpoint& endpoint) {
  StoreTraits traits = kS3Traits;
  traits.equal_pieces = endpoint.ways.equal_parts;
  return traits;
}

std::shared_ptr<ObjectStore> MakeS3Store(std::shared_ptr<Client> client, std::string_view prefix,
                                         const Settings& settings, const StoreTraits& traits) {
  return std::make_shared<S3Store>(std::move(client), prefix, settings, traits);
}

}  // namespace merganser::s3
