//! `toolforge`: the command line. Everything it does is in the library; here it is asked for and told.

mod cli;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all, while there is one thread: this process may be on its way into a cell.
    local::cell::enter().unwrap_or_else(cli::main)
}
