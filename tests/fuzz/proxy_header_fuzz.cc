// What a proxy says before the client's own bytes.
//
// A header is the same however it is cut up on its way, ends where the client begins, and is known
// to be none before there is too much of it.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "coordinator/front/proxy_header.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

bool Same(const front::ProxyHeader& a, const front::ProxyHeader& b) {
  if (a.bytes != b.bytes || a.client.has_value() != b.client.has_value()) return false;
  if (!a.client.has_value()) return true;
  return std::memcmp(&a.client->from, &b.client->from, sizeof(sockaddr_storage)) == 0 &&
         std::memcmp(&a.client->to, &b.client->to, sizeof(sockaddr_storage)) == 0;
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const std::string_view bytes = TextOf(data, size);
  const auto whole = front::ParseProxyHeader(bytes);
  if (!whole.ok()) RequireRefusal(whole.status(), {absl::StatusCode::kInvalidArgument});
  if (whole.ok() && whole->has_value()) {
    const front::ProxyHeader& header = **whole;
    Require(
        header.bytes > 0 && header.bytes <= bytes.size() && header.bytes <= front::kMaxProxyHeader,
        "a header longer than may be");
    const auto alone = front::ParseProxyHeader(bytes.substr(0, header.bytes));
    Require(alone.ok() && alone->has_value() && Same(**alone, header), "it hangs on what follows");
    if (header.client.has_value()) {
      const auto family = header.client->from.ss_family;
      Require((family == AF_INET || family == AF_INET6) && header.client->to.ss_family == family,
              "ends of other families");
    }
  }
  if (whole.ok() && !whole->has_value()) {
    Require(bytes.size() < front::kMaxProxyHeader, "too much, and nothing is said");
  }
  // Byte by byte, as a slow proxy sends it.
  const size_t most = std::min<size_t>(bytes.size(), 300);
  for (size_t cut = 0; cut < most; ++cut) {
    const auto part = front::ParseProxyHeader(bytes.substr(0, cut));
    if (!part.ok()) {
      Require(!whole.ok(), "refused at first, and taken later");
      break;
    }
    if (!part->has_value()) continue;
    Require(whole.ok() && whole->has_value() && Same(**part, **whole),
            "another when there is more");
    break;
  }
  return 0;
}
