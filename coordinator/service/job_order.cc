#include "coordinator/service/job_order.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr std::array<std::string_view, 7> kKeys = {
    "create_time", "start_time", "finish_time", "state", "owner", "display_name", "priority"};
// Every key once takes less.
constexpr size_t kMaxOrderBytes = 512;

absl::Status Invalid(size_t at, std::string_view found, std::string_view expected) {
  return SyntaxError("ORDER_BY_INVALID", "order_by", at, found, expected);
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct Word {
  std::string_view text;  // empty at a comma and at the end
  size_t at = 0;
};

Word TakeWord(std::string_view text, size_t& at) {
  while (at < text.size() && IsSpace(text[at])) ++at;
  const size_t begin = at;
  while (at < text.size() && !IsSpace(text[at]) && text[at] != ',') ++at;
  return {text.substr(begin, at - begin), begin};
}

std::string Found(std::string_view text, const Word& word) {
  if (!word.text.empty()) return absl::StrCat("\"", Shown(word.text), "\"");
  return word.at < text.size() ? "a comma" : "the end";
}

// Lists of texts as "3:abc5:defgh", and numbers as texts.
void AppendText(std::string_view text, std::string& bytes) {
  absl::StrAppend(&bytes, text.size(), ":", std::string(text));
}

template <typename Number>
bool ReadNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool TakeText(std::string_view& bytes, std::string_view& text) {
  const size_t colon = bytes.find(':');
  size_t size = 0;
  if (colon == std::string_view::npos || !ReadNumber(bytes.substr(0, colon), size)) return false;
  bytes.remove_prefix(colon + 1);
  if (size > bytes.size()) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

}  // namespace

absl::StatusOr<JobOrder> JobOrder::Parse(std::string_view text) {
  JobOrder order;
  if (text.size() > kMaxOrderBytes) {
    return Invalid(kMaxOrderBytes, absl::StrCat(text.size(), " bytes"),
                   absl::StrCat("at most ", kMaxOrderBytes));
  }
  size_t at = 0;
  Word word = TakeWord(text, at);
  if (word.text.empty() && word.at == text.size()) return order;
  while (true) {
    const auto known = std::find(kKeys.begin(), kKeys.end(), word.text);
    if (known == kKeys.end()) {
      return Invalid(word.at, Found(text, word),
                     absl::StrCat("a field to order by", KnownHere(word.text, kKeys)));
    }
    Key key{*JobFieldNamed(word.text), false};
    for (const Key& other : order.keys_) {
      if (other.field != key.field) continue;
      return Invalid(word.at, absl::StrCat(Found(text, word), " once more"), "each field once");
    }
    Word behind = TakeWord(text, at);
    if (behind.text == "desc") {
      key.descending = true;
      behind = TakeWord(text, at);
    }
    if (!behind.text.empty()) {
      return Invalid(behind.at, Found(text, behind),
                     key.descending ? "a comma or the end" : "desc, a comma or the end");
    }
    order.keys_.push_back(key);
    if (at == text.size()) break;
    ++at;  // the comma
    word = TakeWord(text, at);
  }
  // What follows the order of creation never counts, and this one is what there is without any.
  const auto created = std::find_if(order.keys_.begin(), order.keys_.end(), [](const Key& key) {
    return key.field == JobField::kCreateTime;
  });
  if (created != order.keys_.end()) {
    order.keys_.erase(created + (created->descending ? 0 : 1), order.keys_.end());
  }
  return order;
}

bool JobOrder::IsText(const Key& key) {
  return key.field == JobField::kOwner || key.field == JobField::kDisplayName;
}

JobOrder::Value JobOrder::ValueOf(const Key& key, const JobView& view) {
  const JobInfo& job = *view.info;
  switch (key.field) {
    case JobField::kCreateTime:
      return {true, static_cast<int64_t>(view.sequence), {}};
    case JobField::kStartTime:
    case JobField::kFinishTime: {
      const std::optional<WallTime> time = JobTimeOf(key.field, job);
      if (!time.has_value()) return {false, 0, {}};
      return {true, time->time_since_epoch().count(), {}};
    }
    case JobField::kState:
      return {true, static_cast<int64_t>(job.state), {}};
    case JobField::kPriority:
      return {true, job.request.priority, {}};
    default:
      return {true, 0, JobTextOf(key.field, job)};
  }
}

JobOrder::Value JobOrder::ValueAt(const JobPlace& place, size_t key) const {
  if (IsText(keys_[key])) return {true, 0, *place.texts[key]};
  return {place.numbers[key].has_value(), place.numbers[key].value_or(0), {}};
}

int JobOrder::Compare(const Key& key, const Value& a, const Value& b) {
  if (a.set != b.set) return a.set ? -1 : 1;
  const int text = a.text.compare(b.text);
  const int ascending = a.number != b.number ? (a.number < b.number ? -1 : 1) : text;
  return key.descending ? -ascending : ascending;
}

bool JobOrder::Before(const JobView& a, const JobView& b) const {
  for (const Key& key : keys_) {
    if (const int way = Compare(key, ValueOf(key, a), ValueOf(key, b)); way != 0) return way < 0;
  }
  return a.sequence > b.sequence;
}

JobPlace JobOrder::PlaceOf(const JobView& view) const {
  JobPlace place;
  place.sequence = view.sequence;
  for (const Key& key : keys_) {
    const Value value = ValueOf(key, view);
    const bool text = IsText(key);
    place.texts.push_back(text ? std::optional<std::string>(value.text) : std::nullopt);
    place.numbers.push_back(!text && value.set ? std::optional(value.number) : std::nullopt);
  }
  return place;
}

bool JobOrder::IsBehind(const JobView& view, const JobPlace& place) const {
  for (size_t i = 0; i < keys_.size(); ++i) {
    const int way = Compare(keys_[i], ValueOf(keys_[i], view), ValueAt(place, i));
    if (way != 0) return way > 0;
  }
  return view.sequence < place.sequence;
}

std::string JobOrder::Pack(const JobPlace& place) const {
  std::string bytes;
  AppendText(absl::StrCat(place.sequence), bytes);
  for (size_t i = 0; i < keys_.size(); ++i) {
    const std::optional<int64_t>& number = place.numbers[i];
    if (IsText(keys_[i])) {
      AppendText(*place.texts[i], bytes);
    } else {
      AppendText(number.has_value() ? absl::StrCat(*number) : "", bytes);
    }
  }
  return bytes;
}

std::optional<JobPlace> JobOrder::Unpack(std::string_view bytes) const {
  JobPlace place;
  std::string_view text;
  if (!TakeText(bytes, text) || !ReadNumber(text, place.sequence)) return std::nullopt;
  for (const Key& key : keys_) {
    if (!TakeText(bytes, text)) return std::nullopt;
    place.texts.emplace_back();
    place.numbers.emplace_back();
    if (IsText(key)) {
      place.texts.back() = std::string(text);
    } else if (!text.empty() && !ReadNumber(text, place.numbers.back().emplace())) {
      return std::nullopt;
    }
  }
  if (!bytes.empty()) return std::nullopt;
  return place;
}

}  // namespace merganser
