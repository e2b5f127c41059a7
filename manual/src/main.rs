//! `ferric-manual DIR` writes the man pages and completions of all programs, laid out as `share` of an installation.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: ferric-manual DIR");
        return ExitCode::from(2);
    };
    match ferric_manual::write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferric-manual: {error:#}");
            ExitCode::FAILURE
        }
    }
}
