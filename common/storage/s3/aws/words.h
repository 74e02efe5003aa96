// A line split into words as a shell does: names of sections, commands of credential_process.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_WORDS_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_WORDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace merganser::s3 {

// Words between blanks. Quotes keep blanks: between single ones everything stands for itself,
// between double ones a backslash takes away the meaning of '"' and of itself, and outside that of
// any character. Nothing else means anything: no variables, no patterns, no pipes. nullopt where a
// quote has no end.
std::optional<std::vector<std::string>> SplitWords(std::string_view line);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_WORDS_H_
