#include "coordinator/web/layout.h"

#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser::web {
namespace {

using testing::ElementsAre;

std::vector<std::string> Labels(const Layout& layout) {
  std::vector<std::string> labels;
  for (const NamePattern& pattern : layout.patterns) labels.push_back(pattern.label);
  return labels;
}

TEST(LayoutTest, LayersAndExpertsAreNumbersOfOnePattern) {
  const Layout layout = LayOut(
      {"model.layers.3.mlp.experts.17.down_proj.weight", "model.embed_tokens.weight",
       "model.layers.60.mlp.experts.2.down_proj.weight", "model.layers.3.self_attn.q_proj.bias"});
  ASSERT_EQ(layout.patterns.size(), 3u);
  EXPECT_THAT(Labels(layout), ElementsAre("experts down", "embed tokens", "q bias"));
  EXPECT_EQ(layout.names[0].pattern, layout.names[2].pattern);
  EXPECT_EQ(layout.names[2].layer, 60);
  EXPECT_EQ(layout.names[2].expert, 2);
  EXPECT_EQ(layout.names[1].layer, -1);
  EXPECT_EQ(layout.names[3].expert, -1);
}

TEST(LayoutTest, AttentionComesBeforeFeedForwardAndBiasesComeLast) {
  const Layout layout =
      LayOut({"layers.0.mlp.down_proj.weight", "layers.0.self_attn.k_proj.bias",
              "layers.0.self_attn.o_proj.weight", "layers.0.input_layernorm.weight"});
  EXPECT_THAT(Labels(layout), ElementsAre("down", "k bias", "o", "input norm"));
  EXPECT_LT(layout.patterns[2].rank, layout.patterns[0].rank);
  EXPECT_LT(layout.patterns[0].rank, layout.patterns[3].rank);
  EXPECT_LT(layout.patterns[3].rank, layout.patterns[1].rank);
}

TEST(LayoutTest, ModulesOfOneLabelAreToldApart) {
  const Layout layout =
      LayOut({"visual.blocks.0.attn.q_proj.weight", "model.layers.0.self_attn.q_proj.weight"});
  EXPECT_THAT(Labels(layout), ElementsAre("visual q", "model q"));
  EXPECT_THAT(Labels(LayOut({"a.layers.0.x.w", "a.layers.0.y.w"})),
              ElementsAre("a.layers.N.x.w", "a.layers.N.y.w"));
}

TEST(LayoutTest, EveryNameComesBack) {
  const std::vector<std::string_view> names = {
      "model.layers.0.mlp.experts.0.up_proj.weight",
      "experts.5.layers.7.w",
      "h.11.attn.c_attn.weight",
      "layers.007.x",         // leading zeros are no number of ours
      "layers.1234567890.x",  // too long for one
      "12",
      "3.4.5",
      "",
      ".",
      "..7..",
      "layers.",
      "layers.1.layers.2.experts.3.experts.4",
      "a</script>.layers.1.\xe2\x80\xa8",
  };
  const Layout layout = LayOut(names);
  ASSERT_EQ(layout.names.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(NameOf(layout.patterns[layout.names[i].pattern], layout.names[i]), names[i]);
  }
}

}  // namespace
}  // namespace merganser::web
