#include "common/engine/unit_result.h"

#include <string_view>

#include "common/base/digest.h"

namespace merganser {

std::string UnitResult::Checksum() const {
  Digester digester;
  for (const std::string& digest : segment_digests) digester.UpdateField(digest);
  for (const std::string& digest : keepsake_digests) digester.UpdateField(digest);
  const auto bytes = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof(values[0]));
  };
  for (const GroupStats::LeafSums& leaf : sums) digester.UpdateField(bytes(leaf.sums));
  for (const GroupCounts& group : counts) digester.UpdateField(bytes(group.counts));
  return digester.Hex();
}

}  // namespace merganser
