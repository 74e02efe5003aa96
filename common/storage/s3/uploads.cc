#include "common/storage/s3/uploads.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/pieces.h"
#include "common/storage/s3/crc32c.h"

namespace merganser::s3 {
namespace {

constexpr std::string_view kPut = "s3:PutObject";

// Behind the id of an upload that was begun with CRC-32C, for whoever writes its parts: a store
// refuses a part that has another checksum than its upload wants, or none.
constexpr std::string_view kWithCrc32c = " crc32c";

bool WantsCrc32c(const PlannedWrite& write) { return write.upload.ends_with(kWithCrc32c); }

std::string IdOf(const PlannedWrite& write) {
  std::string id = write.upload;
  if (WantsCrc32c(write)) id.resize(id.size() - kWithCrc32c.size());
  return id;
}

// A part's proof: its ETag, and where its upload wants that its checksum.
constexpr std::string_view kCrc32cOf = " crc32c=";

std::string ProofOf(std::string_view etag, std::string_view crc32c) {
  if (crc32c.empty()) return std::string(etag);
  return absl::StrCat(std::string(etag), std::string(kCrc32cOf), std::string(crc32c));
}

// Some stores take the checksum and do not tell it.
bool Proves(std::string_view proof, const ListedPart& part) {
  const size_t crc = proof.find(kCrc32cOf);
  if (proof.substr(0, crc) != part.etag) return false;
  return crc == std::string_view::npos || part.crc32c.empty() ||
         proof.substr(crc + kCrc32cOf.size()) == part.crc32c;
}

bool Gone(const Reply& reply) {
  return reply.verdict.code == "NoSuchUpload" || absl::IsNotFound(reply.verdict.status);
}

// [begin, end) of a piece.
std::pair<uint64_t, uint64_t> BoundsOf(const PlannedWrite& write, size_t piece) {
  if (write.ends.empty()) return {0, write.size};
  return {piece == 0 ? 0 : write.ends[piece - 1], write.ends[piece]};
}

// Proofs by the offset of their piece.
using Proofs = std::map<uint64_t, std::set<std::string_view>>;

Proofs ProofsOf(std::span<const WriteReceipt> receipts) {
  Proofs proofs;
  for (const WriteReceipt& receipt : receipts) proofs[receipt.offset].insert(receipt.proof);
  return proofs;
}

// Whether `part` is the piece, as one of its receipts says.
bool IsAsWritten(const PlannedWrite& write, size_t piece, const ListedPart& part,
                 const Proofs& proofs) {
  const auto [begin, end] = BoundsOf(write, piece);
  const auto known = proofs.find(begin);
  return part.number == piece + 1 && part.size == end - begin && known != proofs.end() &&
         std::any_of(known->second.begin(), known->second.end(),
                     [&](std::string_view proof) { return Proves(proof, part); });
}

}  // namespace

absl::StatusOr<PlannedWrite> Uploads::Begin(const WriteLayout& layout) {
  Call call = place_.ObjectCall("POST", layout.key, kPut);
  call.query = {{"uploads", ""}};
  place_.AddWriteHeaders(call);
  const bool crc32c = place_.client().WritesCrc32c();
  if (crc32c) call.headers.emplace_back("x-amz-checksum-algorithm", "CRC32C");
  // Done twice, one upload would be nobody's.
  call.repeatable = false;
  absl::StatusOr<std::string> id = Ask(place_.client(), call, ParseUploadId);
  if (!id.ok()) return Failed(id.status(), "begin an upload of", place_.Describe(layout.key));
  if (crc32c) absl::StrAppend(&*id, std::string(kWithCrc32c));
  return PlannedWrite{layout.key, layout.size, *std::move(id), layout.ends};
}

absl::StatusOr<WriteReceipt> Uploads::WritePart(const PlannedWrite& write, size_t piece,
                                                uint64_t offset, std::span<const std::byte> bytes) {
  Call call = place_.ObjectCall("PUT", write.key, kPut);
  call.query = {{"partNumber", absl::StrCat(piece + 1)}, {"uploadId", IdOf(write)}};
  call.body = bytes;
  const std::string crc32c = WantsCrc32c(write) ? Crc32cBase64(bytes) : "";
  if (!crc32c.empty()) call.headers.emplace_back(kCrc32cHeader, crc32c);
  const Reply reply = place_.client().Do(call);
  const std::string what = place_.Describe(write.key);
  if (Gone(reply)) return NotUnderWay(write);
  if (!reply.ok()) return Failed(reply.verdict.status, "write a part of", what);
  const std::string_view etag = reply.answer.Header("etag");
  if (etag.empty()) {
    return absl::DataLossError(
        absl::StrCat("write a part of ", what, ": the store gave no ETag for it"));
  }
  return WriteReceipt{offset, bytes.size(), ProofOf(etag, crc32c)};
}

Call Uploads::PartsCall(const PlannedWrite& write, std::string_view after) const {
  Call call = place_.ObjectCall("GET", write.key, "s3:ListMultipartUploadParts");
  call.query = {{"uploadId", IdOf(write)}};
  if (!after.empty()) call.query.emplace_back("part-number-marker", std::string(after));
  return call;
}

absl::StatusOr<bool> Uploads::Stands(const PlannedWrite& write) {
  Call call = PartsCall(write, "");
  call.query.emplace_back("max-parts", "1");
  const Reply reply = place_.client().Do(call);
  if (reply.ok()) return true;
  if (Gone(reply)) return false;
  return Failed(reply.verdict.status, "look up the upload of", place_.Describe(write.key));
}

absl::StatusOr<std::vector<ListedPart>> Uploads::Parts(const PlannedWrite& write) {
  std::vector<ListedPart> parts;
  std::string after;
  do {
    absl::StatusOr<PartsPage> page = Ask(place_.client(), PartsCall(write, after), ParsePartsPage);
    if (absl::IsNotFound(page.status())) return NotUnderWay(write);
    if (!page.ok()) {
      return Failed(page.status(), "list the parts of", place_.Describe(write.key));
    }
    for (ListedPart& part : page->parts) parts.push_back(std::move(part));
    after = std::move(page->next);
  } while (!after.empty());
  return parts;
}

absl::StatusOr<std::vector<size_t>> Uploads::LostPieces(const PlannedWrite& write,
                                                        std::span<const WriteReceipt> receipts) {
  const Proofs proofs = ProofsOf(receipts);
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedPart> listed, Parts(write));
  std::map<uint64_t, const ListedPart*> by_number;
  for (const ListedPart& part : listed) by_number[part.number] = &part;
  std::vector<size_t> lost;
  for (size_t piece = 0; piece < PieceCount(write); ++piece) {
    if (!proofs.contains(BoundsOf(write, piece).first)) continue;
    const auto found = by_number.find(piece + 1);
    if (found == by_number.end() || !IsAsWritten(write, piece, *found->second, proofs)) {
      lost.push_back(piece);
    }
  }
  return lost;
}

