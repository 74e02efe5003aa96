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

namespace {

void EncodeFields(const ReportFields& fields,
                  google::protobuf::RepeatedPtrField<v1::ReportField>& proto) {
  for (const ReportField& field : fields) {
    v1::ReportField& f = *proto.Add();
    f.set_key(field.key);
    f.mutable_values()->Add(field.values.begin(), field.values.end());
    f.set_list(field.list);
    f.set_adds(field.adds);
  }
}

ReportFields DecodeFields(const google::protobuf::RepeatedPtrField<v1::ReportField>& proto) {
  ReportFields fields;
  for (const v1::ReportField& f : proto) {
    fields.push_back({f.key(), {f.values().begin(), f.values().end()}, f.list(), f.adds()});
  }
  return fields;
}

// What a round of analysis found.
void EncodeAnalysis(const UnitResult& result, v1::UnitResult& proto) {
  for (const GroupStats::LeafSums& leaf : result.sums) {
    v1::LeafSums& l = *proto.add_sums();
    l.set_tensor(leaf.tensor);
    l.set_leaf(leaf.leaf);
    l.mutable_sums()->Add(leaf.sums.begin(), leaf.sums.end());
  }
  for (const GroupCounts& group : result.counts) {
    v1::GroupCounts& g = *proto.add_counts();
    g.set_group(group.group);
    uint64_t last = 0;
    for (const auto& [key, count] : group.counts) {
      g.add_key_steps(key - last);
      g.add_counts(count);
      last = key;
    }
  }
  for (const std::string& digest : result.keepsake_digests) proto.add_keepsake_digests(digest);
  for (const GroupReport& group : result.groups) {
    v1::GroupReport& g = *proto.add_groups();
    g.set_group(group.group);
    EncodeFields(group.fields, *g.mutable_fields());
  }
}

absl::Status DecodeAnalysis(const v1::UnitResult& proto, const Plan& plan, const std::string& name,
                            UnitResult& result) {
  for (const v1::LeafSums& l : proto.sums()) {
    if (l.tensor() >= plan.tensors.size() || l.leaf() >= plan.tensors[l.tensor()].leaves ||
        plan.tensors[l.tensor()].group < 0) {
      return Malformed(absl::StrCat(name, "found sums of leaf ", l.leaf(), " of tensor ",
                                    l.tensor(), ", which shares no gate in the plan"));
    }
    result.sums.push_back({l.tensor(), l.leaf(), {l.sums().begin(), l.sums().end()}});
  }
  for (const v1::GroupCounts& g : proto.counts()) {
    if (g.group() >= plan.groups.size() || g.key_steps_size() != g.counts_size()) {
      return Malformed(absl::StrCat(name, "found a histogram of group ", g.group(), " with ",
                                    g.key_steps_size(), " keys and ", g.counts_size(),
                                    " counts, expected one of ", plan.groups.size(),
                                    " groups and as many of both"));
    }
    GroupCounts group;
    group.group = g.group();
    uint64_t key = 0;
    for (int i = 0; i < g.counts_size(); ++i) {
      if (i > 0 && g.key_steps(i) == 0) {
        return Malformed(absl::StrCat(name, "found a key twice in the histogram of group ",
                                      g.group(), ", expected them to ascend"));
      }
      key += g.key_steps(i);
      group.counts.emplace_back(key, g.counts(i));
    }
    result.counts.push_back(std::move(group));
  }
  for (const std::string& digest : proto.keepsake_digests()) {
    if (!digest.empty() && !IsDigest(digest)) {
      return Malformed(absl::StrCat(name, "found the keepsake digest \"", OneLine(digest),
                                    "\", expected none or 32 lower-case hex digits"));
    }
    result.keepsake_digests.push_back(digest);
  }
  for (const v1::GroupReport& g : proto.groups()) {
    if (g.group() >= plan.groups.size()) {
      return Malformed(
          absl::StrCat(name, "found a report on group ", g.group(), " of ", plan.groups.size()));
    }
    result.groups.push_back({g.group(), DecodeFields(g.fields())});
  }
  return absl::OkStatus();
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
    EncodeFields(leaf.fields, *l.mutable_fields());
    l.set_seconds(leaf.seconds);
  }
  proto.set_bytes_read(result.bytes_read);
  proto.set_bytes_written(result.bytes_written);
  proto.set_seconds(result.seconds);
  proto.set_worker(result.worker);
  proto.set_round(result.round);
  v1::StageSeconds& stages = *proto.mutable_stages();
  stages.set_wait(result.stages.wait);
  stages.set_read(result.stages.read);
  stages.set_compute(result.stages.compute);
  stages.set_write(result.stages.write);
  stages.set_flush(result.stages.flush);
  EncodeAnalysis(result, proto);
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
  result.round = proto.round();
  if (static_cast<int64_t>(proto.round()) >= std::max(plan.rounds, 1)) {
    return Malformed(
        absl::StrCat(name, "found round ", proto.round(), " of a plan of ", plan.rounds));
  }
  const size_t digests = IsLastRound(plan, proto.round()) ? unit.segments.size() : 0;
  if (static_cast<size_t>(proto.segment_digests_size()) != digests) {
    return Malformed(absl::StrCat(name, "found ", proto.segment_digests_size(),
                                  " segment digests, expected ", digests));
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
    leaf.fields = DecodeFields(l.fields());
    leaf.seconds = l.seconds();
    result.leaves.push_back(std::move(leaf));
  }
  result.bytes_read = proto.bytes_read();
  result.bytes_written = proto.bytes_written();
  result.seconds = proto.seconds();
  result.worker = proto.worker();
  const v1::StageSeconds& stages = proto.stages();
  result.stages = {stages.wait(), stages.read(), stages.compute(), stages.write(), stages.flush()};
  MERGANSER_RETURN_IF_ERROR(DecodeAnalysis(proto, plan, name, result));
  return result;
}

std::string SerializeGates(const Gates& gates) {
  v1::Gates proto;
  for (const Gate& gate : gates) {
    v1::Gates::Gate& g = *proto.add_gates();
    g.mutable_values()->Add(gate.values.begin(), gate.values.end());
    g.set_settled(gate.settled);
  }
  return proto.SerializeAsString();
}

absl::StatusOr<Gates> ParseGates(std::string_view bytes, const Plan& plan) {
  v1::Gates proto;
  if (bytes.size() > kMaxGatesBytes ||
      !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      static_cast<size_t>(proto.gates_size()) != plan.groups.size()) {
    return absl::InvalidArgumentError(absl::StrCat("gates: found ", bytes.size(),
                                                   " bytes, expected the gates of ",
                                                   plan.groups.size(), " groups"));
  }
  Gates gates;
  for (const v1::Gates::Gate& g : proto.gates()) {
    gates.push_back({{g.values().begin(), g.values().end()}, g.settled()});
  }
  return gates;
}

}  // namespace merganser
