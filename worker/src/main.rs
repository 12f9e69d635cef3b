//! `penstock-worker`: the worker without a handler of its own.

use std::process::ExitCode;

use penstock_worker::Program;

fn main() -> ExitCode {
    Program::without_handler().main()
}
