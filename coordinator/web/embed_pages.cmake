# Writes OUT, a C++ source with the pages' script and style sheet.
#   cmake -DPAGES=folder -DMODULES="a.js b.js" -DOUT=file -P embed_pages.cmake
# MODULES in the order in which they need each other. Each is an ES module by itself, for a server
# that serves files; joined, a module sees the names of all others, so imports and the word export
# go. That takes a form of both which is checked here, and names that no two modules share, which a
# browser checks.
cmake_minimum_required(VERSION 3.25)
separate_arguments(MODULES)
set(script "")
set(before "")
foreach(module ${MODULES})
  file(READ "${PAGES}/${module}" text)
  string(REGEX MATCHALL "(^|\n)import [^\n]*" imports "${text}")
  foreach(line IN LISTS imports)  # a list ends its elements at semicolons
    if(line STREQUAL "")
      continue()
    endif()
    if(NOT line MATCHES "import { [A-Za-z_, ]+ } from '\\./([a-z_]+\\.js)'$")
      message(FATAL_ERROR "${module}: found '${line}', expected import { NAMES } from './FILE.js'; on one line")
    endif()
    if(NOT CMAKE_MATCH_1 IN_LIST before)
      message(FATAL_ERROR "${module} imports ${CMAKE_MATCH_1}, which stands behind it or is missing in MODULES")
    endif()
  endforeach()
  string(REGEX REPLACE "(^|\n)import [^\n]*" "" text "${text}")
  string(REGEX REPLACE "(^|\n)export (function|const|class|let) " "\\1\\2 " text "${text}")
  if(text MATCHES "(^|\n)export ")
    message(FATAL_ERROR "${module}: expected export function, const, class or let")
  endif()
  string(APPEND script "\n// ${module}\n${text}")
  list(APPEND before ${module})
endforeach()
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
