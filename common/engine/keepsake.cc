#include "common/engine/keepsake.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/engine/claim.h"

namespace merganser {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

constexpr std::string_view kMagic = "MRGKEEP1";
constexpr size_t kDigestBytes = 32;  // hex digits

void AppendInteger(uint64_t value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What stands before the values.
std::string Head(const KeepsakeOwner& owner) {
  std::string head(kMagic);
  AppendInteger(owner.plan_digest.size(), head);
  head += owner.plan_digest;
  AppendInteger(owner.unit, head);
  AppendInteger(owner.segment, head);
  return head;
}

bool TakeInteger(std::string_view& bytes, uint64_t& value) {
  if (bytes.size() < sizeof(value)) return false;
  std::memcpy(&value, bytes.data(), sizeof(value));
  bytes.remove_prefix(sizeof(value));
  return true;
}

}  // namespace

std::string KeepsakeKey(std::string_view job_uid, uint32_t unit, uint32_t segment) {
  return absl::StrCat(std::string(kWorkPrefix), std::string(job_uid), "/keep/", unit, "-", segment);
}

std::string PackKeepsakes(const KeepsakeOwner& owner, const std::vector<Keepsake>& leaves) {
  std::string out = Head(owner);
  size_t values = 0;
  for (const Keepsake& leaf : leaves) values += leaf.values.size();
  out.reserve(out.size() + 8 * (1 + leaves.size() + values) + kDigestBytes);
  AppendInteger(leaves.size(), out);
  for (const Keepsake& leaf : leaves) {
    AppendInteger(leaf.values.size(), out);
    out.append(reinterpret_cast<const char*>(leaf.values.data()),
               leaf.values.size() * sizeof(double));
  }
  out += DigestHex(out);
  return out;
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
  bytes.remove_prefix(head.size());
  uint64_t count = 0;
  if (!TakeInteger(bytes, count) || count > bytes.size()) return damaged;
  std::vector<Keepsake> leaves(count);
  for (Keepsake& leaf : leaves) {
    uint64_t size = 0;
    if (!TakeInteger(bytes, size) || size > bytes.size() / sizeof(double)) return damaged;
    leaf.values.resize(size);
    if (size > 0) std::memcpy(leaf.values.data(), bytes.data(), size * sizeof(double));
    bytes.remove_prefix(size * sizeof(double));
  }
  if (!bytes.empty()) return damaged;
  return leaves;
}

}  // namespace merganser
