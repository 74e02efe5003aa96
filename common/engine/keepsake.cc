#include "common/engine/keepsake.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/wire.h"
#include "common/engine/claim.h"

namespace merganser {
namespace {

constexpr std::string_view kMagic = "MRGKEEP1";
constexpr size_t kDigestBytes = 32;  // hex digits

// What stands before the values.
std::string Head(const KeepsakeOwner& owner) {
  WireWriter head;
  head.Bytes(kMagic);
  head.Field(owner.plan_digest);
  head.Field(owner.unit);
  head.Field(owner.segment);
  return head.Take();
}

}  // namespace

std::string KeepsakeKey(std::string_view job_uid, uint32_t unit, uint32_t segment) {
  return absl::StrCat(std::string(kWorkPrefix), std::string(job_uid), "/keep/", unit, "-", segment);
}

std::string PackKeepsakes(const KeepsakeOwner& owner, const std::vector<Keepsake>& leaves) {
  WireWriter writer;
  const std::string head = Head(owner);
  size_t values = 0;
  for (const Keepsake& leaf : leaves) values += leaf.values.size();
  writer.Reserve(head.size() + 8 * (1 + leaves.size() + values) + kDigestBytes);
  writer.Bytes(head);
  writer.List(leaves, [&](const Keepsake& leaf) { writer.Field(leaf.values); });
  writer.Bytes(DigestHex(writer.bytes()));
  return writer.Take();
}

absl::StatusOr<std::vector<Keepsake>> ParseKeepsakes(std::string_view bytes,
                                                     const KeepsakeOwner& owner) {
  absl::Status damaged = absl::DataLossError(
      absl::StrCat("found ", bytes.size(),
                   " bytes that are damaged or cut off, expected what the analysis of unit ",
                   owner.unit, " put there"));
  if (bytes.size() < kDigestBytes) return damaged;
  const std::string_view digest = bytes.substr(bytes.size() - kDigestBytes);
  bytes.remove_suffix(kDigestBytes);
  if (DigestHex(bytes) != digest) return damaged;
  const std::string head = Head(owner);
  if (!bytes.starts_with(head)) {
    return absl::DataLossError(
        absl::StrCat("found a keepsake of another job or unit, expected unit ", owner.unit,
                     " under plan ", owner.plan_digest));
  }
  WireReader reader(bytes.substr(head.size()));
  std::vector<Keepsake> leaves;
  reader.List(leaves, [&](Keepsake& leaf) { reader.Field(leaf.values); });
  if (!reader.fine() || !reader.ended()) return damaged;
  return leaves;
}

}  // namespace merganser
