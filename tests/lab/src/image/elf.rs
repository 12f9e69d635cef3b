//! Which shared libraries a program needs, read from the files as the dynamic loader would, without running them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;

use crate::error::{Context, Error, Result};

const MAGIC: &[u8] = b"\x7fELF";

/// The folders that Debian's and Fedora's loaders search by themselves; a library keeps its folder in the image.
const FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// The loader and all libraries that a file needs, directly or through others: path in the image, and file. Empty for a static program
/// or a file that is no program.
pub(super) fn libraries(program: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open = vec![program.to_owned()];
    while let Some(file) = open.pop() {
        for library in needs(&file)? {
            let path = locate(&library, program)?;
            if found.insert(path.to_string_lossy().into_owned(), path.clone()).is_none() {
                open.push(path);
            }
        }
    }
    Ok(found)
}

/// What one file names: its interpreter by path, its libraries by name.
fn needs(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file).during(|| format!("reading {} for an image", file.display()))?;
    if !bytes.starts_with(MAGIC) {
        return Ok(Vec::new());
    }
    let elf = Elf::parse(&bytes)
        .map_err(|error| Error::Image { path: file.to_owned(), why: format!("a broken program: {error}") })?;
    let names = elf.interpreter.into_iter().chain(elf.libraries);
    Ok(names.map(str::to_owned).collect())
}

fn locate(library: &str, program: &Path) -> Result<PathBuf> {
    let candidates = FOLDERS.map(|folder| Path::new(folder).join(library));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| Error::Image {
        path: program.to_owned(),
        why: format!("needs {library}, which is in none of {}; link it statically", FOLDERS.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_program_needs_nothing() {
        assert!(libraries(Path::new("/etc/passwd")).unwrap().is_empty());
    }

    #[test]
    fn the_loader_is_found_under_the_path_the_program_names() {
        let found = libraries(Path::new("/bin/sh")).unwrap();
        assert!(found.keys().any(|path| path.contains("ld-linux")), "{found:?}");
        assert!(found.keys().any(|path| path.ends_with("/libc.so.6")), "{found:?}");
    }

    #[test]
    fn a_library_that_is_nowhere_is_named() {
        let error = locate("libnowhere.so.9", Path::new("/bin/x")).unwrap_err().to_string();
        assert!(error.contains("libnowhere.so.9") && error.contains("/bin/x"), "{error}");
    }
}
