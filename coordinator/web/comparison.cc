#include "coordinator/web/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/base/bytes.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "coordinator/web/verdict.h"
#include "nlohmann/json.hpp"

namespace merganser::web {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNamed = 100;

const ReportedModel* BaseOf(const MergeReport& report) {
  for (const ReportedModel& model : report.models) {
    if (model.base) return &model;
  }
  return nullptr;
}

enum class Likeness { kSame, kSameHeaders, kOther };

// By what stood on record of the files: their identity tells a copy from its original, their
// headers do not.
Likeness Like(const ReportedModel& a, const ReportedModel& b) {
  if (a.files.size() != b.files.size()) return Likeness::kOther;
  bool same = a.uri == b.uri;
  for (size_t i = 0; i < a.files.size(); ++i) {
    if (a.files[i].header != b.files[i].header || a.files[i].size != b.files[i].size) {
      return Likeness::kOther;
    }
    same &= a.files[i].identity == b.files[i].identity;
  }
  return same ? Likeness::kSame : Likeness::kSameHeaders;
}

class Comparer {
 public:
  Comparer(const ReadReport& a, const ReadReport& b, size_t most) : a_(a), b_(b), most_(most) {}

  Comparison Run() {
    CompareInputs();
    CompareTensors();
    Text("Method", a_.report.method.name, b_.report.method.name);
    Parameters("", a_.report.method.parameters, b_.report.method.parameters);
    ComparePerModel();
    Number("Sets of parameters for some tensors", a_.report.method.overrides,
           b_.report.method.overrides);
    Text("Numerics", absl::StrCat(a_.report.numerics), absl::StrCat(b_.report.numerics));
    Text("Program", a_.report.program, b_.report.program);
    if (out_.comparable) CompareMeasures();
    if (out_.comparable) {
      out_.pairs = PairRows(a_.report, b_.report);
      out_.measured = CompareMeasured(a_.report, b_.report, out_.pairs, most_);
    }
    CompareRun();
    Conclude();
    return std::move(out_);
  }

 private:
  void Add(std::string what, std::string a, std::string b, std::string difference) {
    out_.differences.push_back(
        {std::move(what), std::move(a), std::move(b), std::move(difference)});
  }

  void Text(const std::string& what, const std::string& a, const std::string& b) {
    if (a != b) Add(what, a.empty() ? "none" : a, b.empty() ? "none" : b, "changed");
  }

  void Number(const std::string& what, uint64_t a, uint64_t b) {
    if (a == b) return;
    const auto difference = static_cast<int64_t>(b) - static_cast<int64_t>(a);
    Add(what, absl::StrCat(a), absl::StrCat(b), Formatted("%+d", difference));
  }

  static std::string Times(double a, double b) {
    return a > 0 && b > 0 ? Formatted("x %.2g", b / a) : "changed";
  }

  void CompareInputs() {
    const ReportedModel* base_a = BaseOf(a_.report);
    const ReportedModel* base_b = BaseOf(b_.report);
    if ((base_a == nullptr) != (base_b == nullptr)) {
      why_ = absl::StrCat("Only ", base_a == nullptr ? "B" : "A", " has a base");
    } else if (base_a != nullptr && Like(*base_a, *base_b) == Likeness::kOther) {
      why_ = absl::StrCat("The bases differ (", base_a->model, " and ", base_b->model, ")");
    }
    const auto experts = [](const MergeReport& report) {
      std::vector<const ReportedModel*> models;
      for (const ReportedModel& model : report.models) {
        if (!model.base) models.push_back(&model);
      }
      return models;
    };
    const auto of_a = experts(a_.report), of_b = experts(b_.report);
    std::vector<std::string> names_a, names_b;
    bool same = base_a == nullptr || base_b == nullptr || Like(*base_a, *base_b) == Likeness::kSame;
    same_inputs_ = of_a.size() == of_b.size() && why_.empty();
    for (size_t i = 0; i < std::max(of_a.size(), of_b.size()); ++i) {
      if (i < of_a.size()) names_a.push_back(of_a[i]->model);
      if (i < of_b.size()) names_b.push_back(of_b[i]->model);
      if (i >= of_a.size() || i >= of_b.size()) continue;
      const Likeness like = Like(*of_a[i], *of_b[i]);
      same &= like == Likeness::kSame;
      // Of one shape are all experts of a base: by the header alone they are not told apart.
      same_inputs_ &= like == Likeness::kSame ||
                      (like == Likeness::kSameHeaders && of_a[i]->uri != of_b[i]->uri &&
                       of_a[i]->model == of_b[i]->model);
    }
    certain_ = same;
    if (names_a != names_b) {
      Add("Experts", absl::StrJoin(names_a, ", "), absl::StrJoin(names_b, ", "), "changed");
    }
  }

