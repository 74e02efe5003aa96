// Keys of config.json that tell layers by their number, of outputs whose layers moved.
#include "common/config/config_layers.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/config/config_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Origins = std::vector<uint64_t>;

// The first three of four layers and the last three.
const Origins kStacked = {0, 1, 2, 1, 2, 3};
const Origins kBegin = {0, 1, 2};
const Origins kEnd = {2, 3};
const Origins kAll = {0, 1, 2, 3};

struct Made {
  std::string text;  // on one line, without spaces
  ConfigRemarks remarks;
};

// What becomes of a config of four layers with `more`.
Made Rewritten(const std::string& more, const Origins& origins,
               const std::string& before = R"("num_hidden_layers": 4)") {
  ConfigChanges changes;
  changes.reference_layers = 4;
  changes.origins = origins;
  Made made;
  const auto out = RewriteConfig(absl::StrCat("{", before, ", ", more, "}"), "", "config.json",
                                 changes, &made.remarks);
  EXPECT_TRUE(out.ok()) << out.status();
  for (const char c : out.value_or("")) {
    if (c != ' ' && c != '\n') made.text += c;
  }
  return made;
}

struct Case {
  std::string from, to;  // of the key's value
  Origins origins = kStacked;
};

TEST(EditLayers, WritesValuesAnew) {
  const Case kCases[] = {
      // One entry a layer, whatever the entries are.
      {R"("layer_types":["a","b","c","d"])", R"("layer_types":["a","b","c","b","c","d"])"},
      {R"("indexer_types":["a","b","c","d"])", R"("indexer_types":["c","d"])", kEnd},
      {R"("layer_rope_theta":[1,0,2,0])", R"("layer_rope_theta":[1,0,2,0,2,0])"},
      {R"("no_rope_layers":[1,1,1,0])", R"("no_rope_layers":[1,1,1,1,1,0])"},
      {R"("intermediate_size":[1,2,3,4])", R"("intermediate_size":[1,2,3,2,3,4])"},
      {R"("num_key_value_heads":[8,0,0,8])", R"("num_key_value_heads":[8,0,0,0,0,8])"},
      {R"("activation_sparsity_pattern":[0.95,0.950,0.0,0.0])",
       R"("activation_sparsity_pattern":[0.95,0.950,0.0,0.950,0.0,0.0])"},
      {R"("moe_layer_freq":[0,1,1,1])", R"("moe_layer_freq":[0,1,1,1,1,1])"},
      {R"("block_configs":[{"n":1},{"n":2},{"n":3},{"n":4}])",
       R"("block_configs":[{"n":3},{"n":4}])", kEnd},
      {R"("hybrid_override_pattern":"M-M*")", R"("hybrid_override_pattern":"M-M-M*")"},
      // Those behind the layers stay behind them.
      {R"("compress_ratios":[1,2,3,4,9])", R"("compress_ratios":[3,4,9])", kEnd},
      // What is repeated.
      {R"("block_types":["r","r","a"])", R"("block_types":["r","r","a","r","a","r"])"},
      {R"("block_types":["r","a"])", R"("block_types":["r","a"])", kEnd},
      {R"("sliding_window_pattern":"LLLG")", R"("sliding_window_pattern":"LLLLLG")"},
      {R"("attention_types":[[["global","local"],2]])",
       R"("attention_types":[[["global","local","global","local","global","local"],1]])"},
      // Layers' numbers.
      {R"("mlp_only_layers":[0,3])", R"("mlp_only_layers":[0,5])"},
      {R"("full_attn_idxs":[2])", R"("full_attn_idxs":[2,4])"},
      {R"("cross_attention_layers":[1,3])", R"("cross_attention_layers":[1,3,5])"},
      {R"("hybrid_layer_ids":[1])", R"("hybrid_layer_ids":[])", kEnd},
      {R"("moe_layers_enum":"1,2,3")", R"("moe_layers_enum":"1,2,3,4,5")"},
      // The first of them is 1.
      {R"("linear_attn_config":{"kda_layers":[1,2,3],"full_attn_layers":[4]})",
       R"("linear_attn_config":{"kda_layers":[1,2,3,4,5],"full_attn_layers":[6]})"},
      {R"("linear_attn_config":{"kda_layers":[0,1,2],"full_attn_layers":[3]})",
       R"("linear_attn_config":{"kda_layers":[0,1,2,3,4],"full_attn_layers":[5]})"},
      // Counts from an end.
      {R"("first_k_dense_replace":1)", R"("first_k_dense_replace":1)"},
      {R"("first_k_dense_replace":3)", R"("first_k_dense_replace":1)", kEnd},
      {R"("num_dense_layers":2)", R"("num_dense_layers":0)", kEnd},
      {R"("max_window_layers":4)", R"("max_window_layers":6)"},
      {R"("max_window_layers":28)", R"("max_window_layers":28)"},
      {R"("moe_layer_start_index":1,"moe_layer_end_index":3)",
       R"("moe_layer_start_index":1,"moe_layer_end_index":5)"},
      {R"("num_kv_shared_layers":0)", R"("num_kv_shared_layers":0)"},
      // Every n-th, with an offset.
      {R"("attn_layer_period":4,"attn_layer_offset":3)",
       R"("attn_layer_period":4,"attn_layer_offset":1)", kEnd},
      // By their numbers.
      {R"("pruned_heads":{"1":[0],"3":[1]})", R"("pruned_heads":{"1":[0],"3":[0],"5":[1]})"},
      {R"("num_transformer_layers":4)", R"("num_transformer_layers":6)"},
  };
  for (const Case& one : kCases) {
    const Made made = Rewritten(one.from, one.origins);
    EXPECT_THAT(made.text, HasSubstr("," + one.to + "}")) << one.from;
    EXPECT_THAT(made.remarks.warnings, IsEmpty()) << one.from;
  }
}

