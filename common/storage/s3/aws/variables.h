// The environment as a value, so that tests have one of their own.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_VARIABLES_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_VARIABLES_H_

#include <map>
#include <string>
#include <string_view>

namespace merganser::s3 {

// Some hold secrets: shown by name alone.
using Variables = std::map<std::string, std::string, std::less<>>;

// HOME, else this user's home as the system knows it, and all whose names begin with "AWS_".
Variables ProcessVariables();

// Empty where it is not set.
std::string Get(const Variables& variables, std::string_view name);

// The first of two that is not empty.
std::string FirstOf(const Variables& variables, std::string_view name, std::string_view otherwise);

// Whether it is "true", in any case.
bool IsTrue(std::string_view text);

// `path` with the home in the place of a "~/" at its beginning.
std::string WithHome(const Variables& variables, std::string_view path);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_VARIABLES_H_
