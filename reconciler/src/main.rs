//! `toolforge`: the command line. Everything it does is in the library; here it is asked for and told.

mod cli;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
