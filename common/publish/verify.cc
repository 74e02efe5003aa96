#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/base/checked.h"
#include "common/base/digest.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/format/hf_index.h"
#include "common/format/safetensors.h"
#include "common/publish/report.h"
#include "common/storage/read_whole.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

// Not one that keeps the order of members: that is copied while it grows, by calls as deep as it
// is, and anybody may have written the report.
using Json = nlohmann::json;

constexpr uint64_t kBlock = uint64_t{4} << 20;
// Concurrent blocks: 48 MiB in all, as VerifyOutput promises.
constexpr size_t kLanes = 12;
static_assert(kLanes * kBlock == uint64_t{48} << 20);
// Far above what the largest models of today need, and far below what a small
// machine has.
constexpr uint64_t kMaxReportBytes = uint64_t{256} << 20;
constexpr uint64_t kMaxIndexBytes = uint64_t{256} << 20;

struct ReportedShard {
  std::string file;
  uint64_t size = 0;
  std::string identity;  // when verification began
};

struct ReportedSegment {
  size_t shard = 0;
  uint64_t begin = 0;
  uint64_t bytes = 0;
  std::string digest;
};

struct Reported {
  std::vector<ReportedShard> shards;
  std::vector<ReportedSegment> segments;  // by unit; unsorted
};

absl::Status Broken(const ObjectStore& store, std::string_view key, std::string_view what) {
  return absl::DataLossError(absl::StrCat(OneLine(store.Describe(key)), ": ", OneLine(what)));
}

absl::StatusOr<Reported> ReadReported(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, kReportKey, kMaxReportBytes));
  if (!text) {
    return absl::NotFoundError(
        absl::StrCat(OneLine(store.Describe(kReportKey)),
                     ": there is no report; only what merganser wrote can be verified"));
  }
  Reported out;
  try {
    const Json report = Json::parse(*text);
    if (const int format = report.at("format").get<int>(); format != 1) {
      return absl::InvalidArgumentError(absl::StrCat(OneLine(store.Describe(kReportKey)),
                                                     ": found format ", format,
                                                     ", expected 1; a newer merganser wrote it"));
    }
    for (const Json& shard : report.at("shards")) {
      out.shards.push_back(
          {shard.at("file").get<std::string>(), shard.at("size").get<uint64_t>(), ""});
    }
    for (const Json& unit : report.at("units")) {
      ReportedSegment segment;
      segment.shard = unit.at("shard").get<size_t>();
      segment.begin = unit.at("begin").get<uint64_t>();
      for (const Json& entry : unit.at("segments")) {
        segment.bytes = entry.at(0).get<uint64_t>();
        segment.digest = entry.at(1).get<std::string>();
        out.segments.push_back(segment);
        const std::optional<uint64_t> next = CheckedAdd(segment.begin, segment.bytes);
        if (!next) return Broken(store, kReportKey, "a unit's range overflows");
        segment.begin = *next;
      }
      if (segment.begin != unit.at("end").get<uint64_t>()) {
        return Broken(store, kReportKey,
                      absl::StrCat("the segments of a unit end at ", segment.begin, ", expected ",
                                   unit.at("end").get<uint64_t>()));
      }
    }
  } catch (const Json::exception& error) {
    return Broken(store, kReportKey, error.what());
  }
  return out;
}

// Every byte of every shard belongs to exactly one segment.
absl::Status CheckTiling(const ObjectStore& store, Reported& reported) {
  std::stable_sort(reported.segments.begin(), reported.segments.end(),
                   [](const ReportedSegment& a, const ReportedSegment& b) {
                     return std::pair(a.shard, a.begin) < std::pair(b.shard, b.begin);
                   });
  auto segment = reported.segments.begin();
  for (size_t i = 0; i < reported.shards.size(); ++i) {
    uint64_t at = 0;
    for (; segment != reported.segments.end() && segment->shard == i && segment->begin == at;
         ++segment) {
      at += segment->bytes;
    }
    if (at != reported.shards[i].size) {
      return Broken(store, kReportKey,
                    absl::StrCat("checksums of ", reported.shards[i].file, " cover ", at,
                                 " bytes from its start, expected ", reported.shards[i].size));
    }
  }
  if (segment != reported.segments.end()) {
    return Broken(store, kReportKey,
                  absl::StrCat("a checksum of shard ", segment->shard, " at byte ", segment->begin,
                               " belongs to no shard or overlaps another"));
  }
  return absl::OkStatus();
}

