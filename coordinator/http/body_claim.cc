#include "coordinator/http/body_claim.h"

#include <vector>

#include "absl/strings/ascii.h"

namespace merganser::http {

BodyClaim ClaimOf(const Request& request) {
  BodyClaim claim;
  const std::vector<std::string_view> lengths = request.All("content-length"),
                                      codings = request.All("transfer-encoding");
  // Who says both, or one twice, means one request to a proxy and another to us.
  if (lengths.size() + codings.size() > 1) {
    claim.wrong = "found more than one length, expected one Content-Length or Transfer-Encoding";
    return claim;
  }
  if (!codings.empty()) {
    claim.chunked = true;
    if (absl::AsciiStrToLower(absl::string_view(codings[0].data(), codings[0].size())) !=
        "chunked") {
      claim.wrong = "found a transfer coding that is not known, expected chunked";
    }
  } else if (!lengths.empty()) {
    uint64_t bytes = 0;
    for (const char digit : lengths[0]) {
      if (digit < '0' || digit > '9' || bytes > (uint64_t{1} << 50)) {
        claim.wrong = "found a Content-Length that is no number";
        return claim;
      }
      bytes = bytes * 10 + static_cast<uint64_t>(digit - '0');
    }
    claim.bytes = bytes;
  }
  return claim;
}

}  // namespace merganser::http
