// Outputs as a merge that was killed leaves them, on record in tests/data/working.
#ifndef MERGANSER_TESTS_COMMON_ENGINE_RECORDED_FOLDER_H_
#define MERGANSER_TESTS_COMMON_ENGINE_RECORDED_FOLDER_H_

#include <map>
#include <string>

namespace merganser {

// Where the test says of a claim whose it is: the host's name, as that decides who may take it
// over.
inline constexpr const char* kRecordedHost = "HOST";
// And its process, which has ended: no machine gives out such a number.
inline constexpr int kRecordedPid = 1 << 30;

// {path below it: bytes} of all files of a folder.
std::map<std::string, std::string> ReadFolder(const std::string& path);

// The files as they were, with this machine's name in the claim.
void PutFolder(const std::map<std::string, std::string>& files, const std::string& path);

// `files` with what a run has of its own taken out of the claim: time, host and process.
std::map<std::string, std::string> Recordable(std::map<std::string, std::string> files);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_ENGINE_RECORDED_FOLDER_H_
