//! Rules of the house over the source files themselves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Past this a file holds more than one idea (research: the best code bases' 90th percentile is about 400).
const LINES_MAX: usize = 500;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["common", "util", "utils", "shared", "core", "helpers"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Files that git knows of or would take.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().map(|name| root().join(name)).filter(|path| path.is_file()).collect()
}

fn rust_sources() -> impl Iterator<Item = (PathBuf, String)> {
    files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

#[test]
fn files_fit_in_the_head() {
    for (path, text) in rust_sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, {LINES_MAX} at most: which idea moves out?", path.display());
    }
}

#[test]
fn names_say_what_is_inside() {
    for path in files() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let rust = path.extension().is_some_and(|extension| extension == "rs");
        assert!(!rust || !EMPTY_NAMES.contains(&stem), "{}: the name says nothing", path.display());
    }
}

#[test]
fn unsafe_lives_in_the_kafka_crate_alone() {
    let kafka = root().join("kafka");
    for (path, text) in rust_sources().filter(|(path, _)| !path.starts_with(&kafka)) {
        let words = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<String>();
        let block = ["unsafe", " {"].concat();
        assert!(!words.contains(&block) && !words.contains(&["unsafe", " fn"].concat()), "{}", path.display());
    }
}

#[test]
fn no_test_is_ignored() {
    for (path, text) in rust_sources() {
        assert!(!text.contains(&["#[ig", "nore"].concat()), "{} ignores a test", path.display());
    }
}
