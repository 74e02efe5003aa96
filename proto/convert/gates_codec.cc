#include "proto/convert/gates_codec.h"

#include "absl/strings/str_cat.h"
#include "proto/merganser/v1/stats.pb.h"

namespace merganser {

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
