// stderr, on which lines and one line that is rewritten take turns.
#ifndef MERGANSER_COORDINATOR_CLI_TERMINAL_H_
#define MERGANSER_COORDINATOR_CLI_TERMINAL_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace merganser::cli {

// Whether stderr is a terminal.
bool OnTerminal();

// Columns of the terminal; 80 where it does not say.
size_t TerminalColumns();

// Writes `line` and its end, above the status line where there is one. Thread-safe; works without
// memory but for what `line` takes.
void WriteErrorLine(std::string_view line);

// The status line of a terminal from now on; empty: none. Cut to the terminal's width, since a
// line that wraps cannot be rewritten. Thread-safe.
void SetStatusLine(std::string_view line);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_TERMINAL_H_