// The weights that are there against those that should be.
absl::Status CheckShards(ObjectStore& store, Reported& reported) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, ListModelFiles(store));
  std::map<std::string, const ListedObject*> weights;
  for (const ListedObject& object : listed) {
    if (object.key.ends_with(".safetensors") && object.key.find('/') == std::string::npos) {
      weights.emplace(object.key, &object);
    }
  }
  for (ReportedShard& shard : reported.shards) {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(shard.file));
    const auto found = weights.find(shard.file);
    if (found == weights.end()) {
      return Broken(store, shard.file,
                    absl::StrCat("the shard is missing, expected ", shard.size, " bytes"));
    }
    const ObjectInfo& info = found->second->info;
    if (info.size != shard.size) {
      return Broken(store, shard.file,
                    absl::StrCat("found ", info.size, " bytes, expected ", shard.size));
    }
    shard.identity = info.identity;
    weights.erase(found);
  }
  if (!weights.empty()) {
    return Broken(store, weights.begin()->first, "found a shard that the report does not know");
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsHeader> ReadHeader(ObjectStore& store, const ReportedShard& shard) {
  std::array<char, kSafetensorsPrefix> prefix{};
  const uint64_t first = std::min<uint64_t>(prefix.size(), shard.size);
  MERGANSER_RETURN_IF_ERROR(store.Read(
      shard.file, 0, std::as_writable_bytes(std::span(prefix).first(first)), shard.identity));
  MERGANSER_ASSIGN_OR_RETURN(
      const uint64_t length,
      ParseSafetensorsPrefix(std::string_view(prefix.data(), first), shard.size));
  std::string json(length, '\0');
  MERGANSER_RETURN_IF_ERROR(store.Read(
      shard.file, kSafetensorsPrefix,
      std::as_writable_bytes(std::span<char>(json.data(), json.size())), shard.identity));
  return ParseSafetensorsHeader(json, shard.size);
}

// Which tensors lie in [begin, end) of a shard: "tensor 'a'", "the header".
std::string NameRange(ObjectStore& store, const ReportedShard& shard, uint64_t begin,
                      uint64_t end) {
  const absl::StatusOr<SafetensorsHeader> header = ReadHeader(store, shard);
  if (!header.ok()) return "the header, which cannot be read";
  std::string names;
  size_t count = 0;
  if (begin < header->data_begin) {
    names = "the header";
    ++count;
  }
  for (const SafetensorsEntry& entry : header->tensors) {
    if (entry.size == 0 || entry.offset >= end || entry.offset + entry.size <= begin) continue;
    if (++count <= 3) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", "tensor '", OneLine(entry.name), "'");
    }
  }
  if (count > 3) absl::StrAppend(&names, " and ", count - 3, " more");
  return names;
}

absl::StatusOr<std::string> DigestRange(ObjectStore& store, const ReportedShard& shard,
                                        const ReportedSegment& segment,
                                        std::vector<std::byte>& buffer) {
  Digester digester;
  for (uint64_t done = 0; done < segment.bytes;) {
    const uint64_t size = std::min(kBlock, segment.bytes - done);
    buffer.resize(std::max<size_t>(buffer.size(), size));
    const std::span<std::byte> block = std::span(buffer).first(size);
    MERGANSER_RETURN_IF_ERROR(store.Read(shard.file, segment.begin + done, block, shard.identity));
    digester.Update(block);
    done += size;
  }
  return digester.Hex();
}