  void CompareTensors() {
    std::map<std::string_view, const ReportedTensor*> of_b;
    for (const ReportedTensor& tensor : b_.report.tensors) of_b.emplace(tensor.name, &tensor);
    size_t other_shape = 0;
    std::string example;
    for (const ReportedTensor& tensor : a_.report.tensors) {
      const auto found = of_b.find(tensor.name);
      if (found == of_b.end()) {
        if (out_.only_a++ < kNamed) out_.only_a_names.push_back(tensor.name);
        continue;
      }
      if (found->second->shape != tensor.shape && other_shape++ == 0) example = tensor.name;
      of_b.erase(found);
    }
    for (const ReportedTensor& tensor : b_.report.tensors) {
      if (!of_b.contains(tensor.name)) continue;
      if (out_.only_b++ < kNamed) out_.only_b_names.push_back(tensor.name);
    }
    if (other_shape > 0 && why_.empty()) {
      why_ = absl::StrCat(Counted(other_shape, "tensor"), " differ in shape, ", example, " first");
    }
    if (out_.only_a == a_.report.tensors.size() && why_.empty()) {
      why_ = "No tensor is in both";
    }
    out_.comparable = why_.empty();
  }

  void Parameters(const std::string& of, const ReportedParameters& a, const ReportedParameters& b) {
    std::vector<std::string> keys;
    std::map<std::string, std::pair<std::string, std::string>> values;
    for (const auto& [key, value] : a) {
      keys.push_back(key);
      values[key].first = value;
    }
    for (const auto& [key, value] : b) {
      if (!values.contains(key)) keys.push_back(key);
      values[key].second = value;
    }
    for (const std::string& key : keys) {
      Text(absl::StrCat(key, of), values[key].first, values[key].second);
    }
  }

  void ComparePerModel() {
    const auto& a = a_.report.method.per_model;
    const auto& b = b_.report.method.per_model;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      Parameters(absl::StrCat(" of expert ", i + 1), a[i], b[i]);
    }
  }

  void Value(const std::string& what, double a, double b) {
    if (!std::isfinite(a) || !std::isfinite(b)) return;
    const int digits = a == std::floor(a) && b == std::floor(b) ? 0 : 4;
    const std::string text_a = Formatted("%.*f", digits, a), text_b = Formatted("%.*f", digits, b);
    if (text_a != text_b) Add(what, text_a, text_b, Formatted("%+.*f", digits, b - a));
  }

