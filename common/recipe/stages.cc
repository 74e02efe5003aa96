#include "common/recipe/stages.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_place.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {
namespace {

struct Document {
  int line = 1;  // of its first line
  std::string text;
};

// Whether the line begins a document. At the beginning of a line nothing else can be meant.
bool IsMarker(std::string_view line) {
  return line.starts_with("---") &&
         (line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r');
}

// Comments and directives alone; `---` and `...` too.
bool IsEmpty(std::string_view document) {
  while (!document.empty()) {
    const size_t end = document.find('\n');
    std::string_view line = document.substr(0, end);
    document.remove_prefix(end == std::string_view::npos ? document.size() : end + 1);
    if (IsMarker(line)) line.remove_prefix(3);
    while (!line.empty() && absl::ascii_isspace(static_cast<unsigned char>(line.front()))) {
      line.remove_prefix(1);
    }
    while (!line.empty() && absl::ascii_isspace(static_cast<unsigned char>(line.back()))) {
      line.remove_suffix(1);
    }
    if (!line.empty() && line.front() != '#' && line.front() != '%' && line != "...") return false;
  }
  return true;
}

// Those that hold anything; what stands before the first of them is left out.
std::vector<Document> Split(std::string_view text) {
  std::vector<Document> documents(1);
  int line_number = 1;
  for (; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    const std::string_view line =
        text.substr(0, end == std::string_view::npos ? text.size() : end + 1);
    text.remove_prefix(line.size());
    if (IsMarker(line.substr(0, line.find('\n')))) documents.push_back({line_number, ""});
    documents.back().text += line;
  }
  std::erase_if(documents, [](const Document& document) { return IsEmpty(document.text); });
  return documents;
}

bool IsFolderName(std::string_view name) {
  constexpr size_t kLongest = 64;
  return !name.empty() && name.size() <= kLongest && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '-';
         });
}

// Also those that others are made of.
std::set<std::string> ModelsOf(const Recipe& recipe) {
  std::set<std::string> models;
  const auto add = [&](const std::string& model) {
    models.insert(model);
    for (std::string& part : PartsOfModel(recipe, model)) models.insert(std::move(part));
  };
  if (recipe.base_model.has_value()) add(*recipe.base_model);
  for (const RecipeModel& model : recipe.models) add(model.model);
  for (const RecipeSlice& slice : recipe.slices) {
    for (const RecipeSource& source : slice.sources) add(source.model);
  }
  if (recipe.tokenizer.has_value()) {
    add(recipe.tokenizer->model);
    for (const TokenRule& rule : recipe.tokenizer->rules) add(rule.model);
  }
  return models;
}

class Reader {
 public:
  explicit Reader(std::string_view source) : source_(source) {}

  absl::StatusOr<RecipeStages> Read(std::string_view text) {
    for (const Document& document : Split(text)) {
      MERGANSER_RETURN_IF_ERROR(ReadDocument(document));
    }
    for (RecipeStage& stage : found_) {
      for (const std::string& model : ModelsOf(stage.recipe)) {
        if (!model.empty() && lines_.contains(model)) stage.needs.push_back(model);
      }
    }
    MERGANSER_ASSIGN_OR_RETURN(const size_t last, FindLast());
    RecipeStages ordered;
    MERGANSER_RETURN_IF_ERROR(Place(last, ordered));
    for (size_t i = 0; i < found_.size(); ++i) {
      if (placed_.contains(i)) continue;
      // One that needs itself is in nobody's way, and wrong all the same.
      std::vector<size_t> path;
      MERGANSER_RETURN_IF_ERROR(CheckCircles(i, path));
      ordered.warnings.push_back(absl::StrCat(
          Shown(source_), ":", lines_.at(found_[i].name), ": stage ", Shown(found_[i].name),
          " is left out: the output does not need it, and stages are removed at the end; "
          "mergekit-multi merges and keeps it, which a recipe of its own does here"));
    }
    return ordered;
  }

 private:
  absl::Status ReadDocument(const Document& document) {
    RecipeStage stage;
    stage.text =
        absl::StrCat(std::string(static_cast<size_t>(document.line - 1), '\n'), document.text);
    MERGANSER_ASSIGN_OR_RETURN(stage.recipe, ParseRecipe(stage.text, source_, /*stage=*/true));
    stage.recipe.text = document.text;
    stage.name = stage.recipe.name;
    if (stage.name.empty()) {
      if (unnamed_ != 0) {
        return YamlError(source_, document.line,
                         absl::StrCat("a second document without a name, after that of line ",
                                      unnamed_, "; expected one, whose output is the file's"));
      }
      unnamed_ = document.line;
    } else if (!IsFolderName(stage.name)) {
      return YamlError(source_, document.line,
                       absl::StrCat("key 'name': found ", Shown(stage.name),
                                    ", expected up to 64 letters, digits, '.', '_' and '-': it "
                                    "becomes a folder's name"));
    } else if (const auto [at, added] = lines_.emplace(stage.name, document.line); !added) {
      return YamlError(
          source_, document.line,
          absl::StrCat("key 'name': found ", Shown(stage.name), " again, after line ", at->second));
    }
    found_.push_back(std::move(stage));
    return absl::OkStatus();
  }

