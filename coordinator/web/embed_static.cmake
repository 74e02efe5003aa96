# Writes OUT, a C++ source of static_files.h with all files of FOLDER, which are text.
#   cmake -DFOLDER=folder -DOUT=file -P embed_static.cmake
cmake_minimum_required(VERSION 3.25)
set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")
file(GLOB names RELATIVE ${FOLDER} ${FOLDER}/*)
list(SORT names)
if(NOT "index.html" IN_LIST names)
  message(FATAL_ERROR "${FOLDER}: found no index.html")
endif()
set(texts "")
set(table "")
set(number 0)
foreach(name ${names})
  file(READ "${FOLDER}/${name}" text)
  file(SHA256 "${FOLDER}/${name}" hash)
  string(REGEX REPLACE ".*\\." "" ending "${name}")
  if(NOT DEFINED type_${ending})
    message(FATAL_ERROR "${FOLDER}/${name}: expected .html, .js, .css or .svg")
  endif()
  if("${text}" MATCHES "\\)merganser\"")
    message(FATAL_ERROR "${FOLDER}/${name}: it would end the literal that holds it")
  endif()
  string(APPEND texts "constexpr char kFile${number}[] = R\"merganser(${text})merganser\";\n")
  string(APPEND table "    {\"${name}\", \"${type_${ending}}\", {kFile${number}, sizeof(kFile${number}) - 1},\n     \"${hash}\"},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUT}" "// Made by coordinator/web/embed_static.cmake.
#include \"coordinator/web/static_files.h\"

namespace merganser::web {
namespace {

${texts}
constexpr StaticFile kFiles[] = {
${table}};

}  // namespace

std::span<const StaticFile> StaticFiles() { return kFiles; }

}  // namespace merganser::web
")
