#include "common/engine/unit_result.h"

#include "common/base/digest.h"

namespace merganser {

std::string UnitResult::Checksum() const {
  Digester digester;
  for (const std::string& digest : segment_digests) digester.UpdateField(digest);
  return digester.Hex();
}

}  // namespace merganser
