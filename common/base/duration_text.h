// Durations as people read them.
#ifndef MERGANSER_COMMON_BASE_DURATION_TEXT_H_
#define MERGANSER_COMMON_BASE_DURATION_TEXT_H_

#include <string>

namespace merganser {

// What something took: two digits below 10 s ("50 ms", "0.25 s", "4.1 s"), then "48 s",
// "2 min 31 s", "1 h 10 min", "3 d 4 h". Negative seconds count as none.
std::string DurationText(double seconds);

// What is left of something, which nobody knows to the second: "a few seconds" below 10 s, then
// "about 65 s" in steps of 5 s below 2 min, "about 53 min" below an hour, and "about 2 h 35 min" in
// steps of 5 min above.
std::string TimeLeftText(double seconds);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_DURATION_TEXT_H_
