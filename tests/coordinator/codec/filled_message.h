// Messages of which every field is set, by its number and name alone: what they look like on the
// wire changes with the .proto files and with nothing else.
#ifndef MERGANSER_TESTS_COORDINATOR_CODEC_FILLED_MESSAGE_H_
#define MERGANSER_TESTS_COORDINATOR_CODEC_FILLED_MESSAGE_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/message.h"

namespace merganser {

// A message of that type, down to `depth` messages within each other.
std::unique_ptr<google::protobuf::Message> FilledMessage(const google::protobuf::Descriptor& type,
                                                         int depth = 8);

// Its bytes; maps in the order of their keys.
std::string WireBytes(const google::protobuf::Message& message);

// Full names of the messages of `file` that do not stand within others.
std::vector<const google::protobuf::Descriptor*> TopMessages(
    const google::protobuf::FileDescriptor& file);

// Numbers that `message`, or one within it, has and its type neither knows nor reserves: each as
// TYPE.NUMBER.
std::vector<std::string> UnknownFields(const google::protobuf::Message& message);

// Files of recordings: lines of a name, a space, and bytes as 0x and hexadecimal digits.
std::map<std::string, std::string> ReadRecordings(const std::string& path);
bool WriteRecordings(const std::string& path, const std::map<std::string, std::string>& recordings);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_CODEC_FILLED_MESSAGE_H_