absl::Status Uploads::Complete(const PlannedWrite& write, std::span<const WriteReceipt> receipts) {
  const std::string what = place_.Describe(write.key);
  const Proofs proofs = ProofsOf(receipts);
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedPart> listed, Parts(write));
  // Every part as it is listed, which some receipt knows.
  std::vector<CompletedPart> parts;
  const size_t count = PieceCount(write);
  for (const ListedPart& part : listed) {
    if (parts.size() >= count || !IsAsWritten(write, parts.size(), part, proofs)) {
      return absl::DataLossError(absl::StrCat(what, ": part ", part.number, " of ", part.size,
                                              " bytes is not as it was written; expected part ",
                                              parts.size() + 1, " of ", count));
    }
    parts.push_back({part.number, part.etag, WantsCrc32c(write) ? part.crc32c : ""});
  }
  if (parts.size() != count) {
    return absl::DataLossError(
        absl::StrCat(what, ": found ", parts.size(), " parts, expected ", count));
  }
  const std::string body = CompleteBody(parts);
  Call call = place_.ObjectCall("POST", write.key, kPut);
  call.query = {{"uploadId", IdOf(write)}};
  call.headers.emplace_back("content-type", "application/xml");
  call.body = std::as_bytes(std::span(body));
  Reply reply = place_.client().Do(call);
  if (reply.ok()) {
    const absl::Status completed = CheckCompleted(reply.answer.body);
    if (completed.ok()) return absl::OkStatus();
    reply.verdict = {Outcome::kUnclear, absl::UnavailableError(completed.message()), ""};
  }
  // An earlier try may have done it, and then its upload is gone.
  if (reply.perhaps_done_before || reply.verdict.outcome == Outcome::kUnclear) {
    MERGANSER_ASSIGN_OR_RETURN(const bool completed, WasCompleted(write));
    if (completed) return absl::OkStatus();
  }
  if (Gone(reply)) return NotUnderWay(write);
  return Failed(reply.verdict.status, "complete the upload of", what);
}

