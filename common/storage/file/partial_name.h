// The names of files that are not objects yet. All of them begin with '.' and
// end with ".partial", stand beside the file that they will become, and are
// hidden from List.
#ifndef MERGANSER_COMMON_STORAGE_FILE_PARTIAL_NAME_H_
#define MERGANSER_COMMON_STORAGE_FILE_PARTIAL_NAME_H_

#include <string>
#include <string_view>

namespace merganser {

// "/a/.NAME.WRITER.partial" for "/a/NAME". No two pairs share a name, because a
// writer holds no dot.
std::string PartialPath(const std::string& path, std::string_view writer);

// A name beside `path` that no other call, process or machine is likely to use
// and no PartialPath is.
std::string TemporaryPath(const std::string& path);

// Whether `name` is the last segment of a TemporaryPath.
bool IsTemporaryName(std::string_view name);

// True for the last segment of the paths above.
bool IsPartialName(std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_PARTIAL_NAME_H_