// The failure of the first segment that has one, whatever the threads did.
absl::Status CheckSegments(ObjectStore& store, Executor& executor, const Reported& reported) {
  Mutex mutex;
  absl::Status first;
  std::atomic<size_t> next{0}, failed{reported.segments.size()};
  const size_t lanes = std::min(kLanes, reported.segments.size());
  executor.ParallelFor(lanes, [&](size_t) {
    std::vector<std::byte> buffer;
    for (size_t i = next++; i < failed.load(); i = next++) {
      const ReportedSegment& segment = reported.segments[i];
      const ReportedShard& shard = reported.shards[segment.shard];
      const absl::StatusOr<std::string> digest = DigestRange(store, shard, segment, buffer);
      if (digest.ok() && *digest == segment.digest) continue;
      absl::Status status = digest.status();
      if (status.ok()) {
        const uint64_t end = segment.begin + segment.bytes;
        MutexLock lock(mutex);  // one header at a time
        status =
            Broken(store, shard.file,
                   absl::StrCat("bytes ", segment.begin, " to ", end, " (",
                                NameRange(store, shard, segment.begin, end), "): found checksum ",
                                *digest, ", expected ", OneLine(segment.digest)));
      }
      MutexLock lock(mutex);
      if (i < failed.load()) {
        failed.store(i);
        first = status;
      }
    }
  });
  return first;
}

// The index against the headers of the shards. One shard needs none; if there is
// one, it must fit.
absl::Status CheckIndex(ObjectStore& store, const Reported& reported) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, kHfIndexFile, kMaxIndexBytes));
  if (!text) {
    if (reported.shards.size() == 1) return absl::OkStatus();
    return Broken(store, kHfIndexFile,
                  absl::StrCat("the index of ", reported.shards.size(), " shards is missing"));
  }
  absl::StatusOr<HfIndex> parsed = ParseHfIndex(*text);
  if (!parsed.ok()) return Annotate(parsed.status(), store.Describe(kHfIndexFile));
  std::map<std::string, std::string, std::less<>> index(
      std::make_move_iterator(parsed->weight_map.begin()),
      std::make_move_iterator(parsed->weight_map.end()));
  uint64_t total = 0;
  for (const ReportedShard& shard : reported.shards) {
    absl::StatusOr<SafetensorsHeader> header = ReadHeader(store, shard);
    if (!header.ok()) return Annotate(header.status(), store.Describe(shard.file));
    for (const SafetensorsEntry& entry : header->tensors) {
      total += entry.size;
      const auto found = index.find(entry.name);
      if (found == index.end() || found->second != shard.file) {
        return Broken(store, kHfIndexFile,
                      absl::StrCat("tensor '", entry.name, "': found ",
                                   found == index.end() ? std::string("no entry") : found->second,
                                   ", expected ", shard.file));
      }
      index.erase(found);
    }
  }
  if (!index.empty()) {
    return Broken(store, kHfIndexFile,
                  absl::StrCat("tensor '", index.begin()->first, "' is in no shard, found in '",
                               index.begin()->second, "'"));
  }
  if (parsed->total_size != total) {
    return Broken(store, kHfIndexFile,
                  absl::StrCat("total_size: found ", parsed->total_size, ", expected ", total));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VerifyResult> VerifyOutput(ObjectStore& store, Executor& executor) {
  MERGANSER_ASSIGN_OR_RETURN(Reported reported, ReadReported(store));
  MERGANSER_RETURN_IF_ERROR(CheckTiling(store, reported));
  MERGANSER_RETURN_IF_ERROR(CheckShards(store, reported));
  MERGANSER_RETURN_IF_ERROR(CheckSegments(store, executor, reported));
  MERGANSER_RETURN_IF_ERROR(CheckIndex(store, reported));
  VerifyResult result;
  result.segments = reported.segments.size();
  result.shards = reported.shards.size();
  for (const ReportedShard& shard : reported.shards) result.bytes += shard.size;
  return result;
}

}  // namespace merganser