  void CompareMeasures() {
    Value("Density reached", a_.findings.density, b_.findings.density);
    if (a_.findings.gates > 0 && b_.findings.gates > 0) {
      const auto text = [](const Findings& found) {
        return absl::StrCat(found.fell_back.size(), " of ", found.gates);
      };
      if (text(a_.findings) != text(b_.findings)) {
        Add("Fell back to the mean", text(a_.findings), text(b_.findings), "changed");
      }
    }
    for (const Spread& spread : a_.findings.spreads) {
      for (const Spread& other : b_.findings.spreads) {
        if (spread.name == other.name && spread.name != "threshold") {
          Value(absl::StrCat("Median of ", absl::StrReplaceAll(spread.name, {{"_", " "}})),
                spread.median, other.median);
        }
      }
    }
    const std::vector<std::string> names = a_.report.ExpertNames();
    if (names != b_.report.ExpertNames()) return;
    const auto& a = a_.findings.shares;
    const auto& b = b_.findings.shares;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      const std::string text_a = Formatted("%.1f %%", 100 * a[i]);
      const std::string text_b = Formatted("%.1f %%", 100 * b[i]);
      if (text_a == text_b) continue;
      Add(absl::StrCat("From ", names[i]), text_a, text_b,
          Formatted("%+.1f points", 100 * (b[i] - a[i])));
    }
  }

  void CompareRun() {
    const ReportedRun& a = a_.report.run;
    const ReportedRun& b = b_.report.run;
    Number("Rounds", a_.report.rounds, b_.report.rounds);
    const auto bytes = [&](const char* what, uint64_t of_a, uint64_t of_b) {
      if (of_a == of_b) return;
      Add(what, FormatBytes(of_a), FormatBytes(of_b),
          Times(static_cast<double>(of_a), static_cast<double>(of_b)));
    };
    bytes("Read", a.bytes_read, b.bytes_read);
    bytes("Written", a.bytes_written, b.bytes_written);
    if (a.seconds != b.seconds && std::isfinite(a.seconds) && std::isfinite(b.seconds)) {
      Add("Took", Formatted("%.3g s", a.seconds), Formatted("%.3g s", b.seconds),
          Times(a.seconds, b.seconds));
    }
    Number("Threads", a.threads, b.threads);
    Number("Workers", a.workers.size(), b.workers.size());
    Text("Instruction set", a.simd, b.simd);
  }

  // In which layers more was taken, or coherence is another.
  std::string WhereItMoved() const {
    const ByExpert& a = a_.findings.by_expert;
    const ByExpert& b = b_.findings.by_expert;
    if (a.kind != "selected" || b.kind != "selected" || a.layers != b.layers || a.layers.empty()) {
      return "";
    }
    const auto shares = [](const ByExpert& by) {
      std::vector<double> layers(by.layers.size(), 0);
      double all = 0;
      for (const std::vector<double>& expert : by.values) {
        for (size_t i = 0; i < layers.size(); ++i) {
          layers[i] += expert[i];
          all += expert[i];
        }
      }
      for (double& layer : layers) layer = all > 0 ? layer / all : 0;
      return layers;
    };
    const std::vector<double> of_a = shares(a), of_b = shares(b);
    size_t most = 0;
    for (size_t i = 1; i < of_a.size(); ++i) {
      if (of_b[i] - of_a[i] > of_b[most] - of_a[most]) most = i;
    }
    if (of_b[most] - of_a[most] < 0.05) return "";
    return absl::StrCat("B takes ", Percent(of_b[most]), " of what it takes from layer ",
                        b.layers[most], ", A ", Percent(of_a[most]), ".");
  }

  void Conclude() {
    std::vector<std::string>& out = out_.sentences;
    if (!out_.comparable) {
      out.push_back(absl::StrCat(
          why_, ", so the two are not compared tensor by tensor: only recipe, bytes and time."));
      return;
    }
    const bool same_recipe =
        std::none_of(out_.differences.begin(), out_.differences.end(),
                     [](const Difference& each) { return each.difference == "changed"; });
    out.push_back(!same_inputs_ ? "The two merge other experts of one base."
                  : certain_    ? "The two merge the same inputs."
                                : "The two merge inputs of the same names and headers; whether "
                                  "their values are the same is not on record.");
    if (a_.report.plan == b_.report.plan) {
      out.push_back("Recipe, inputs and numerics are equal, and so is every byte of the outputs.");
    } else if (a_.report.method.name == b_.report.method.name && same_recipe) {
      out.push_back("Their parameters are equal.");
    }
    if (const std::string where = WhereItMoved(); !where.empty()) out.push_back(where);
    if (out_.only_a + out_.only_b > 0) {
      out.push_back(absl::StrCat(Counted(out_.only_a, "tensor"), " only in A, ",
                                 Counted(out_.only_b, "tensor"), " only in B."));
    }
  }

  const ReadReport& a_;
  const ReadReport& b_;
  const size_t most_;
  Comparison out_;
  std::string why_;  // the two are not comparable; empty: they are
  bool same_inputs_ = true, certain_ = true;
};

