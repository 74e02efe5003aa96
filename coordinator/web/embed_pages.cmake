# Writes OUT, a C++ source with the pages' script and style sheet.
#   cmake -DPAGES=folder -DMODULES="a.js b.js" -DOUT=file -P embed_pages.cmake
# MODULES in the order in which they need each other, see join_modules.cmake.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/join_modules.cmake)
separate_arguments(MODULES)
list(TRANSFORM MODULES PREPEND ${PAGES}/)
join_modules(script ${MODULES})
file(READ "${PAGES}/style.css" style)
foreach(text script style)
  if("${${text}}" MATCHES "</(script|style)")
    message(FATAL_ERROR "${text}: it would end the element that holds it")
  endif()
  string(SHA256 ${text}_hash "${${text}}")
endforeach()
file(WRITE "${OUT}" "// Made by coordinator/web/embed_pages.cmake.
#include \"coordinator/web/assets.h\"

namespace merganser::web {

Asset PageScript() {
  static constexpr char kText[] = R\"merganser(${script})merganser\";
  return {kText, \"${script_hash}\"};
}

Asset PageStyle() {
  static constexpr char kText[] = R\"merganser(${style})merganser\";
  return {kText, \"${style_hash}\"};
}

}  // namespace merganser::web
")