TEST(EditLayers, KeepsWithAWarningWhatCannotBeSaid) {
  const std::pair<std::string, Origins> kCases[] = {
      {R"("first_k_dense_replace":2)", kStacked},
      {R"("moe_layer_start_index":2)", kStacked},
      {R"("moe_layer_start_index":[1,2])", kStacked},
      {R"("moe_layer_end_index":1)", kEnd},
      {R"("n_dense_layers":2)", kStacked},
      {R"("max_window_layers":2)", kStacked},
      {R"("use_sliding_window":true,"max_window_layers":2)", kStacked},
      {R"("num_kv_shared_layers":1)", {3, 0, 1}},
      {R"("num_kv_shared_layers":1)", kStacked},
      {R"("moe_layer_interval":2)", kStacked},
      {R"("global_attn_every_n_layers":2)", kStacked},
      {R"("dense_attention_every_n_layers":2)", kStacked},
      {R"("full_attention_interval":4)", kEnd},
      {R"("sliding_window_pattern":6)", kEnd},
      {R"("attn_layer_offset":1)", kStacked},
      {R"("attn_layer_period":2,"attn_layer_offset":1)", kStacked},
      {R"("scale_depth":1.4)", kStacked},
      {R"("scale_attn_by_inverse_layer_idx":true)", kStacked},
      {R"("layer_types":["a","b"])", kStacked},
      {R"("hybrid_override_pattern":"M-")", kStacked},
      // Names that nobody here knows.
      {R"("some_new_layers":2)", kStacked},
      {R"("mamba_every_n":3)", kStacked},
      {R"("deepstack_visual_indexes":[1,2,3,4])", kStacked},
      {R"("rope_theta_per_kind_of_layer":[1,2,3,4])", kStacked},
      {R"("steps":{"0":1,"2":3})", kStacked},
  };
  for (const auto& [more, origins] : kCases) {
    const Made made = Rewritten(more, origins);
    EXPECT_THAT(made.text, HasSubstr(more)) << more;
    EXPECT_THAT(made.remarks.warnings, ::testing::Not(IsEmpty())) << more;
    // Whose layers did not move it warns of nothing.
    EXPECT_THAT(Rewritten(more, {}).remarks.warnings, IsEmpty()) << more;
  }
}

TEST(EditLayers, APeriodAndItsOffsetAreWarnedOfOnce) {
  EXPECT_THAT(
      Rewritten(R"("attn_layer_period":2,"attn_layer_offset":1)", {0, 1, 1, 2}).remarks.warnings,
      ElementsAre(HasSubstr("'attn_layer_period'")));
}

TEST(EditLayers, TakesNamesForWhatTheySayAndSaysSo) {
  const Case kCases[] = {
      {R"("some_layer_kinds":["a","b","c","d"])", R"("some_layer_kinds":["c","d"])", kEnd},
      {R"("new_block_pattern":"abcd")", R"("new_block_pattern":"cd")", kEnd},
      {R"("dense_layer_ids":[1,3])", R"("dense_layer_ids":[1])", kEnd},
      {R"("special_layers":[1,4])", R"("special_layers":[2])", kEnd},
      {R"("per_layer":{"layer_1":{"a":1},"layer_2":{"a":2}})", R"("per_layer":{"layer_0":{"a":2}})",
       kEnd},
  };
  for (const Case& one : kCases) {
    const Made made = Rewritten(one.from, one.origins);
    EXPECT_THAT(made.text, HasSubstr(one.to)) << one.from;
    EXPECT_THAT(made.remarks.warnings, SizeIs(1)) << one.from;
  }
  // A layer that the model does not have.
  const Made made = Rewritten(R"("moe_layers":[1,3,5])", kEnd);
  EXPECT_THAT(made.text, HasSubstr(R"("moe_layers":[1])"));
  EXPECT_THAT(made.remarks.warnings, ElementsAre(HasSubstr("names layer 5")));
}

