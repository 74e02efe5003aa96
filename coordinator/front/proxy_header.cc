#include "coordinator/front/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace merganser::front {
namespace {

using Result = absl::StatusOr<std::optional<ProxyHeader>>;

constexpr std::string_view kText = "PROXY ";
constexpr size_t kMaxText = 107;  // with the line's end
constexpr std::string_view kBinary("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kBinaryHead = 16;

absl::Status None() {
  return absl::InvalidArgumentError(
      "a PROXY header is expected here (--behind-proxy): connect to the proxy");
}

absl::Status Malformed() {
  return absl::InvalidArgumentError("found a PROXY header that cannot be read");
}

bool IsPrefix(std::string_view bytes, std::string_view of) {
  return bytes.substr(0, of.size()) == of.substr(0, bytes.size());
}

std::optional<sockaddr_storage> AddressOf(int family, const std::string& host,
                                          std::string_view port) {
  uint32_t number = 0;
  const bool digits = port.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits || !absl::SimpleAtoi(std::string(port), &number) || number > 65535) {
    return std::nullopt;
  }
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  (family == AF_INET ? v4.sin_port : v6.sin6_port) = htons(static_cast<uint16_t>(number));
  void* const to = family == AF_INET ? static_cast<void*>(&v4.sin_addr) : &v6.sin6_addr;
  if (::inet_pton(family, host.c_str(), to) != 1) return std::nullopt;
  return address;
}

Result ParseText(std::string_view bytes) {
  const size_t end = bytes.substr(0, kMaxText).find("\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() >= kMaxText) return Malformed();
    return std::nullopt;
  }
  ProxyHeader header;
  header.bytes = end + 2;
  const std::vector<std::string> words =
      absl::StrSplit(std::string(bytes.substr(kText.size(), end - kText.size())), ' ');
  if (words[0] == "UNKNOWN") return header;  // whatever follows
  const bool v6 = words[0] == "TCP6";
  if (words.size() != 5 || (!v6 && words[0] != "TCP4")) return Malformed();
  const int family = v6 ? AF_INET6 : AF_INET;
  const auto from = AddressOf(family, words[1], words[3]);
  const auto to = AddressOf(family, words[2], words[4]);
  if (!from.has_value() || !to.has_value()) return Malformed();
  header.client = Endpoints{*from, *to};
  return header;
}

// Two addresses, then two ports, as the wire has them.
Endpoints ReadIpv4(std::string_view bytes) {
  Endpoints ends;
  const char* at = bytes.data();
  for (sockaddr_storage* end : {&ends.from, &ends.to}) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(*end);
    v4.sin_family = AF_INET;
    const size_t second = end == &ends.to ? 1 : 0;
    std::memcpy(&v4.sin_addr, at + 4 * second, 4);
    std::memcpy(&v4.sin_port, at + 8 + 2 * second, 2);
  }
  return ends;
}

Endpoints ReadIpv6(std::string_view bytes) {
  Endpoints ends;
  const char* at = bytes.data();
  for (sockaddr_storage* end : {&ends.from, &ends.to}) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(*end);
    v6.sin6_family = AF_INET6;
    const size_t second = end == &ends.to ? 1 : 0;
    std::memcpy(&v6.sin6_addr, at + 16 * second, 16);
    std::memcpy(&v6.sin6_port, at + 32 + 2 * second, 2);
  }
  return ends;
}

Result ParseBinary(std::string_view bytes) {
  if (bytes.size() < kBinaryHead) return std::nullopt;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  const size_t length = size_t{byte(14)} << 8 | byte(15);
  const bool local = byte(12) == 0x20;  // version and command
  if ((!local && byte(12) != 0x21) || kBinaryHead + length > kMaxProxyHeader) return Malformed();
  if (bytes.size() < kBinaryHead + length) return std::nullopt;
  ProxyHeader header;
  header.bytes = kBinaryHead + length;
  if (local) return header;
  const std::string_view addresses = bytes.substr(kBinaryHead, length);
  switch (byte(13)) {  // family and protocol
    case 0x11:         // TCP over IPv4
      if (length < 12) return Malformed();
      header.client = ReadIpv4(addresses);
      return header;
    case 0x21:  // TCP over IPv6
      if (length < 36) return Malformed();
      header.client = ReadIpv6(addresses);
      return header;
    case 0x00:  // not told
    case 0x31:  // a socket of the proxy's own machine
      return header;
    default:
      return Malformed();
  }
}

}  // namespace

Result ParseProxyHeader(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  if (IsPrefix(bytes, kText)) {
    if (bytes.size() < kText.size()) return std::nullopt;
    return ParseText(bytes);
  }
  if (IsPrefix(bytes, kBinary)) return ParseBinary(bytes);
  return None();
}

}  // namespace merganser::front
