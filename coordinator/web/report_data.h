// merge_report.json as plain data (format: common/publish/REPORT.md). Pure: text in, structs out.
#ifndef MERGANSER_COORDINATOR_WEB_REPORT_DATA_H_
#define MERGANSER_COORDINATOR_WEB_REPORT_DATA_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser::web {

inline constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

struct ReportedFile {
  std::string file;
  uint64_t size = 0;
  std::string identity;  // as the store told it when it was read
  std::string header;    // digest of the safetensors header
};

struct ReportedModel {
  bool base = false;
  std::string model;  // as the recipe names it
  std::string uri;
  std::vector<ReportedFile> files;
  std::vector<std::string> adapters;  // "PATH: LoRA, ...", in the order in which they were added
  // What it is made of, adapters included, and how the files of its folder hold it alone: "stored
  // as BF16" and "BF16". Empty in reports of older programs.
  std::string origin, stored_as;
};

// Parameters of the method, in the report's order: a name, and a number or a word as text.
using ReportedParameters = std::vector<std::pair<std::string, std::string>>;

struct ReportedMethod {
  std::string name;
  ReportedParameters parameters;
  std::vector<ReportedParameters> per_model;
  size_t overrides = 0;  // how many sets of parameters hold for some tensors only
};

struct ReportedTensor {
  std::string name;
  std::string mode;
  std::string family;
  std::string dtype;
  std::string note;
  std::vector<uint64_t> shape;
  uint64_t elements = 0;
  bool tied = false;
  size_t row = 0;  // its own, in MergeReport::rows; those of its leaves follow
};

struct ReportedGroup {
  std::string key;
  uint64_t tensors = 0;
  uint64_t elements = 0;
  size_t row = 0;
};

// What measurements belong to: a tensor, one leaf of a tensor that was cut, or a gate of several
// tensors.
struct ReportedRow {
  enum class Kind : uint8_t { kTensor, kLeaf, kGroup };
  Kind kind = Kind::kTensor;
  uint32_t index = 0;  // into tensors or groups
  uint32_t leaf = 0;
  // The row of the gate that a tensor shares with others; its own row where it shares none.
  size_t gate = 0;
};

// One measurement of all rows: `width` numbers a row, kNothing where there is none.
struct ReportedMeasure {
  std::string name;
  bool list = false;  // one value an expert, mostly
  size_t width = 1;
  std::vector<double> values;

  double At(size_t row, size_t place = 0) const { return values[row * width + place]; }
};

struct ReportedRun {
  std::string job, started, finished, simd;
  double seconds = kNothing;
  uint64_t threads = 0;
  uint64_t bytes_read = 0, bytes_written = 0;
  std::vector<std::string> workers;
  bool analysis = false;  // nothing was written
};

struct MergeReport {
  std::string program, plan, recipe;
  int64_t numerics = 0;
  ReportedMethod method;
  std::vector<ReportedModel> models;
  uint64_t parameters = 0, rounds = 0;
  size_t units = 0;
  std::vector<std::string> warnings, notes;
  std::vector<ReportedFile> shards;  // file and size alone
  std::vector<ReportedTensor> tensors;
  std::vector<ReportedGroup> groups;
  std::vector<ReportedRow> rows;
  std::vector<ReportedMeasure> measures;  // in the order in which they were met
  // Measurements beyond the bounds below; they stand in merge_report.json alone.
  std::vector<std::string> left_out;
  ReportedRun run;

  // nullptr where nothing of that name was measured.
  const ReportedMeasure* Find(std::string_view measure) const;
  // How many models contribute beside a base.
  size_t Experts() const;
  // One a contributing model, short and distinct: the last component of what the recipe names.
  std::vector<std::string> ExpertNames() const;
};

// Reports are read into memory as a whole, up to this many bytes.
inline constexpr uint64_t kMaxReportBytes = uint64_t{256} << 20;
// Of the parsed report. A measurement that would exceed one of them is left out by name.
inline constexpr size_t kMaxMeasures = 64;
inline constexpr size_t kMaxMeasureWidth = 64;
inline constexpr size_t kMaxMeasuredValues = size_t{32} << 20;

// Reads the text of a report. `where` names it in messages. kInvalidArgument for another format,
// kDataLoss for what is no report. Beside the text it needs a few times the size of the tensors'
// list, and for a moment one element of that list: never the whole as parsed JSON.
absl::StatusOr<MergeReport> ParseReport(std::string_view text, std::string_view where);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_REPORT_DATA_H_
