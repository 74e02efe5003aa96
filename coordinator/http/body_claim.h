// What a request says of its body before it comes.
#ifndef MERGANSER_COORDINATOR_HTTP_BODY_CLAIM_H_
#define MERGANSER_COORDINATOR_HTTP_BODY_CLAIM_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "coordinator/http/message.h"

namespace merganser::http {

struct BodyClaim {
  bool chunked = false;
  std::optional<uint64_t> bytes;
  std::string_view wrong;  // what is wrong with it, or nothing
};

// By its Content-Length and Transfer-Encoding, of which there may be one. Pure.
BodyClaim ClaimOf(const Request& request);

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_BODY_CLAIM_H_
