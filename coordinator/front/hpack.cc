#include "coordinator/front/hpack.h"

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"

namespace merganser::front {
namespace {

// A number whose first byte has `bits` for it, below `first` (5.1).
void WriteNumber(std::string& to, size_t number, int bits, uint8_t first) {
  const size_t limit = (size_t{1} << bits) - 1;
  if (number < limit) {
    to += static_cast<char>(first | number);
    return;
  }
  to += static_cast<char>(first | limit);
  for (number -= limit; number >= 128; number /= 128) to += static_cast<char>(number % 128 + 128);
  to += static_cast<char>(number);
}

void WriteString(std::string& to, std::string_view text) {
  WriteNumber(to, text.size(), 7, 0);
  to.append(text);
}

// As gRPC has messages in headers: printable ASCII but for the percent sign as it is.
std::string PercentEncoded(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      encoded += c;
    } else {
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return encoded;
}

std::string_view Text(const uint8_t* bytes, size_t count) {
  return {reinterpret_cast<const char*>(bytes), count};
}

}  // namespace

void HeaderReader::Free::operator()(nghttp2_hd_inflater* inflater) const {
  nghttp2_hd_inflate_del(inflater);
}

HeaderReader::HeaderReader(size_t max_bytes) : max_bytes_(max_bytes) {}

absl::StatusOr<Headers> HeaderReader::Read(std::string_view block) {
  if (inflater_ == nullptr) {
    nghttp2_hd_inflater* made = nullptr;
    if (nghttp2_hd_inflate_new(&made) != 0) return absl::ResourceExhaustedError("out of memory");
    inflater_.reset(made);
  }
  Headers headers;
  size_t said = 0;
  const auto* at = reinterpret_cast<const uint8_t*>(block.data());
  size_t left = block.size();
  while (true) {
    nghttp2_nv field{};
    int flags = 0;
    const ssize_t used =
        nghttp2_hd_inflate_hd2(inflater_.get(), &field, &flags, at, left, /*in_final=*/1);
    if (used < 0) return absl::InvalidArgumentError("headers that cannot be read");
    at += used;
    left -= static_cast<size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      // A few bytes can name a long entry of the table again and again.
      said += field.namelen + field.valuelen + 32;
      if (said > max_bytes_) return absl::ResourceExhaustedError("headers over the limit");
      headers.emplace_back(Text(field.name, field.namelen), Text(field.value, field.valuelen));
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) break;
  }
  nghttp2_hd_inflate_end_headers(inflater_.get());
  return headers;
}

std::string WriteHeaders(const Headers& headers) {
  std::string block;
  for (const auto& [name, value] : headers) {
    block += '\0';  // a literal, not to be indexed, with a name of its own (6.2.2)
    WriteString(block, name);
    WriteString(block, value);
  }
  return block;
}

Headers AnswerHeaders(const CallStatus& status) {
  Headers headers = {{":status", "200"},
                     {"content-type", "application/grpc"},
                     {"grpc-status", std::to_string(status.code)}};
  if (!status.message.empty()) headers.emplace_back("grpc-message", PercentEncoded(status.message));
  if (!status.details.empty()) {
    std::string encoded = absl::Base64Escape(status.details);
    // Without padding, which receivers need not take.
    while (!encoded.empty() && encoded.back() == '=') encoded.pop_back();
    headers.emplace_back("grpc-status-details-bin", std::move(encoded));
  }
  return headers;
}

}  // namespace merganser::front
