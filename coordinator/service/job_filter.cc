#include "coordinator/service/job_filter.h"

#include <algorithm>
#include <array>
#include <string>

#include "common/base/status.h"
#include "coordinator/service/filter_parser.h"

namespace merganser {
namespace {

// What a word without a field is looked for in, and the models.
constexpr std::array<JobField, 6> kSearched = {JobField::kDisplayName, JobField::kName,
                                               JobField::kOwner,       JobField::kOutputUri,
                                               JobField::kMethod,      JobField::kRecipeSource};

char Small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Whether `text` has `small`, which is in small letters, whatever its own letters are.
bool Has(std::string_view text, std::string_view small) {
  if (small.empty()) return true;
  if (text.size() < small.size()) return false;
  const char first = small.front();
  const size_t last = text.size() - small.size();
  for (size_t at = 0; at <= last; ++at) {
    if (Small(text[at]) != first) continue;
    size_t same = 1;
    while (same < small.size() && Small(text[at + same]) == small[same]) ++same;
    if (same == small.size()) return true;
  }
  return false;
}

bool AnyHas(const std::vector<std::string>& texts, std::string_view small) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& text) { return Has(text, small); });
}

template <typename Value>
bool Compare(const Value& found, Comparator comparator, const Value& asked) {
  switch (comparator) {
    case Comparator::kEqual:
    case Comparator::kHas:
      return found == asked;
    case Comparator::kNotEqual:
      return found != asked;
    case Comparator::kLess:
      return found < asked;
    case Comparator::kAtMost:
      return found <= asked;
    case Comparator::kMore:
      return found > asked;
    case Comparator::kAtLeast:
      return found >= asked;
  }
  return false;
}

bool EqualsWithStars(std::string_view found, const FilterTest& test) {
  const std::string_view asked = test.text;
  if (test.any_before && test.any_behind) return found.find(asked) != std::string_view::npos;
  if (test.any_before) return found.ends_with(asked);
  return test.any_behind ? found.starts_with(asked) : found == asked;
}

bool TextMatches(std::string_view found, const FilterTest& test) {
  switch (test.comparator) {
    case Comparator::kEqual:
      return EqualsWithStars(found, test);
    case Comparator::kNotEqual:
      return !EqualsWithStars(found, test);
    case Comparator::kHas:
      return test.anything ? !found.empty() : Has(found, test.text);
    default:
      return Compare(found, test.comparator, std::string_view(test.text));
  }
}

bool LabelMatches(const JobInfo& job, const FilterTest& test) {
  const auto& labels = job.request.labels;
  if (test.label.empty()) {
    return test.anything ? !labels.empty() : labels.contains(test.text);
  }
  const auto label = labels.find(test.label);
  if (label == labels.end()) return test.comparator == Comparator::kNotEqual;
  return test.anything || TextMatches(label->second, test);
}

// The whole of it is accepted, and the id alone.
bool NameMatches(const JobInfo& job, const FilterTest& test) {
  if (test.comparator == Comparator::kNotEqual) {
    return TextMatches(job.name, test) && TextMatches(job.uid, test);
  }
  return TextMatches(job.name, test) ||
         (test.comparator == Comparator::kEqual && TextMatches(job.uid, test));
}

bool TestMatches(const JobInfo& job, const FilterTest& test) {
  if (test.words) {
    return AnyHas(job.models, test.text) ||
           std::any_of(kSearched.begin(), kSearched.end(),
                       [&](JobField field) { return Has(JobTextOf(field, job), test.text); });
  }
  switch (test.field) {
    case JobField::kState:
      return test.anything || Compare(job.state, test.comparator, test.state);
    case JobField::kPriority:
      return Compare(int64_t{job.request.priority}, test.comparator, test.number);
    case JobField::kModels:
      return test.anything ? !job.models.empty() : AnyHas(job.models, test.text);
    case JobField::kCreateTime:
    case JobField::kStartTime:
    case JobField::kFinishTime: {
      const std::optional<WallTime> time = JobTimeOf(test.field, job);
      if (!time.has_value()) return test.comparator == Comparator::kNotEqual;
      return test.anything || Compare(*time, test.comparator, test.time);
    }
    case JobField::kLabels:
      return LabelMatches(job, test);
    case JobField::kName:
      return NameMatches(job, test);
    default:
      return TextMatches(JobTextOf(test.field, job), test);
  }
}

// As deep as kMaxFilterNesting has parentheses, and three levels for each.
bool NodeMatches(const JobInfo& job, const FilterNode& node) {
  const auto matches = [&](const FilterNode& part) { return NodeMatches(job, part); };
  switch (node.kind) {
    case FilterNode::Kind::kAll:
      return std::all_of(node.parts.begin(), node.parts.end(), matches);
    case FilterNode::Kind::kAny:
      return std::any_of(node.parts.begin(), node.parts.end(), matches);
    case FilterNode::Kind::kNot:
      return !matches(node.parts.front());
    case FilterNode::Kind::kTest:
      return TestMatches(job, node.test);
  }
  return false;
}

}  // namespace

absl::StatusOr<JobFilter> JobFilter::Parse(std::string_view text) {
  JobFilter filter;
  if (text.size() <= kMaxFilterBytes &&
      text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos) {
    return filter;
  }
  MERGANSER_ASSIGN_OR_RETURN(filter.root_, ParseFilter(text));
  return filter;
}

bool JobFilter::Matches(const JobInfo& job) const {
  return !root_.has_value() || NodeMatches(job, *root_);
}

}  // namespace merganser