TEST(EditLayers, LayersThatShareAreCountedAnewWithAWarning) {
  const Made made = Rewritten(R"("num_kv_shared_layers":2)", kBegin);
  EXPECT_THAT(made.text, HasSubstr(R"("num_kv_shared_layers":1)"));
  EXPECT_THAT(made.remarks.warnings, ElementsAre(HasSubstr("is 1 in the output")));
}

TEST(EditLayers, LeavesAloneWhatHasNothingToDoWithLayers) {
  for (const std::string more :
       {R"("architectures":["A","B","C","D"])", R"("eos_token_id":[1,2,3,4])",
        R"("rope_scaling":{"mrope_section":[1,2,3,4],"factor":4.0})",
        R"("mrope_section":[1,2,3,4])",
        R"("vision_config":{"num_hidden_layers":4,"deepstack_visual_indexes":[1,2,3,4]})",
        R"("id2label":{"0":"A","1":"B","2":"C","3":"D"})", R"("hidden_act":"silu")",
        R"("layer_norm_eps":1e-05)", R"("hidden_size_per_layer_input":4)", R"("attn_window":[1,2])",
        R"("rope_local_base_freq":10000)", R"("num_attention_heads":4)", R"("block_size":4)",
        R"("num_nextn_predict_layers":1)", R"("mlp_only_layers":[])", R"("layer_types":null)",
        R"("decoder_sparse_step":1)", R"("moe_layer_end_index":-1)", R"("x":4)"}) {
    const Made made = Rewritten(more, kStacked);
    EXPECT_THAT(made.text, HasSubstr("," + more + "}")) << more;
    EXPECT_THAT(made.remarks.warnings, IsEmpty()) << more;
    EXPECT_THAT(made.remarks.notes, IsEmpty()) << more;
  }
}

TEST(EditLayers, NotesWhatIsKeptAndDoesNotCount) {
  for (const std::string more : {R"("layer_types":["a","b","c","d"],"full_attention_interval":4)",
                                 R"("layer_types":["a","b","c","d"],"_sliding_window_pattern":4)",
                                 R"("use_sliding_window":false,"max_window_layers":2)"}) {
    const Made made = Rewritten(more, {2, 3, 1});
    EXPECT_THAT(made.remarks.warnings, IsEmpty()) << more;
    EXPECT_THAT(made.remarks.notes, ElementsAre(HasSubstr("is kept"))) << more;
  }
}

TEST(EditLayers, LooksIntoTheTextConfigAndNotIntoOtherParts) {
  const Made made = Rewritten(
      R"("text_config":{"num_hidden_layers":4,"layer_types":["a","b","c","d"]},
         "vision_config":{"layer_types":["a","b","c","d"]})",
      kEnd, R"("model_type":"x")");
  EXPECT_EQ(made.text,
            R"({"model_type":"x","text_config":{"num_hidden_layers":2,"layer_types":["c","d"]},)"
            R"("vision_config":{"layer_types":["a","b","c","d"]}})");
}

TEST(EditLayers, WarnsOfClassesThatAlternateByThemselves) {
  const auto warnings = [](const std::string& more, const Origins& origins) {
    return Rewritten(more, origins).remarks.warnings;
  };
  EXPECT_THAT(warnings(R"("model_type":"gemma2")", {0, 1, 1, 2}),
              ElementsAre(HasSubstr("model type 'gemma2'")));
  EXPECT_THAT(warnings(R"("model_type":"gemma2")", {0, 1, 2, 3, 2, 3}), IsEmpty());
  EXPECT_THAT(warnings(R"("model_type":"gemma2","layer_types":["a","b","c","d"])", {0, 1, 1, 2}),
              IsEmpty());
  EXPECT_THAT(warnings(R"("model_type":"recurrent_gemma")", {0, 1, 1, 2}),
              ElementsAre(HasSubstr("block_types")));
  EXPECT_THAT(warnings(R"("model_type":"diffllama")", kEnd), SizeIs(1));
  EXPECT_THAT(warnings(R"("model_type":"llama")", kStacked), IsEmpty());
}

