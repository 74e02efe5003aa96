// JSON as a sequence of events, so that a reader checks names, lengths and
// depth while the text is read and never builds a tree of somebody else's size.
#ifndef MERGANSER_COMMON_FORMAT_JSON_EVENTS_H_
#define MERGANSER_COMMON_FORMAT_JSON_EVENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace merganser {

struct JsonEvent {
  enum class Kind {
    kNull,
    kBool,
    kUnsigned,  // an integer in [0, 2^64)
    kNegative,  // an integer in [-2^63, 0)
    kReal,      // any other number
    kString,
    kKey,  // of the object's next member; keys may repeat
    kObjectBegin,
    kObjectEnd,
    kArrayBegin,
    kArrayEnd,
  };
  Kind kind = Kind::kNull;
  bool boolean = false;
  uint64_t number = 0;  // kUnsigned
  double real = 0;      // kUnsigned, kNegative, kReal
  // kString, kKey: decoded, well-formed UTF-8, valid until the handler returns.
  // kReal: as written.
  std::string_view text = {};
};

// What an event is, for messages: "the string \"x\"", "the number -1", "an array".
std::string DescribeJson(const JsonEvent& event);

class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  // An error ends the reading and is what ReadJson returns.
  virtual absl::Status On(const JsonEvent& event) = 0;
};

// Feeds one JSON value, which must fill `text` but for white space, to
// `handler`. kDataLoss with the byte's position when `text` is not UTF-8 or not
// JSON (RFC 8259; no comments, no byte order mark), or is nested deeper than
// `max_depth`. Uses stack of a fixed size, whatever the depth.
absl::Status ReadJson(std::string_view text, size_t max_depth, JsonHandler& handler);

}  // namespace merganser

#endif  // MERGANSER_COMMON_FORMAT_JSON_EVENTS_H_
