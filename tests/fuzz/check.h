// What fuzz targets are made of: how one of them says that a promise was broken, and how it takes
// its input apart.
#ifndef MERGANSER_TESTS_FUZZ_CHECK_H_
#define MERGANSER_TESTS_FUZZ_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

// Every target defines it; the test of the seeds, which links all targets, gives each another name.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace merganser::fuzz {

// Ends the process where `holds` is false, with the place and `detail`, which is shown on one line:
// libFuzzer then keeps the input.
void Require(bool holds, std::string_view what, std::string_view detail = "",
             std::source_location place = std::source_location::current());

// An error has one of `codes`, and a message of one line that is UTF-8 and no longer than
// kMostMessage, whatever the input was.
inline constexpr size_t kMostMessage = 4096;
void RequireRefusal(const absl::Status& status, std::initializer_list<absl::StatusCode> codes,
                    std::source_location place = std::source_location::current());

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Exactly `count` parts of `input`, which stand between lines "%%". Missing ones are empty; what
// comes behind the last separator that is needed is the last part.
std::vector<std::string_view> PartsOf(std::string_view input, size_t count);

// The whole number that `text` begins with, at most `most`; 0 where it begins with none.
uint64_t NumberIn(std::string_view text, uint64_t most);

}  // namespace merganser::fuzz

#endif  // MERGANSER_TESTS_FUZZ_CHECK_H_
