// What the pages are made of, embedded at build (embed_pages.cmake) from pages/.
#ifndef MERGANSER_COORDINATOR_WEB_ASSETS_H_
#define MERGANSER_COORDINATOR_WEB_ASSETS_H_

#include <string_view>

namespace merganser::web {

struct Asset {
  std::string_view text;
  std::string_view sha256;  // of the text, 64 hexadecimal digits
};

// The modules of pages/ as one module, in the order in which they need each other.
Asset PageScript();
Asset PageStyle();

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_ASSETS_H_
