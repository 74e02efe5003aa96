#include "common/prepare/tokenizer_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/prepare/prepare.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Files = std::map<std::string, std::string>;

// A tokenizer.json of `vocab` and `added`, both as JSON.
std::string Tokenizer(const std::string& vocab = R"({"a": 0, "b": 1})",
                      const std::string& added = "[]") {
  return absl::StrCat(R"({"added_tokens": )", added, R"(, "model": {"type": "BPE", "vocab": )",
                      vocab, R"(, "merges": []}})");
}

class TokenizerChecksTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const Files& files,
             const std::string& config = R"({"model_type": "tiny"})") {
    TinyCheckpoint model;
    model.tensors = {{"model.layers.0.mlp.up_proj.weight", DType::kBF16, {8, 8}}};
    model.config = config;
    model.files = files;
    model.seed = seed_++;
    std::filesystem::remove_all(dir_.File(name));
    ASSERT_TRUE(WriteTinyCheckpoint(model, dir_.File(name)).ok());
  }

  // What is said of tokenizers in a merge of `experts` into base.
  std::vector<std::string> Said(const std::vector<std::string>& experts,
                                const std::string& lines = "") {
    const std::string recipe =
        absl::StrCat("merge_method: task_arithmetic\nbase_model: base\nmodels: [",
                     absl::StrJoin(experts, ", "), "]\nparameters: {weight: 1}\n", lines);
    const auto prepared = PrepareMerge(recipe, "r.yaml", {dir_.path()}, stores_);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    return prepared.ok() ? prepared->plan.warnings : std::vector<std::string>{"failed"};
  }
  // The same with one expert, and no more than one warning.
  std::string SaidOf(const Files& base, const Files& expert, const std::string& lines = "") {
    Write("base", base);
    Write("chat", expert);
    const std::vector<std::string> said = Said({"chat"}, lines);
    EXPECT_LE(said.size(), 1u) << absl::StrJoin(said, "\n");
    return said.empty() ? "" : said[0];
  }

  TempDir dir_;
  Stores stores_;
  uint64_t seed_ = 1;
};

TEST_F(TokenizerChecksTest, ModelsOfOneFamilyHaveNothingToSay) {
  EXPECT_EQ(SaidOf({}, {}), "");
  const Files base = {
      {"tokenizer.json", Tokenizer(R"({"a": 0, "b": 1, "<s>": 2})")},
      {"tokenizer_config.json",
       R"({"eos_token": "<s>", "chat_template": "{{ m }}\n{% if x %}y{% endif %}",
           "model_max_length": 1000000000000000019884624838656})"},
      {"generation_config.json", R"({"eos_token_id": [2, 0], "temperature": 0.6})"}};
  EXPECT_EQ(SaidOf(base, base), "");
  EXPECT_EQ(SaidOf(base, {}), "");
  // Saved by another version: an added token, an AddedToken, a template in a file of its own with
  // other white space, a stop token by itself, padding with the stop token.
  const Files expert = {
      {"tokenizer.json",
       Tokenizer(R"({"a": 0, "b": 1})", R"([{"id": 2, "content": "<s>", "special": true}])")},
      {"tokenizer_config.json",
       R"({"eos_token": {"content": "<s>", "lstrip": false}, "pad_token": "<s>",
           "added_tokens_decoder": {"2": {"content": "<s>"}}})"},
      {"special_tokens_map.json", R"({"eos_token": "<s>", "unk_token": "<s>"})"},
      {"added_tokens.json", R"({"<s>": 2})"},
      {"chat_template.jinja", "{{ m }}\n\n{% if x %}\n  y\n{% endif %}\n"},
      {"generation_config.json", R"({"eos_token_id": 2, "pad_token_id": 2})"}};
  EXPECT_EQ(SaidOf(base, expert), "");
}