  size_t IndexOf(const std::string& name) const {
    const auto at = std::find_if(found_.begin(), found_.end(),
                                 [&](const RecipeStage& stage) { return stage.name == name; });
    return static_cast<size_t>(at - found_.begin());
  }

  absl::StatusOr<size_t> FindLast() const {
    if (unnamed_ != 0) return IndexOf("");
    std::set<std::string> needed;
    for (const RecipeStage& stage : found_) needed.insert(stage.needs.begin(), stage.needs.end());
    std::vector<std::string> free;
    for (const RecipeStage& stage : found_) {
      if (!needed.contains(stage.name)) free.push_back(stage.name);
    }
    if (free.size() == 1) return IndexOf(free[0]);
    if (free.empty()) {
      std::vector<size_t> path;
      MERGANSER_RETURN_IF_ERROR(CheckCircles(0, path));
    }
    return YamlError(source_, lines_.at(found_.back().name),
                     absl::StrCat("found ", free.size(), " stages that no other needs (",
                                  absl::StrJoin(free, ", "),
                                  "), expected one: its output is the file's; leave the name of "
                                  "that one out, or give the others recipes of their own"));
  }

  // What `stage` needs, then the stage.
  absl::Status Place(size_t stage, RecipeStages& ordered) {
    std::vector<size_t> path;
    MERGANSER_RETURN_IF_ERROR(CheckCircles(stage, path));
    PlaceChecked(stage, ordered);
    return absl::OkStatus();
  }
  void PlaceChecked(size_t stage, RecipeStages& ordered) {
    if (!placed_.insert(stage).second) return;
    std::vector<size_t> needs;
    for (const std::string& name : found_[stage].needs) needs.push_back(IndexOf(name));
    std::sort(needs.begin(), needs.end());  // the file's order
    for (const size_t one : needs) PlaceChecked(one, ordered);
    ordered.stages.push_back(found_[stage]);
  }

  // `path`: the stages that lead to `stage`.
  absl::Status CheckCircles(size_t stage, std::vector<size_t>& path) const {
    const auto at = std::find(path.begin(), path.end(), stage);
    if (at != path.end()) {
      std::vector<std::string> names;
      for (auto one = at; one != path.end(); ++one) names.push_back(Shown(found_[*one].name));
      names.push_back(Shown(found_[stage].name));
      return YamlError(
          source_, lines_.at(found_[stage].name),
          absl::StrCat("stages need each other in a circle: ", absl::StrJoin(names, " needs "),
                       "; expected an order in which "
                       "every stage comes after those that it names"));
    }
    if (checked_.contains(stage)) return absl::OkStatus();
    path.push_back(stage);
    for (const std::string& name : found_[stage].needs) {
      MERGANSER_RETURN_IF_ERROR(CheckCircles(IndexOf(name), path));
    }
    path.pop_back();
    checked_.insert(stage);
    return absl::OkStatus();
  }

  const std::string_view source_;
  std::vector<RecipeStage> found_;    // in the file's order
  std::map<std::string, int> lines_;  // of the named ones
  int unnamed_ = 0;                   // line
  std::set<size_t> placed_;
  mutable std::set<size_t> checked_;  // no circle is to be found from there
};

}  // namespace

size_t CountDocuments(std::string_view text) { return Split(text).size(); }

absl::StatusOr<RecipeStages> ReadStages(std::string_view text, std::string_view source_name) {
  if (text.size() > kMaxRecipeBytes) {
    return YamlError(
        source_name, 1,
        absl::StrCat("the recipe has ", text.size(), " bytes, expected at most ", kMaxRecipeBytes));
  }
  // Every document is read behind the lines before it.
  constexpr size_t kMostDocuments = 64;
  const size_t documents = CountDocuments(text);
  if (documents > kMostDocuments) {
    return YamlError(
        source_name, 1,
        absl::StrCat("found ", documents, " documents, expected at most ", kMostDocuments));
  }
  return Reader(source_name).Read(text);
}

}  // namespace merganser
