# Writes the header FILE, which names the commit that SOURCE stands at, with "-dirty" behind it where
# tracked files differ: COMMIT if that is given, "unknown" where there is no git or no repository. An
# unchanged header keeps its time, so that a build compiles nothing again but after a commit, and then
# the one source that includes it.
#
#   cmake -DFILE=... -DSOURCE=... -DCOMMIT=... -P commit.cmake
if(NOT COMMIT)
  # Of SOURCE itself: a copy within another repository is none of its commits.
  get_filename_component(above ${SOURCE} DIRECTORY)
  set(ENV{GIT_CEILING_DIRECTORIES} ${above})
  set(ENV{GIT_OPTIONAL_LOCKS} 0)
  execute_process(COMMAND git describe --always --abbrev=8 --exclude=* --dirty
                  WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE failed OUTPUT_VARIABLE COMMIT
                  ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed OR NOT COMMIT)
    set(COMMIT unknown)
  endif()
endif()
if(NOT COMMIT MATCHES "^[A-Za-z0-9._+-]+$")
  message(FATAL_ERROR "MERGANSER_COMMIT: found \"${COMMIT}\", expected letters, digits and ._+-")
endif()
file(CONFIGURE OUTPUT ${FILE} @ONLY CONTENT [[
// Made by coordinator/cli/commit.cmake.
#ifndef MERGANSER_COORDINATOR_CLI_COMMIT_H_
#define MERGANSER_COORDINATOR_CLI_COMMIT_H_

namespace merganser::cli {

inline constexpr char kCommit[] = "@COMMIT@";

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_COMMIT_H_
]])
