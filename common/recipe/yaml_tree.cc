#include "common/recipe/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <new>
#include <sstream>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/utf8.h"
#include "common/format/text.h"
#include "common/recipe/recipe_place.h"

namespace merganser {
namespace {

// Put after the text: a comment, unless a quoted scalar is still open there,
// which yaml-cpp would take for a whole one.
constexpr std::string_view kEndMark =
    "#\x7F"
    "end";

// Thrown by the builder through yaml-cpp, caught in ParseYaml.
struct Refused {
  int line;
  std::string what;
};

int LineOf(const YAML::Mark& mark) { return std::max(mark.line, 0) + 1; }

class Builder final : public YAML::EventHandler {
 public:
  // Anchors are of one document; what all of them hold counts together.
  void OnDocumentStart(const YAML::Mark&) override { anchors_.clear(); }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(Make(YamlNode::Kind::kNull, mark, anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{LineOf(mark), "an alias without its anchor"};
    for (const Open& open : open_) {
      if (open.node == found->second) {
        throw Refused{LineOf(mark), "an alias inside the node that it stands for"};
      }
    }
    Count(found->second->expanded, LineOf(mark));
    Add(found->second);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (value.find(kEndMark) != std::string::npos) {
      throw Refused{LineOf(mark), "not valid YAML: a quoted text without its closing quote"};
    }
    std::shared_ptr<YamlNode> node = Make(YamlNode::Kind::kScalar, mark, anchor);
    node->text = value;
    node->plain = CheckTag(tag, mark) && tag != "!" && tag != "tag:yaml.org,2002:str";
    Add(node);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckTag(tag, mark);
    Enter(Make(YamlNode::Kind::kSequence, mark, anchor));
  }
  void OnSequenceEnd() override { Leave(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckTag(tag, mark);
    Enter(Make(YamlNode::Kind::kMap, mark, anchor));
  }
  void OnMapEnd() override {
    ResolveMergeKey(*open_.back().node);
    Leave();
  }

  // Those that are not empty; the first one, where all are.
  std::vector<std::shared_ptr<const YamlNode>> Take() {
    std::vector<std::shared_ptr<const YamlNode>> documents;
    for (const std::shared_ptr<YamlNode>& root : roots_) {
      if (root->kind != YamlNode::Kind::kNull) documents.push_back(root);
    }
    if (documents.empty() && !roots_.empty()) documents.push_back(roots_.front());
    return documents;
  }

 private:
  struct Open {
    std::shared_ptr<YamlNode> node;
    std::unordered_set<std::string> keys;
    bool key_pending = false;  // a map whose last key has no value yet
  };

  void Count(size_t nodes, int line) {
    count_ += nodes;
    if (count_ > kMaxYamlNodes) {
      throw Refused{
          line, absl::StrCat("more than ", kMaxYamlNodes, " values, with every alias written out")};
    }
  }

  static bool CheckTag(const std::string& tag, const YAML::Mark& mark) {
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    static constexpr std::string_view kTypes[] = {"str",  "int", "float", "bool",
                                                  "null", "map", "seq"};
    if (tag.empty() || tag == "?" || tag == "!") return true;
    const std::string_view view = tag;
    if (view.starts_with(kCore) &&
        std::count(std::begin(kTypes), std::end(kTypes), view.substr(kCore.size())) > 0) {
      return true;
    }
    throw Refused{LineOf(mark), absl::StrCat("the tag ", Quoted(tag), " is not supported")};
  }

  std::shared_ptr<YamlNode> Make(YamlNode::Kind kind, const YAML::Mark& mark,
                                 YAML::anchor_t anchor) {
    Count(1, LineOf(mark));
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->line = LineOf(mark);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    return node;
  }

  void Enter(std::shared_ptr<YamlNode> node) {
    if (open_.size() == kMaxYamlDepth) {
      throw Refused{node->line, absl::StrCat("nested deeper than ", kMaxYamlDepth, " levels")};
    }
    open_.push_back({std::move(node), {}, false});
  }
  void Leave() {
    const std::shared_ptr<YamlNode> node = std::move(open_.back().node);
    open_.pop_back();
    Add(node);
  }

  void Add(const std::shared_ptr<YamlNode>& node) {
    if (open_.empty()) {
      roots_.push_back(node);
      return;
    }
    Open& top = open_.back();
    YamlNode& parent = *top.node;
    if (parent.kind == YamlNode::Kind::kSequence) {
      parent.items.push_back(node);
      parent.expanded += node->expanded;
      return;
    }
    if (!top.key_pending) {
      if (node->kind != YamlNode::Kind::kScalar) {
        throw Refused{node->line, "a key that is a list, a map or nothing; expected a name"};
      }
      if (!top.keys.insert(node->text).second) {
        throw Refused{node->line, absl::StrCat("key ", Quoted(node->text), ": appears twice")};
      }
      parent.members.push_back({node->text, node->line, nullptr});
    } else {
      parent.members.back().value = node;
    }
    parent.expanded += node->expanded;
    top.key_pending = !top.key_pending;
  }

  // "<<: *other" takes the members of `other` that the map does not have itself.
  static void ResolveMergeKey(YamlNode& map) {
    const auto found = std::find_if(map.members.begin(), map.members.end(),
                                    [](const YamlNode::Member& m) { return m.key == "<<"; });
    if (found == map.members.end()) return;
    const YamlNode::Member merge = *found;
    map.members.erase(found);
    std::unordered_set<std::string> keys;
    for (const YamlNode::Member& member : map.members) keys.insert(member.key);
    const auto take = [&](const YamlNode& from) {
      if (from.kind != YamlNode::Kind::kMap) {
        throw Refused{merge.line, "key '<<': expected a map or a list of maps"};
      }
      for (const YamlNode::Member& member : from.members) {
        if (keys.insert(member.key).second) map.members.push_back(member);
      }
    };
    if (merge.value->kind == YamlNode::Kind::kSequence) {
      for (const auto& item : merge.value->items) take(*item);
    } else {
      take(*merge.value);
    }
  }

  std::vector<std::shared_ptr<YamlNode>> roots_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, std::shared_ptr<YamlNode>> anchors_;
  size_t count_ = 0;
};

// What the files of mergekit-multi are told.
absl::Status RefuseStages(const std::vector<std::shared_ptr<const YamlNode>>& documents,
                          std::string_view source_name) {
  std::string stages;
  for (const std::shared_ptr<const YamlNode>& document : documents) {
    const YamlNode::Member* name = document->Find("name");
    const bool named = name != nullptr && name->value->kind == YamlNode::Kind::kScalar;
    absl::StrAppend(&stages, stages.empty() ? "" : ", ",
                    named ? Quoted(name->value->text) : "one without a name");
  }
  return YamlError(
      source_name, documents[1]->line,
      absl::StrCat(documents.size(),
                   " documents, expected one; these are stages of mergekit-multi (", stages,
                   "): put each into a recipe of its own, merge them in an order in which "
                   "every stage comes before those that name it, and name the folder of its output "
                   "as their model; `merganser merge` does all of this by itself"));
}

int LineAt(std::string_view text, size_t at) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + at, '\n'));
}

}  // namespace

