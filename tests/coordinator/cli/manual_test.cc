// Manual pages, of a made-up command line. tests/e2e/packages_test.py has man and groff read the
// program's own.
#include "coordinator/cli/manual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "coordinator/cli/roff.h"
#include "tests/coordinator/cli/sample_outline.h"

namespace merganser::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(RoffTest, NothingInATextIsARequestOrAnEscape) {
  EXPECT_EQ(RoffText("a\\b"), "a\\eb");
  EXPECT_EQ(RoffText("it's \"so\" `x` ~ ^"), "it\\(aqs \\(dqso\\(dq \\(gax\\(ga \\(ti \\(ha");
  EXPECT_EQ(RoffLines(RoffText(".TH at the beginning")), "\\&.TH at the beginning\n");
  EXPECT_EQ(RoffText("a  b\n c"), "a b c");
  EXPECT_EQ(RoffText("na\xC3\xAFve \xE2\x82\xAC \xFF"), "na\\[u00EF]ve \\[u20AC] ?");
}

TEST(RoffTest, FlagsKeepHyphensThatCanBeCopied) {
  EXPECT_EQ(RoffText("--dry-run (-h) well-known - 'x"),
            "\\-\\-dry\\-run (\\-h) well-known - \\(aqx");
  EXPECT_EQ(RoffName("merganser-mpi"), "merganser\\-mpi");
  EXPECT_EQ(RoffBold("-h"), "\\fB\\-h\\fR");
}

TEST(RoffTest, LinesBelowEightyCharactersAndNoneBeginsAsARequest) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "word .dot ";
  const std::string lines = RoffLines(text);
  size_t begin = 0;
  while (begin < lines.size()) {
    const size_t end = lines.find('\n', begin);
    ASSERT_NE(end, std::string::npos);
    EXPECT_LT(end - begin, 80u);
    EXPECT_NE(lines[begin], '.');
    begin = end + 1;
  }
  EXPECT_EQ(RoffLines(" "), "");
}

class ManualTest : public testing::Test {
 protected:
  std::string Page(std::string_view name) const {
    return ManualPage(program_, name, facts_, {"goose"}).value_or("");
  }

  const OutlineProgram program_ = SampleOutline();
  const ManualFacts facts_ = {"duck 1.2", "2026-11-30"};
};

TEST_F(ManualTest, APageForTheProgramAndEachCommand) {
  EXPECT_THAT(ManualNames(program_), ElementsAre("duck", "duck-swim", "duck-rest"));
  EXPECT_EQ(Page("swim"), Page("duck-swim"));
  EXPECT_EQ(ManualPage(program_, "fly", facts_, {}), std::nullopt);
  EXPECT_EQ(ManualPage(program_, "", facts_, {}), std::nullopt);
}

TEST_F(ManualTest, TheHeadIsWhatIndexesRead) {
  const std::string page = Page("swim");
  EXPECT_THAT(page, HasSubstr("\n.TH \"DUCK\\-SWIM\" 1 \"2026-11-30\" \"duck 1.2\" \"Merganser\"\n"
                              ".SH NAME\nduck\\-swim \\- Swim where it\\(aqs wet\n.SH SYNOPSIS\n"));
  EXPECT_THAT(page, HasSubstr("\\fBduck swim\\fR [\\fIOPTION\\fR]... \\fILAKE\\fR "
                              "[\\fIOTHER\\fR...]\n"));
}

TEST_F(ManualTest, FlagsSayAllThatHoldsForThem) {
  const std::string page = Page("swim");
  EXPECT_THAT(page, HasSubstr(".TP\n\\fB\\-s\\fR, \\fB\\-\\-style\\fR \\fITEXT\\fR\n"
                              "How: [fast] or slow. One of crawl, paddle. Default: paddle.\n"));
  EXPECT_THAT(page, HasSubstr(".SS Diving\n.TP\n\\fB\\-\\-depth\\fR \\fIINT\\fR\n"
                              "Metres. From 1 to 64. Also taken from DUCK_DEPTH in the "
                              "environment. Only with\n\\-\\-style.\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-log\\fR \\fITEXT\\fR ...\n"
                              "File to write. Not with \\-\\-quiet.\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-quiet\\fR\nSay nothing.\n"));
  // Those of no group come first, wherever they stand among the others.
  EXPECT_LT(page.find("Say nothing"), page.find(".SS Diving"));
}

TEST_F(ManualTest, ExitCodesAndVariables) {
  for (const char* name : {"duck", "swim", "rest"}) {
    const std::string page = Page(name);
    EXPECT_THAT(page, HasSubstr(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nDone.\n.TP\n\\fB2\\fR\n"));
    EXPECT_THAT(page, HasSubstr("\\fB130\\fR\n"));
  }
  EXPECT_THAT(Page("duck"), HasSubstr("\\fBMERGANSER_TOKEN\\fR\n"));
  EXPECT_THAT(Page("swim"), Not(HasSubstr("MERGANSER_TOKEN")));
  EXPECT_THAT(Page("swim"), HasSubstr(".BR duck (1)\n"));
  EXPECT_THAT(Page("swim"), HasSubstr("\\fBDUCK_DEPTH\\fR\nAs \\-\\-depth.\n"));
}

TEST_F(ManualTest, PagesNameOneAnother) {
  const std::string page = Page("duck");
  EXPECT_THAT(page, HasSubstr(".SH COMMANDS\n.TP\n\\fBswim\\fR\nSwim where it\\(aqs wet.\n"));
  EXPECT_THAT(
      page, HasSubstr(".SH SEE ALSO\n.BR duck\\-swim (1),\n.BR duck\\-rest (1),\n.BR goose (1)\n"));
  EXPECT_THAT(page.substr(page.rfind(".SH ")), StartsWith(".SH SEE ALSO\n"));
  EXPECT_THAT(Page("rest"), HasSubstr(".SH SEE ALSO\n.BR duck (1)\n"));
}

}  // namespace
}  // namespace merganser::cli
