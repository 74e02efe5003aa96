#include "proto/channel/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

std::string HostOf(std::string_view address) {
  std::string host(address.substr(0, address.rfind(':')));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

}  // namespace

bool IsLoopback(std::string_view address) {
  if (address.rfind(':') == std::string_view::npos) return false;
  const std::string host = HostOf(address);
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string TokenFileName(std::string_view address) {
  std::string name(address);
  for (char& c : name) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' ||
                       c == ':' || c == '[' || c == ']';
    if (!plain) c = '_';
  }
  return absl::StrCat(name, ".token");
}

std::vector<std::string> TokenFileNames(std::string_view address) {
  std::vector<std::string> names = {TokenFileName(address)};
  if (!IsLoopback(address)) return names;  // nobody else gets to see a token of this machine
  const std::string port(address.substr(address.rfind(':') + 1));
  for (const char* host : {"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]"}) {
    const std::string name = TokenFileName(absl::StrCat(host, ":", port));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace merganser
