// JSON as Python writes it: NaN, Infinity and -Infinity are numbers there, and in no standard.
// Models with state space layers have them ("time_step_limit": [0.0, Infinity]).
#ifndef MERGANSER_COMMON_FORMAT_PYTHON_NUMBERS_H_
#define MERGANSER_COMMON_FORMAT_PYTHON_NUMBERS_H_

#include <string>
#include <string_view>

namespace merganser {

// What stands for them in JSON of the standard.
struct PythonNumbers {
  std::string nan, infinity;
};

// `text` with `numbers` in the place of NaN and Infinity (of -Infinity the sign stays; -NaN is
// none of Python's), but not in strings.
std::string ReplacePythonNumbers(std::string_view text, const PythonNumbers& numbers);

// Numbers whose spelling `text` does not hold, so that they are told from all others of it.
PythonNumbers UnusedNumbers(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_FORMAT_PYTHON_NUMBERS_H_