TEST_F(TokenizerChecksTest, ATemplateThatOnlyTheExpertHas) {
  const std::string tokenizer = Tokenizer();
  const std::string line =
      "model chat: the output has tokenizer and stop tokens of model base, and will lack what chat "
      "has: a chat template (the output: none); to have that instead write tokenizer_source: chat";
  for (const Files& own :
       {Files{{"chat_template.jinja", "{{ m }}"}},
        Files{{"tokenizer_config.json", R"({"chat_template": "{{ m }}"})"}},
        Files{{"tokenizer_config.json",
               R"({"chat_template": [{"name": "default", "template": "{{ m }}"}]})"}},
        Files{{"chat_template.json", R"({"chat_template": "{{ m }}"})"}}}) {
    Files files = own;
    files["tokenizer.json"] = tokenizer;
    EXPECT_EQ(SaidOf({{"tokenizer.json", tokenizer}}, files), line);
    EXPECT_EQ(SaidOf(files, {{"tokenizer.json", tokenizer}}), "");
    EXPECT_THAT(SaidOf({{"tokenizer.json", tokenizer}}, files, "chat_template: chatml\n"),
                Not(HasSubstr("model chat")));
    EXPECT_EQ(SaidOf({{"tokenizer.json", tokenizer}}, files, "tokenizer_source: chat\n"), "");
    EXPECT_EQ(SaidOf({{"tokenizer.json", tokenizer}}, files, "tokenizer_source: base\n"), "");
    // The union is of tokens.
    EXPECT_EQ(SaidOf({{"tokenizer.json", tokenizer}}, files, "tokenizer_source: union\n"), line);
  }
}

