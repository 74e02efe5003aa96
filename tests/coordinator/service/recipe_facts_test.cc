#include "coordinator/service/recipe_facts.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/service/job_limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

JobInfo Facts(const std::string& recipe) {
  JobInfo info;
  info.method = "of before";
  info.models = {"of before"};
  SetRecipeFacts(recipe, info);
  return info;
}

TEST(RecipeFacts, AreMethodAndModelsOnceTheBaseFirst) {
  const JobInfo info = Facts(
      "merge_method: ties\nmodels: [{model: /a}, {model: /base}, {model: /a}]\nbase_model: "
      "/base\n");
  EXPECT_EQ(info.method, "ties");
  EXPECT_THAT(info.models, ElementsAre("/base", "/a"));
}

TEST(RecipeFacts, OfSlicesAreTheirSources) {
  const JobInfo info = Facts(
      "merge_method: linear\nslices:\n"
      "  - sources: [{model: /a, layer_range: [0, 2]}, {model: /b, layer_range: [0, 2]}]\n"
      "  - sources: [{model: /b, layer_range: [2, 4]}, {model: /c, layer_range: [2, 4]}]\n");
  EXPECT_THAT(info.models, ElementsAre("/a", "/b", "/c"));
}

TEST(RecipeFacts, AreBounded) {
  std::string recipe = "merge_method: linear\nmodels:\n";
  for (int i = 0; i < 100; ++i) {
    absl::StrAppend(&recipe, "  - model: /", i, std::string(1000, 'x'), "\n");
  }
  const JobInfo info = Facts(recipe);
  EXPECT_THAT(info.models, SizeIs(kMaxModels));
  EXPECT_EQ(info.models.front().size(), kMaxModelText);
}

TEST(RecipeFacts, OfWhatIsNoRecipeAreEmpty) {
  for (const char* text : {"", "merge_method: [", "a: b", "\xff"}) {
    const JobInfo info = Facts(text);
    EXPECT_EQ(info.method, "") << text;
    EXPECT_THAT(info.models, IsEmpty()) << text;
  }
}

}  // namespace
}  // namespace merganser
