// Seeds that are made of the repository's samples and by this version's codecs.
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/engine/keepsake.h"
#include "common/engine/result_record.h"
#include "common/engine/rounds.h"
#include "common/format/safetensors.h"
#include "coordinator/front/frames.h"
#include "coordinator/front/hpack.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"
#include "tests/coordinator/codec/sample_plan.h"
#include "tests/fuzz/seeds.h"

namespace merganser::fuzz {
namespace {

constexpr char kBetween[] = "\n%%\n";
constexpr size_t kDigestBytes = 32;

UnitResult WrittenUnit() {
  UnitResult result;
  result.unit = 1;
  result.round = 2;  // the last of three
  result.segment_digests = {std::string(32, 'a'), "0123456789abcdef0123456789abcdef"};
  result.receipts = {{64, 128, "etag"}, {192, 128, ""}};
  LeafReport leaf;
  leaf.leaf = 1;
  leaf.fields = {{"coherence", {0.25}, false}, {"sigma", {3.5, 1.25}, true}, {"none", {}, true}};
  leaf.seconds = 0.5;
  result.leaves = {leaf};
  result.bytes_read = 600;
  result.bytes_written = 256;
  result.seconds = 1.5;
  result.worker = "w";
  result.stages = {0.25, 0.5, 1.25, 0.125, 0.0625};
  return result;
}

UnitResult AnalyzedUnit() {
  UnitResult result;
  result.unit = 1;
  result.sums = {{0, 0, {1.5, -2}}, {0, 1, {}}};
  result.counts = {{0, {{3, 7}, {4, 1}, {uint64_t{1} << 40, 2}}}};
  result.keepsake_digests = {"", std::string(32, 'b')};
  result.groups = {{0, {{"threshold", {0.5}, false, true}}}};
  return result;
}

std::string WithoutDigest(std::string bytes) {
  bytes.resize(bytes.size() - kDigestBytes);
  return bytes;
}

JobPlan SampleJob() {
  JobPlan job;
  job.job = "jobs/a";
  job.job_uid = "a";
  job.plan = SamplePlan();
  job.output_uri = "/models/out";
  job.writes = {{"model.safetensors", 320, "upload"}};
  return job;
}

std::vector<Seed> OfCodecs(std::string_view target) {
  const Plan plan = SamplePlan();
  if (target == "plan_codec") return {{"sample", SerializeJobPlan(SampleJob())}};
  if (target == "result_record") {
    const std::string both = PackResults(plan.digest, {WrittenUnit(), AnalyzedUnit()});
    std::string earlier = PackResults(plan.digest, {});
    earlier.replace(0, 8, "MRGPROG1");
    const std::string kept = PackKeepsakes({plan.digest, 1, 0}, {{{1.5, 2.5}}, {{}}, {{-1}}});
    return {{"both", WithoutDigest(both)},
            {"earlier", WithoutDigest(earlier)},
            {"keepsakes", "K" + WithoutDigest(kept)},
            {"gates", "G" + SerializeGates({{{0.25, -1}, true}})}};
  }
  if (target == "working_folder") {
    const std::string first = WithoutDigest(PackResults(plan.digest, {}));
    const std::string second = WithoutDigest(PackResults(plan.digest, {WrittenUnit()}));
    return {{"progress", absl::StrCat("progress/2-000000\n", first, kBetween, "progress/2-000001\n",
                                      second, kBetween, "progress/3-after\n2 2\n", kBetween,
                                      "progress/3-000000\n", first)}};
  }
  return {};
}

std::vector<Seed> OfFront(std::string_view target) {
  using namespace std::string_literals;
  if (target == "http2_frames") {
    const std::string call = front::WriteHeaders({{":method", "POST"},
                                                  {":scheme", "http"},
                                                  {":path", "/merganser.v1.MergeService/GetJob"},
                                                  {"te", "trailers"},
                                                  {"authorization", "Bearer token"}});
    const std::string answer = front::WriteHeaders(front::AnswerHeaders({}));
    // Static entries, a literal that is indexed, and the entry that it becomes.
    const std::string indexed = "\x82\x86\x84\x40\x0a"s + "custom-key\x0d" + "custom-header";
    return {{"call", call},
            {"answer", call + kBetween + answer},
            {"indexed", indexed + kBetween + "\xbe" + kBetween + "\x20\xbe"},
            {"settings", front::SettingsFrame()},
            {"go_away", front::GoAwayFrame(front::Http2Error::kEnhanceYourCalm, "calm")}};
  }
  if (target == "proxy_header") {
    const std::string head = "\r\n\r\n\0\r\nQUIT\n"s;
    const std::string four =
        head + "\x21\x11\0\x0c"s + "\x0a\0\0\x07\x0a\0\0\x01"s + "\xc3\x50\x1d\x2f"s;
    std::string six = head + "\x21\x21\0\x27"s + std::string(15, '\0') + "\x01" +
                      std::string(15, '\0') + "\x01" + "\xc3\x50\x1d\x2f"s + "\x04\0\0"s;
    return {{"v2_four", four + "GET /"},
            {"v2_six", six + "PRI"},
            {"v2_local", head + "\x20\0\0\0"s},
            {"v2_unix", head + "\x21\x31\0\0"s}};
  }
  return {};
}

// The JSON text of the header of one of the sample models, with its data's size before it.
Seed HeaderOf(const std::string& path) {
  std::string bytes = FileBytes(path);
  const auto length = ParseSafetensorsPrefix(bytes, bytes.size());
  const uint64_t end = kSafetensorsPrefix + length.value_or(0);
  return {"sample_model", absl::StrCat(bytes.size() - end, kBetween,
                                       bytes.substr(kSafetensorsPrefix, end - kSafetensorsPrefix))};
}

std::vector<Seed> OfSamples(const std::string& source, std::string_view target) {
  const std::string data = source + "/tests/data/";
  const std::string experts = data + "experts/";
  const auto config = [&] { return FileBytes(experts + "base/config.json"); };
  if (target == "safetensors_header") {
    return {HeaderOf(experts + "expert_add_sharded/model-00003-of-00003.safetensors")};
  }
  if (target == "hf_index") {
    return {
        {"sample_model", FileBytes(experts + "expert_add_sharded/model.safetensors.index.json")}};
  }
  if (target == "model_config") return {{"sample_model", config() + kBetween + config()}};
  if (target == "config_rewrite")
    return {{"sample_model", "acdf" + std::string(kBetween) + config()}};
  if (target == "json_text") return {{"sample_model", config()}};
  if (target == "tokenizer_files") {
    const std::string tokenizer = FileBytes(experts + "base/tokenizer.json");
    const std::string settings = FileBytes(experts + "base/tokenizer_config.json");
    return {{"sample_model",
             tokenizer + kBetween + settings + kBetween + tokenizer + kBetween + settings}};
  }
  if (target == "tokenizer_settings") {
    return {{"sample_model", "{{ messages }}" + std::string(kBetween) +
                                 FileBytes(experts + "base/tokenizer_config.json") + kBetween +
                                 config()},
            {"sample_generation", "x" + std::string(kBetween) +
                                      FileBytes(experts + "base/generation_config.json") +
                                      kBetween + config()}};
  }
  std::vector<Seed> seeds;
  if (target == "recipe") {
    for (const char* folder : {"recipes", "inputs"}) {
      for (const auto& entry : std::filesystem::directory_iterator(data + folder)) {
        if (entry.path().extension() != ".yaml") continue;
        seeds.push_back({"sample_" + entry.path().stem().string(), FileBytes(entry.path())});
      }
    }
  }
  return seeds;
}

}  // namespace

std::vector<Seed> MadeSeeds(const std::string& source, std::string_view target) {
  std::vector<Seed> seeds = OfCodecs(target);
  for (std::vector<Seed>& more : std::vector{OfFront(target), OfSamples(source, target)}) {
    for (Seed& seed : more) seeds.push_back(std::move(seed));
  }
  return seeds;
}

}  // namespace merganser::fuzz