TEST_F(TokenizerChecksTest, TokensByKind) {
  const std::string said =
      SaidOf({{"tokenizer.json", Tokenizer(R"({"a": 0, "b": 1, "c": 2, "z": 3})")}},
             {{"tokenizer.json", Tokenizer(R"({"b": 0, "a": 1, "c": 2, "n": 5, "o": 6, "p": 7})",
                                           R"([{"id": 3, "content": "<|im_end|>"},
                                        {"id": 8, "content": "<t>"}])")}});
  EXPECT_THAT(said,
              AllOf(HasSubstr("4 tokens more ('<t>' 8, 'n' 5, 'o' 6, ...)"),
                    HasSubstr("1 token under numbers of others (3 is '<|im_end|>', in the "
                              "output 'z')"),
                    HasSubstr("2 tokens under other numbers ('b' is 0, in the output 1, 'a' is "
                              "1, in the output 0)"),
                    HasSubstr("write tokenizer_source: chat, or for the tokens of all models "
                              "tokenizer_source: union")));
}

TEST_F(TokenizerChecksTest, TokensThatLoadingAdds) {
  const std::string tokenizer = Tokenizer();
  for (const Files& own : {Files{{"added_tokens.json", R"({"<t>": 2, "a": 0})"}},
                           Files{{"tokenizer_config.json",
                                  R"({"added_tokens_decoder": {"2": {"content": "<t>"}}})"}}}) {
    Files files = own;
    files["tokenizer.json"] = tokenizer;
    EXPECT_THAT(SaidOf({{"tokenizer.json", tokenizer}}, files),
                HasSubstr("1 token more ('<t>' 2)"));
    // Also where the files are not of the same bytes.
    files["tokenizer.json"] = tokenizer + " ";
    EXPECT_THAT(SaidOf({{"tokenizer.json", tokenizer}}, files),
                HasSubstr("1 token more ('<t>' 2)"));
    EXPECT_EQ(SaidOf(files, {{"tokenizer.json", tokenizer}}), "");
    EXPECT_EQ(SaidOf(files, files), "");
  }
}

TEST_F(TokenizerChecksTest, FilesThatDifferInWhatTheyAddAlone) {
  const std::string vocab = R"({"a": 0, "b": 1})";
  const Files base = {{"tokenizer.json", Tokenizer(vocab, R"([{"id": 2, "content": "<s>"}])")}};
  EXPECT_EQ(SaidOf(base, {{"tokenizer.json",
                           Tokenizer(vocab, R"([{"content": "<s>", "id": 2, "special": true}])")}}),
            "");
  EXPECT_EQ(SaidOf(base, {{"tokenizer.json", Tokenizer(vocab)}}), "");
  const Files expert = {
      {"tokenizer.json",
       Tokenizer(vocab, R"([{"id": 2, "content": "<t>"}, {"id": 3, "content": "<s>"},
                            {"id": 4, "content": "<u>"}])")},
      {"generation_config.json", R"({"eos_token_id": 3})"}};
  Files with_stop = base;
  with_stop["generation_config.json"] = R"({"eos_token_id": 2})";
  EXPECT_THAT(
      SaidOf(with_stop, expert),
      AllOf(HasSubstr("1 token more ('<u>' 4)"), HasSubstr("2 is '<t>', in the output '<s>'"),
            HasSubstr("'<s>' is 3, in the output 2"), Not(HasSubstr("eos_token_id")),
            Not(HasSubstr("union"))));
}

TEST_F(TokenizerChecksTest, SlowTokenizers) {
  const Files bpe = {{"vocab.json", R"({"a": 0, "b": 1})"}, {"added_tokens.json", R"({"<s>": 2})"}};
  EXPECT_EQ(SaidOf(bpe, {{"tokenizer.json",
                          Tokenizer(R"({"a": 0, "b": 1})", R"([{"id": 2, "content": "<s>"}])")}}),
            "");
  EXPECT_THAT(SaidOf(bpe, {{"vocab.json", R"({"b": 0, "a": 1})"}}),
              HasSubstr("2 tokens under other numbers"));
  EXPECT_EQ(SaidOf({{"tokenizer.model", "abc"}}, {{"tokenizer.model", "abc"}}), "");
  EXPECT_THAT(SaidOf({{"tokenizer.model", "abc"}}, {{"tokenizer.model", "abd"}}),
              HasSubstr("another tokenizer.model"));
  EXPECT_THAT(SaidOf({{"tokenizer.model", "abc"}},
                     {{"tokenizer.model", "abc"}, {"added_tokens.json", R"({"<s>": 2})"}}),
              HasSubstr("1 token more ('<s>' 2)"));
  // Nothing can be told of two forms.
  EXPECT_EQ(SaidOf({{"tokenizer.json", Tokenizer()}}, {{"tokenizer.model", "abc"}}), "");
}

TEST_F(TokenizerChecksTest, ATokenizerThatOnlyTheExpertHas) {
  EXPECT_THAT(SaidOf({}, {{"tokenizer.json", Tokenizer()}, {"chat_template.jinja", "{{ m }}"}}),
              AllOf(HasSubstr("will lack what chat has: a tokenizer (the output: none); to have"),
                    Not(HasSubstr("template"))));
  // Asked for by name; that there is nothing to compare it with is said as well.
  EXPECT_THAT(
      Said({"chat"}, "tokenizer_source: base\n"),
      testing::Contains(HasSubstr("r.yaml:5: key 'tokenizer_source': model base has no tokenizer, "
                                  "and so the output gets none; model chat has one")));
}

TEST_F(TokenizerChecksTest, SpecialTokens) {
  const std::string tokenizer = Tokenizer();
  const auto said = [&](const std::string& base, const std::string& expert) {
    return SaidOf({{"tokenizer.json", tokenizer}, {"tokenizer_config.json", base}},
                  {{"tokenizer.json", tokenizer}, {"tokenizer_config.json", expert}});
  };
  EXPECT_THAT(said(R"({"eos_token": "<s>"})", R"({"eos_token": {"content": "<|im_end|>"}})"),
              HasSubstr("eos_token '<|im_end|>' (the output: '<s>')"));
  EXPECT_THAT(said(R"({"pad_token": null})", R"({"pad_token": "<pad>", "eos_token": null})"),
              HasSubstr("pad_token '<pad>' (the output: none)"));
  EXPECT_THAT(
      said(R"({"bos_token": "a", "unk_token": "b"})", R"({"bos_token": "b", "unk_token": "b"})"),
      AllOf(HasSubstr("bos_token 'b' (the output: 'a')"), Not(HasSubstr("unk"))));
  // What a class may have by itself, and what only the output has.
  EXPECT_EQ(said("{}", R"({"bos_token": "<s>", "unk_token": "<unk>"})"), "");
  EXPECT_EQ(said(R"({"pad_token": "<pad>"})", "{}"), "");
}

TEST_F(TokenizerChecksTest, StopTokens) {
  const auto said = [&](const std::string& base, const std::string& expert) {
    return SaidOf({{"generation_config.json", base}}, {{"generation_config.json", expert}});
  };
  EXPECT_EQ(
      said(R"({"eos_token_id": 1})", R"({"eos_token_id": [1, 3]})"),
      "model chat: the output has tokenizer and stop tokens of model base, and will lack what "
      "chat has: eos_token_id [1, 3] in generation_config.json (the output: 1); to have that "
      "instead write tokenizer_source: chat");
  EXPECT_EQ(said(R"({"eos_token_id": [1, 3]})", R"({"eos_token_id": [3, 1]})"), "");
  EXPECT_EQ(said(R"({"eos_token_id": [1, 3]})", R"({"eos_token_id": 3})"), "");
  EXPECT_THAT(said("{}", R"({"eos_token_id": 3})"), HasSubstr("eos_token_id 3"));
  EXPECT_THAT(said(R"({"bos_token_id": 1})", R"({"bos_token_id": 2})"),
              HasSubstr("bos_token_id 2 in generation_config.json (the output: 1)"));
  EXPECT_EQ(said(R"({"pad_token_id": 1})", R"({"pad_token_id": -1, "bos_token_id": null})"), "");
  // config.json counts where generation_config.json says nothing.
  const auto configs = [&](const std::string& base, const std::string& expert) {
    Write("base", {}, base);
    Write("chat", {}, expert);
    return absl::StrJoin(Said({"chat"}), "\n");
  };
  EXPECT_THAT(configs(R"({"eos_token_id": 0})", R"({"text_config": {"eos_token_id": 15}})"),
              HasSubstr("eos_token_id 15 in config.json (the output: 0)"));
  EXPECT_EQ(configs("{}", R"({"eos_token_id": 15})"), "");
}

TEST_F(TokenizerChecksTest, ANumberMeansItsToken) {
  const Files base = {{"tokenizer.json", Tokenizer(R"({"a": 0, "<s>": 1})")},
                      {"generation_config.json", R"({"eos_token_id": 1})"}};
  EXPECT_THAT(SaidOf(base, {{"tokenizer.json", Tokenizer(R"({"<s>": 0, "a": 1})")},
                            {"generation_config.json", R"({"eos_token_id": 0})"}}),
              AllOf(HasSubstr("2 tokens under other numbers"), Not(HasSubstr("eos_token_id"))));
  EXPECT_THAT(SaidOf(base, {{"tokenizer.json", Tokenizer(R"({"a": 0, "<t>": 1})")},
                            {"generation_config.json", R"({"eos_token_id": 1})"}}),
              HasSubstr("eos_token_id 1 in generation_config.json (the output: 1, another token)"));
}

TEST_F(TokenizerChecksTest, EqualDifferencesShareALine) {
  Write("base", {{"tokenizer.json", Tokenizer()}});
  const Files chat = {{"tokenizer.json", Tokenizer()}, {"chat_template.jinja", "{{ m }}"}};
  for (const char* name : {"e1", "e2", "e3", "e4", "e5"}) Write(name, chat);
  Files other = chat;
  other["generation_config.json"] = R"({"eos_token_id": 7})";
  Write("other", other);
  EXPECT_THAT(Said({"e1", "e2"}), ElementsAre(AllOf(HasSubstr("models e1 and e2: the output"),
                                                    HasSubstr("what they have: a chat template"),
                                                    HasSubstr("tokenizer_source: e1"))));
  EXPECT_THAT(Said({"e1", "other", "e2", "e3", "e4", "e5"}),
              ElementsAre(HasSubstr("models e1, e2, e3 and 2 more: "),
                          AllOf(HasSubstr("model other: "), HasSubstr("eos_token_id 7"))));
}

TEST_F(TokenizerChecksTest, AFileThatIsNoneIsAWarning) {
  const std::string tokenizer = Tokenizer();
  EXPECT_THAT(
      SaidOf({{"tokenizer.json", tokenizer}}, {{"tokenizer.json", "{"}}),
      AllOf(HasSubstr("model chat: not compared with the output's tokenizer, that of model base: "),
            HasSubstr("tokenizer.json")));
  EXPECT_THAT(SaidOf({{"tokenizer.json", tokenizer}, {"tokenizer_config.json", "[]"}},
                     {{"tokenizer.json", tokenizer}}),
              AllOf(HasSubstr("the tokenizer of model base"), HasSubstr("tokenizer_config.json")));
}

TEST_F(TokenizerChecksTest, ModelsOfTokenRulesAreMerged) {
  Write("base", {{"tokenizer.json", Tokenizer()}});
  Write("chat", {{"tokenizer.json", Tokenizer()}});
  Write("aside", {{"tokenizer.json", Tokenizer()}});
  const auto prepare = [&](const std::string& model) {
    return PrepareMerge(
               "merge_method: task_arithmetic\nbase_model: base\nmodels: [chat]\ntokenizer:\n"
               "  tokens:\n    a: {source: {kind: model_token, token: b, model: " +
                   model + "}}\n",
               "r.yaml", {dir_.path()}, stores_)
        .status();
  };
  // Further than to the rows, of which these models have none.
  EXPECT_THAT(std::string(prepare("chat").message()), HasSubstr("no embedding was found"));
  EXPECT_THAT(std::string(prepare("./base").message()), HasSubstr("no embedding was found"));
  for (const char* model : {"aside", "gone"}) {
    EXPECT_THAT(std::string(prepare(model).message()),
                HasSubstr(absl::StrCat("r.yaml:6: key 'tokenizer.tokens.a.source': found model ",
                                       model, ", which is not merged; expected one of ")));
  }
}

}  // namespace
}  // namespace merganser
