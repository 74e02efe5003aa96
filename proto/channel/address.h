// What an address says about who can listen in.
#ifndef MERGANSER_PROTO_CHANNEL_ADDRESS_H_
#define MERGANSER_PROTO_CHANNEL_ADDRESS_H_

#include <string>
#include <string_view>
#include <vector>

namespace merganser {

// Whether HOST:PORT is certain to stay on this machine: localhost, 127.0.0.0/8 or
// ::1. Anything else, names and what cannot be read included, is not.
bool IsLoopback(std::string_view address);

// The name below RuntimeFolder() of the token of a coordinator that listens at
// `address`.
std::string TokenFileName(std::string_view address);

// The names under which a client of `address` looks for that token, the likeliest
// first: its own, and for a loopback address those of the other ways in which a
// coordinator of this machine can listen at that port.
std::vector<std::string> TokenFileNames(std::string_view address);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_ADDRESS_H_