absl::StatusOr<bool> Uploads::WasCompleted(const PlannedWrite& write) {
  MERGANSER_ASSIGN_OR_RETURN(const bool stands, Stands(write));
  if (stands) return false;
  const Reply reply = place_.Head(write.key);
  if (absl::IsNotFound(reply.verdict.status)) return false;
  if (!reply.ok()) return Failed(reply.verdict.status, "look up", place_.Describe(write.key));
  uint64_t size = 0;
  return absl::SimpleAtoi(std::string(reply.answer.Header("content-length")), &size) &&
         size == write.size;
}

absl::Status Uploads::Abort(const PlannedWrite& write) {
  const absl::StatusOr<bool> was_there = AbortAll(write);
  StorageCounters& counters = place_.client().counters();
  if (!was_there.ok()) {
    ++counters.uploads_left;
    return was_there.status();
  }
  if (*was_there) ++counters.uploads_aborted;
  return absl::OkStatus();
}

absl::StatusOr<bool> Uploads::AbortAll(const PlannedWrite& write) {
  bool was_there = false;
  // A part that was on its way may come after: until there is nothing to list.
  constexpr int kLooks = 10;
  for (int look = 0; look < kLooks; ++look) {
    Call call = place_.ObjectCall("DELETE", write.key, "s3:AbortMultipartUpload");
    call.query = {{"uploadId", IdOf(write)}};
    const Reply reply = place_.client().Do(call);
    if (!reply.ok() && !Gone(reply)) {
      return Failed(reply.verdict.status, "abort the upload of", place_.Describe(write.key));
    }
    was_there |= reply.ok();
    const absl::StatusOr<bool> stands = Stands(write);
    // Without the right to list parts the store's word has to do.
    if (absl::IsPermissionDenied(stands.status())) return was_there;
    if (!stands.ok()) return stands.status();
    if (!*stands) return was_there;
  }
  return absl::UnavailableError(absl::StrCat("abort the upload of ", place_.Describe(write.key),
                                             ": its parts are still listed afterwards"));
}

absl::StatusOr<std::vector<ListedUpload>> Uploads::List(std::string_view prefix) {
  const auto failed = [&](const absl::Status& status) {
    return Failed(status, "list the uploads of",
                  absl::StrCat("s3://", Shown(place_.client().bucket()), "/", Shown(prefix)));
  };
  std::vector<ListedUpload> found;
  std::string next_key, next_id;
  bool more = true;
  while (more) {
    Call call = place_.BucketCall("s3:ListBucketMultipartUploads");
    call.query = {{"uploads", ""}, {"prefix", std::string(prefix)}, {"encoding-type", "url"}};
    if (!next_key.empty()) {
      call.query.emplace_back("key-marker", next_key);
      call.query.emplace_back("upload-id-marker", next_id);
    }
    absl::StatusOr<UploadsPage> page = Ask(place_.client(), call, ParseUploadsPage);
    if (!page.ok()) return failed(page.status());
    for (ListedUpload& upload : page->uploads) found.push_back(std::move(upload));
    more = page->more;
    next_key = page->next_key;
    next_id = page->next_id;
  }
  return found;
}

absl::Status Uploads::NotUnderWay(const PlannedWrite& write) const {
  return absl::NotFoundError(
      absl::StrCat(place_.Describe(write.key), ": no upload ", Shown(IdOf(write)),
                   " is under way: it was completed or aborted, or never begun. Where nobody "
                   "else did that, a rule of the bucket ends uploads too early"));
}

}  // namespace merganser::s3
