#include "tests/common/engine/recorded_folder.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "common/base/clock.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

}  // namespace

std::map<std::string, std::string> ReadFolder(const std::string& path) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files[fs::relative(entry.path(), path).string()] =
        std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

void PutFolder(const std::map<std::string, std::string>& files, const std::string& path) {
  for (const auto& [name, bytes] : files) {
    const fs::path at = fs::path(path) / name;
    fs::create_directories(at.parent_path());
    std::string text = bytes;
    if (name == kClaimKey) {
      Json claim = Json::parse(text);
      if (claim.at("host") == kRecordedHost) {
        claim["host"] = MakeClaim("merge-1", 1, SystemClock()).host;
      }
      text = claim.dump() + "\n";
    }
    std::ofstream(at, std::ios::binary) << text;
  }
}

std::map<std::string, std::string> Recordable(std::map<std::string, std::string> files) {
  const auto claim = files.find(std::string(kClaimKey));
  EXPECT_NE(claim, files.end());
  if (claim == files.end()) return files;
  Json json = Json::parse(claim->second);
  json["started"] = "2026-01-01T00:00:00Z";
  json["host"] = kRecordedHost;
  json["pid"] = kRecordedPid;
  json["process"] = "";
  claim->second = json.dump() + "\n";
  return files;
}

}  // namespace merganser
