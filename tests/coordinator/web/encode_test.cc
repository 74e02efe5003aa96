#include "coordinator/web/encode.h"

#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace merganser::web {
namespace {

TEST(EncodeTest, Base64IsThatOfTheRfc) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64(FromHex("00ff10")), "AP8Q");
}

TEST(EncodeTest, HtmlTextIsNoMarkup) {
  EXPECT_EQ(HtmlText("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
  EXPECT_EQ(HtmlText("</pre></noscript>"), "&lt;/pre&gt;&lt;/noscript&gt;");
  EXPECT_EQ(HtmlText("one\ntwo"), "one\ntwo");
  // What turns the direction of writing round, and what is no UTF-8.
  EXPECT_EQ(HtmlText("a\xe2\x80\xae"
                     "b\x07"),
            "a\\u{202e}b\\u{7}");
  EXPECT_EQ(HtmlText("a\xff"), "a?");
  EXPECT_EQ(HtmlText("\xc3\xa9"), "\xc3\xa9");
}

TEST(EncodeTest, ScriptJsonHoldsTheSameValuesAndNoTag) {
  EXPECT_EQ(ScriptJson(R"({"a":"</script><!-- &amp;"})"),
            R"({"a":"\u003c/script\u003e\u003c!-- \u0026amp;"})");
}

}  // namespace
}  // namespace merganser::web