TEST(EditLayers, AddsTheListThatTheClassReadsWherePeriodsCannotSayIt) {
  const Case kCases[] = {
      {R"("model_type":"gemma2")",
       R"("layer_types":["sliding_attention","full_attention","full_attention",)"
       R"("sliding_attention"])",
       {0, 1, 1, 2}},
      {R"("model_type":"afmoe","global_attn_every_n_layers":3)",
       R"("layer_types":["sliding_attention","sliding_attention","full_attention",)"
       R"("sliding_attention","full_attention","sliding_attention"])"},
      {R"("model_type":"modernbert","global_attn_every_n_layers":3)",
       R"("layer_types":["full_attention","sliding_attention","sliding_attention",)"
       R"("sliding_attention","sliding_attention","full_attention"])"},
      {R"("model_type":"qwen3_next","full_attention_interval":4)",
       R"("layer_types":["linear_attention","linear_attention","linear_attention",)"
       R"("linear_attention","linear_attention","full_attention"])"},
      {R"("model_type":"smollm3","no_rope_layer_interval":4)", R"("no_rope_layers":[1,1,1,1,1,0])"},
      {R"("model_type":"llama4_text","no_rope_layer_interval":1,"interleave_moe_layer_step":2)",
       R"("moe_layers":[0,2])",
       {1, 2, 3}},
      {R"("model_type":"kimi_linear","first_k_dense_replace":2)",
       R"("mlp_layer_types":["dense","dense","sparse","dense","sparse","sparse"])"},
      // Layer 5 is another model's.
      {R"("model_type":"olmo3")",
       R"("layer_types":["full_attention","sliding_attention","sliding_attention"])",
       {3, 4, 5}},
  };
  for (const Case& one : kCases) {
    const Made made = Rewritten(one.from, one.origins);
    EXPECT_THAT(made.text, HasSubstr("," + one.to + "}")) << one.from;
    EXPECT_THAT(made.remarks.warnings, ElementsAre(HasSubstr("is added, with the kind of each")))
        << one.from;
  }
  const Made nested =
      Rewritten(R"("text_config":{"num_hidden_layers":4,"model_type":"gemma3_text"})",
                {0, 1, 2, 3, 0, 1, 2, 3}, R"("model_type":"gemma3")");
  EXPECT_THAT(nested.text, HasSubstr(R"("model_type":"gemma3_text","layer_types":[)"));
}

TEST(EditLayers, PeriodsThatStillFitAreKept) {
  for (const std::string more : {R"("model_type":"gemma3_text","sliding_window_pattern":6)",
                                 R"("model_type":"qwen3_next","full_attention_interval":2)",
                                 R"("model_type":"kimi_linear","first_k_dense_replace":4)"}) {
    const Made made = Rewritten(more, {0, 1, 0, 3});
    EXPECT_THAT(made.text, HasSubstr("," + more + "}")) << more;
    EXPECT_THAT(made.remarks.warnings, IsEmpty()) << more;
  }
  // A class that reads no such list gets none.
  const Made made = Rewritten(R"("model_type":"deepseek_v3","first_k_dense_replace":2)", kStacked);
  EXPECT_THAT(made.text, ::testing::Not(HasSubstr("mlp_layer_types")));
  EXPECT_THAT(made.remarks.warnings, ElementsAre(HasSubstr("first_k_dense_replace")));
}

TEST(EditLayers, AListOfKindsMayBeTheNumberOfLayers) {
  const Made made =
      Rewritten(R"("layers_block_type":["a","b","c","d"])", kEnd, R"("model_type":"nemotron_h")");
  EXPECT_THAT(made.text, HasSubstr(R"("layers_block_type":["c","d"]})"));
  EXPECT_THAT(made.remarks.warnings, IsEmpty());
}

TEST(EditLayers, PythonsNumbersStayThemselves) {
  EXPECT_THAT(Rewritten(R"("layer_map":{"2":[Infinity,-Infinity],"3":NaN})", kEnd).text,
              HasSubstr(R"("layer_map":{"0":[Infinity,-Infinity],"1":NaN})"));
}

TEST(EditLayers, LayersThatDidNotMoveChangeNothing) {
  const std::string more =
      R"("layer_types":["a","b","c","d"],"moe_layers":[1,3],"first_k_dense_replace":2)";
  const auto edits = EditLayers(absl::StrCat("{", more, "}"), 4, kAll);
  ASSERT_TRUE(edits.ok()) << edits.status();
  EXPECT_THAT(edits->warnings, IsEmpty());
  EXPECT_THAT(Rewritten(more, kAll).text, HasSubstr(more));
}

TEST(EditLayers, AListThatLacksALayerOfAnotherModelIsNamed) {
  const auto edits = EditLayers(R"({"hybrid_override_pattern": "M-M*"})", 4, {0, 4});
  EXPECT_EQ(edits.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(edits.status().message()),
              HasSubstr("key 'hybrid_override_pattern': found 4 entries, expected one for layer "
                        "4"));
}

}  // namespace
}  // namespace merganser