absl::Status YamlError(std::string_view source_name, int line, std::string_view what) {
  return WithPlace(absl::InvalidArgumentError(
                       absl::StrCat(Shown(source_name), ":", line, ": ", std::string(what))),
                   line, "");
}

absl::StatusOr<std::shared_ptr<const YamlNode>> ParseYaml(std::string_view text,
                                                          std::string_view source_name) {
  // yaml-cpp replaces bad UTF-8 and takes a control character (0x04) for the
  // end of the text, so both are refused before it sees them.
  if (const auto bad = FirstInvalidUtf8(text); bad.has_value()) {
    return YamlError(source_name, LineAt(text, *bad), "not valid UTF-8");
  }
  for (size_t at = 0; at < text.size();) {
    const auto [point, bytes] = FirstCharacter(text.substr(at));
    const bool control = point < 0x20 || (point >= 0x7F && point <= 0x9F);
    if (control && point != '\n' && point != '\r' && point != '\t') {
      return YamlError(
          source_name, LineAt(text, at),
          absl::StrCat("a control character (code ", static_cast<uint32_t>(point), ")"));
    }
    at += bytes;
  }
  Builder builder;
  try {
    std::istringstream stream{absl::StrCat(std::string(text), "\n", std::string(kEndMark), "\n")};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      return YamlError(source_name, 1, "the document is empty");
    }
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    return YamlError(source_name, refused.line, refused.what);
  } catch (const YAML::Exception& error) {
    return YamlError(source_name,
                     std::min(LineOf(error.mark), LineAt(text, text.empty() ? 0 : text.size() - 1)),
                     absl::StrCat("not valid YAML: ", Shown(error.msg)));
  } catch (const std::bad_alloc&) {
    return CaughtStatus();  // not the recipe's fault
  } catch (const std::exception& error) {
    return YamlError(source_name, 1, absl::StrCat("not valid YAML: ", Shown(error.what())));
  }
  const std::vector<std::shared_ptr<const YamlNode>> documents = builder.Take();
  if (documents.empty()) return YamlError(source_name, 1, "the document is empty");
  if (documents.size() > 1) return RefuseStages(documents, source_name);
  return documents.front();
}

}  // namespace merganser