// Of the measurement that says most, where the two lie furthest apart.
constexpr std::string_view kTelling[] = {"coherence", "density_reached", "beta"};
constexpr size_t kToldInText = 5;

void AppendFurthest(const Comparison& comparison, std::string* out) {
  for (const std::string_view telling : kTelling) {
    for (const MeasuredDifferences& found : comparison.measured) {
      if (found.measure != telling || found.most.empty()) continue;
      absl::StrAppend(out, "\n", absl::StrReplaceAll(found.measure, {{"_", " "}}), " differs in ",
                      found.differ, " of ", Counted(found.compared, "tensor"), ", most in\n");
      for (size_t i = 0; i < std::min(kToldInText, found.most.size()); ++i) {
        const TensorDifference& each = found.most[i];
        absl::StrAppend(out, "  ",
                        Formatted("%.4f  ->  %.4f  (%+.4f)", each.a, each.b, each.b - each.a), "  ",
                        OneLine(each.name), "\n");
      }
      return;
    }
  }
}

Json MeasuredJson(const Comparison& comparison, size_t most) {
  Json list = Json::array();
  for (const MeasuredDifferences& found : comparison.measured) {
    Json tensors = Json::array();
    for (size_t i = 0; i < std::min(most, found.most.size()); ++i) {
      const TensorDifference& each = found.most[i];
      tensors.push_back(
          {{"name", each.name}, {"a", each.a}, {"b", each.b}, {"difference", each.b - each.a}});
    }
    list.push_back({{"measure", found.measure},
                    {"expert", found.expert.empty() ? Json(nullptr) : Json(found.expert)},
                    {"compared", found.compared},
                    {"differ", found.differ},
                    {"most", std::move(tensors)}});
  }
  return list;
}

}  // namespace

Comparison Compare(const ReadReport& a, const ReadReport& b, size_t most) {
  return Comparer(a, b, most).Run();
}

std::string ComparisonText(const ReadReport& a, const ReadReport& b, const Comparison& comparison) {
  std::string out;
  for (const std::string& sentence : comparison.sentences) {
    absl::StrAppend(&out, OneLine(sentence), "\n");
  }
  absl::StrAppend(&out, "\nA: ", OneLine(a.output), "\nB: ", OneLine(b.output), "\n\n");
  if (comparison.differences.empty()) absl::StrAppend(&out, "Nothing that is on record differs.\n");
  size_t width = 0;
  for (const Difference& each : comparison.differences) {
    width = std::max(width, each.what.size());
  }
  for (const Difference& each : comparison.differences) {
    std::string what = OneLine(each.what);
    what.resize(std::max(what.size(), std::min<size_t>(width, 40)), ' ');
    absl::StrAppend(&out, what, "  ", OneLine(each.a), "  ->  ", OneLine(each.b), "  (",
                    OneLine(each.difference), ")\n");
  }
  AppendFurthest(comparison, &out);
  for (const auto& [side, count, names] :
       {std::tuple("A", comparison.only_a, &comparison.only_a_names),
        std::tuple("B", comparison.only_b, &comparison.only_b_names)}) {
    if (count == 0) continue;
    absl::StrAppend(&out, "\nonly in ", side, ": ", Counted(count, "tensor"), ", ",
                    OneLine(names->front()), count > 1 ? " first" : "", "\n");
  }
  return out;
}

std::string ComparisonJson(const Comparison& comparison, size_t most) {
  Json differences = Json::array();
  for (const Difference& each : comparison.differences) {
    differences.push_back(
        {{"what", each.what}, {"a", each.a}, {"b", each.b}, {"difference", each.difference}});
  }
  const Json json = {
      {"format", 1},
      {"comparable", comparison.comparable},
      {"sentences", comparison.sentences},
      {"differences", std::move(differences)},
      {"measured", MeasuredJson(comparison, most)},
      {"only_a", {{"count", comparison.only_a}, {"names", comparison.only_a_names}}},
      {"only_b", {{"count", comparison.only_b}, {"names", comparison.only_b_names}}}};
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace merganser::web
