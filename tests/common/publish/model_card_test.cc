#include "common/publish/model_card.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

PlannedModel Model(const std::string& given, const std::string& uri) {
  PlannedModel model;
  model.given = given;
  model.uri = uri;
  return model;
}

TEST(DisplayModel, IsTheHubsIdOrTheLastSegment) {
  EXPECT_EQ(DisplayModel(Model("Qwen/Qwen2.5-7B", "memory://cache/x")), "Qwen/Qwen2.5-7B");
  EXPECT_EQ(DisplayModel(Model("/secret/models/a", "/secret/models/a")), "a");
  EXPECT_EQ(DisplayModel(Model("s3://bucket/run/final", "s3://bucket/run/final")), "final");
  EXPECT_EQ(DisplayModel(Model("models/a", "/home/me/models/a")), "a");
  EXPECT_EQ(DisplayModel(Model("../a", "/home/a")), "a");
  EXPECT_EQ(DisplayModel(Model("x", "/h/hub/models--org--na-me/snapshots/abc123")), "org/na-me");
}

TEST(YamlQuoted, KeepsEverythingOneScalarOnOneLine) {
  EXPECT_EQ(YamlQuoted("plain"), "\"plain\"");
  EXPECT_EQ(YamlQuoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(YamlQuoted("x\n- evil: true\r\t"), "\"x\\u000A- evil: true\\u000D\\u0009\"");
  EXPECT_EQ(YamlQuoted("# &anchor *alias !tag {a: b}"), "\"# &anchor *alias !tag {a: b}\"");
  EXPECT_EQ(YamlQuoted("\xC3\xBC"), "\"\xC3\xBC\"");
  // Line separators of YAML 1.1: NEL, LS, PS.
  EXPECT_EQ(YamlQuoted("a\xC2\x85"
                       "b\xE2\x80\xA8"
                       "c\xE2\x80\xA9"),
            "\"a\\u0085b\\u2028c\\u2029\"");
  EXPECT_EQ(YamlQuoted("\u202e\u061c\U000e0041"), "\"\\u202E\\u061C\\U000E0041\"");
  // Not UTF-8: a stray byte, an overlong slash, a surrogate, a cut-off sequence.
  EXPECT_EQ(YamlQuoted("\xFF"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(YamlQuoted("\xC0\xAF"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(YamlQuoted("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(YamlQuoted("a\xE2\x80"), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(MarkdownCell, CannotLeaveItsCell) {
  EXPECT_EQ(MarkdownCell("a|b\nc"), "a\\|b c");
  EXPECT_EQ(MarkdownCell("<script>`x`"), "&lt;script\\>\\`x\\`");
  EXPECT_EQ(MarkdownCell("a\u009b\u202eb\u2066"), "a  b ");
  EXPECT_EQ(MarkdownCell("[t](u)"), "\\[t\\](u)");
}

TEST(FenceFor, IsLongerThanAnyRunInside) {
  EXPECT_EQ(FenceFor("plain"), "```");
  EXPECT_EQ(FenceFor("a ``` b"), "````");
  EXPECT_EQ(FenceFor("`````"), "``````");
}

TEST(ModelCard, HasTheHubsFrontMatter) {
  EXPECT_THAT(ModelCard(OneShardPlan()),
              StartsWith("---\nbase_model:\n- \"org/base\"\n- \"org/a\"\n- \"org/b\"\n"
                         "library_name: transformers\ntags:\n- merganser\n- merge\n---\n"));
}

TEST(ModelCard, NamesAModelOnceInTheFrontMatter) {
  Plan plan = OneShardPlan();
  plan.models[2] = plan.models[1];
  EXPECT_THAT(ModelCard(plan), HasSubstr("- \"org/a\"\nlibrary_name"));
}

TEST(ModelCard, TellsModelsMethodAndRecipe) {
  Plan plan = OneShardPlan();
  plan.method.method = "resmerge";
  plan.method.numbers = {{"rank_topk", 1}, {"head_ratio_budget", 0.2}};
  plan.method.choices = {{"scope", "tensor"}};
  plan.method.per_model = {{{"weight", 0.5}}, {{"weight", 1}}};
  plan.recipe_text = "merge_method: resmerge\n# a ```fence```";
  const std::string card = ModelCard(plan);
  EXPECT_THAT(card, HasSubstr("| org/base | base |"));
  EXPECT_THAT(card, HasSubstr("| org/a | expert, weight 0.5 |"));
  EXPECT_THAT(card, HasSubstr("| head_ratio_budget | 0.2 |"));
  EXPECT_THAT(card, HasSubstr("| scope | tensor |"));
  EXPECT_THAT(card, HasSubstr("| spectral | 1 | 30 |"));
  EXPECT_THAT(card, HasSubstr("written as bfloat16"));
  EXPECT_THAT(card, HasSubstr("````yaml\nmerge_method: resmerge\n# a ```fence```\n````\n"));
}

TEST(ModelCard, TellsOfParametersThatVary) {
  Plan plan = OneShardPlan();
  plan.method.per_model = {{{"weight", 0.5}}, {{"weight", 1}}};
  plan.overrides.resize(2, plan.method);
  plan.overrides[0].per_model[0]["weight"] = 0.25;
  plan.overrides[1].per_model[0]["weight"] = 0.75;
  plan.tensors[0].method = 2;
  const std::string card = ModelCard(plan);
  EXPECT_THAT(card, HasSubstr("| org/a | expert, weight 0.25 to 0.75 |"));
  EXPECT_THAT(card, HasSubstr("| org/b | expert, weight 1 |"));
  EXPECT_THAT(card, HasSubstr("give 1 tensor other parameters"));
  plan.tensors[0].sources = {{1, 0, 0, DType::kBF16, "layers.7.mlp.weight"}};
  const std::string sliced = ModelCard(plan);
  EXPECT_THAT(sliced, HasSubstr("| org/a | expert |"));
  EXPECT_THAT(sliced, HasSubstr("stacked from slices"));
}

TEST(ModelCard, TellsOfWarningsAndDepartures) {
  Plan plan = OneShardPlan();
  plan.method.method = "resmerge";
  plan.method.numbers = {{"rank_topk", 1}};
  EXPECT_THAT(ModelCard(plan), Not(HasSubstr("Otherwise")));
  EXPECT_THAT(ModelCard(plan), Not(HasSubstr("Warning")));
  plan.tensors[0].spec = {"layers.0.mixer.A_log", {32, 16}};
  plan.tensors[0].needs.mode = "mean";
  const std::string card = ModelCard(plan, {"an | odd\nthing"});
  EXPECT_THAT(card, HasSubstr("- 1 tensor (layers.0.mixer.A_log) is averaged"));
  EXPECT_THAT(card, HasSubstr("**Warning:** an \\| odd thing.\n"));
}

TEST(ModelCard, TellsWhereConfigsDifferAndWhoseIsTaken) {
  Plan plan = OneShardPlan();
  EXPECT_THAT(ModelCard(plan), Not(HasSubstr("## Configuration")));
  plan.config_differences = {{"rope_theta", "10000.0", "1e6", "", {1, 2}},
                             {"x|y", "", "\"`\"", "", {2}}};
  const std::string card = ModelCard(plan);
  EXPECT_THAT(card, HasSubstr("`config.json` is that of org/base;"));
  EXPECT_THAT(card, HasSubstr("| rope_theta | 10000.0 | 1e6 | org/a, org/b |"));
  EXPECT_THAT(card, HasSubstr("| x\\|y | (missing) | \"\\`\" | org/b |"));
}

TEST(ModelCard, TellsNoLocalPaths) {
  Plan plan = OneShardPlan();
  plan.models[0] = Model("/home/somebody/secret/base", "/home/somebody/secret/base");
  plan.models[1] = Model("evil\n---\nx: |", "/home/somebody/evil\n---\nx: |");
  const std::string card = ModelCard(plan);
  EXPECT_THAT(card, Not(HasSubstr("somebody")));
  EXPECT_THAT(card, HasSubstr("- \"evil\\u000A---\\u000Ax: |\"\n"));
  EXPECT_THAT(card, HasSubstr("| evil --- x: \\| | expert"));
}

}  // namespace
}  // namespace merganser
