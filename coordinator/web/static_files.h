// What browsers are served as it is, embedded at build (embed_static.cmake).
#ifndef MERGANSER_COORDINATOR_WEB_STATIC_FILES_H_
#define MERGANSER_COORDINATOR_WEB_STATIC_FILES_H_

#include <span>
#include <string_view>

namespace merganser::web {

// All live as long as the process.
struct StaticFile {
  // "app.0f6b5f1d6b3a.js". A name with twelve hexadecimal digits of its bytes' digest, between
  // dots, stands for these bytes for ever; others may change.
  std::string_view name;
  std::string_view type;    // as Content-Type has it
  std::string_view bytes;   // UTF-8
  std::string_view sha256;  // of the bytes, 64 hexadecimal digits
};

// "index.html", the shell of every page, is among them.
std::span<const StaticFile> StaticFiles();

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_STATIC_FILES_H_
