#include "proto/convert/result_codec.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

absl::Status Malformed(const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("unit result: ", problem));
}

bool IsDigest(const std::string& text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

v1::UnitResult EncodeUnitResult(const UnitResult& result) {
  v1::UnitResult proto;
  proto.set_unit(result.unit);
  for (const std::string& digest : result.segment_digests) proto.add_segment_digests(digest);
  for (const WriteReceipt& receipt : result.receipts) {
    v1::WriteReceipt& r = *proto.add_receipts();
    r.set_offset(receipt.offset);
    r.set_size(receipt.size);
    r.set_proof(receipt.proof);
  }
  for (const LeafReport& leaf : result.leaves) {
    v1::LeafReport& l = *proto.add_leaves();
    l.set_tensor(leaf.tensor);
    l.set_leaf(leaf.leaf);
    for (const ReportField& field : leaf.fields) {
      v1::ReportField& f = *l.add_fields();
      f.set_key(field.key);
      f.mutable_values()->Add(field.values.begin(), field.values.end());
      f.set_list(field.list);
    }
    l.set_seconds(leaf.seconds);
  }
  proto.set_bytes_read(result.bytes_read);
  proto.set_bytes_written(result.bytes_written);
  proto.set_seconds(result.seconds);
  proto.set_worker(result.worker);
  return proto;
}

absl::StatusOr<UnitResult> DecodeUnitResult(const v1::UnitResult& proto, const Plan& plan) {
  if (proto.unit() >= plan.units.size()) {
    return Malformed(
        absl::StrCat("unit: found ", proto.unit(), ", expected less than ", plan.units.size()));
  }
  const Unit& unit = plan.units[proto.unit()];
  const std::string name = absl::StrCat("unit ", proto.unit(), ": ");
  UnitResult result;
  result.unit = proto.unit();
  if (static_cast<size_t>(proto.segment_digests_size()) != unit.segments.size()) {
    return Malformed(absl::StrCat(name, "found ", proto.segment_digests_size(),
                                  " segment digests, expected ", unit.segments.size()));
  }
  for (const std::string& digest : proto.segment_digests()) {
    if (!IsDigest(digest)) {
      return Malformed(absl::StrCat(name, "found the digest \"", OneLine(digest),
                                    "\", expected 32 lower-case hex digits"));
    }
    result.segment_digests.push_back(digest);
  }
  for (const v1::WriteReceipt& r : proto.receipts()) {
    if (r.offset() < unit.begin || r.offset() > unit.end || r.size() > unit.end - r.offset()) {
      return Malformed(absl::StrCat(name, "found a receipt of ", r.size(), " bytes at ", r.offset(),
                                    ", expected it within [", unit.begin, ", ", unit.end, ")"));
    }
    result.receipts.push_back({r.offset(), r.size(), r.proof()});
  }
  for (const v1::LeafReport& l : proto.leaves()) {
    if (l.tensor() >= plan.tensors.size() || l.leaf() >= plan.tensors[l.tensor()].leaves) {
      return Malformed(absl::StrCat(name, "found a report on leaf ", l.leaf(), " of tensor ",
                                    l.tensor(), ", which the plan does not have"));
    }
    LeafReport leaf;
    leaf.tensor = l.tensor();
    leaf.leaf = l.leaf();
    for (const v1::ReportField& f : l.fields()) {
      leaf.fields.push_back({f.key(), {f.values().begin(), f.values().end()}, f.list()});
    }
    leaf.seconds = l.seconds();
    result.leaves.push_back(std::move(leaf));
  }
  result.bytes_read = proto.bytes_read();
  result.bytes_written = proto.bytes_written();
  result.seconds = proto.seconds();
  result.worker = proto.worker();
  return result;
}

}  // namespace merganser
