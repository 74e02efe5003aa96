// How values get into a page without becoming markup. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_ENCODE_H_
#define MERGANSER_COORDINATOR_WEB_ENCODE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace merganser::web {

// RFC 4648, padded.
std::string Base64(std::string_view bytes);
// Little-endian; kNothing stays NaN.
std::string Base64Floats(std::span<const float> values);
std::string Base64Bytes(std::span<const uint8_t> values);

// The bytes that lower-case hexadecimal digits stand for; what is no digit counts as 0.
std::string FromHex(std::string_view hex);

// Text between tags or in a quoted attribute of HTML: &, <, > and quotes as references, and what
// IsHidden (common/base/utf8.h) as "\u{202e}", except line ends. `text` is UTF-8.
std::string HtmlText(std::string_view text);

// JSON text that may stand within <script>: the same values, without <, > and &. `json` must be
// ASCII on one line (nlohmann's dump with ensure_ascii), so that U+2028 and its like are escaped
// already.
std::string ScriptJson(std::string_view json);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_ENCODE_H_
