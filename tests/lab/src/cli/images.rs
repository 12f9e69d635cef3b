//! `lab load-image` and `lab images`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use penstock_lab::{Error, Image, Lab, Progress, Result};

#[derive(Debug, Args)]
pub(super) struct LoadImage {
    /// The image's name, such as `example/hello:1`
    name: String,
    /// Files as SOURCE=/PATH/IN/THE/IMAGE; programs bring their shared libraries with them
    #[arg(required = true, value_parser = parse_file)]
    files: Vec<(PathBuf, String)>,
    /// The program to run, by its path in the image [default: the first file]
    #[arg(long)]
    entrypoint: Option<String>,
    /// uid:gid to run as
    #[arg(long, default_value = "65532:65532")]
    user: String,
}

fn parse_file(text: &str) -> std::result::Result<(PathBuf, String), String> {
    match text.split_once('=') {
        Some((source, path)) if !source.is_empty() && path.starts_with('/') => Ok((source.into(), path.to_owned())),
        _ => Err("write it as SOURCE=/PATH/IN/THE/IMAGE".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(super) struct Images {
    /// The images' tag
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// What stands before `operator` and `worker` in the images' names
    #[arg(long, default_value = "penstock")]
    repository: String,
}

/// Makes and imports one image.
pub(super) fn load(lab: &Lab, command: LoadImage, progress: &Progress) -> Result<()> {
    let first = command.files.first().map(|(_, path)| path.clone()).unwrap_or_default();
    let mut image = Image::new(command.name, command.entrypoint.unwrap_or(first));
    image.user = command.user;
    image.files = command.files.into_iter().map(|(source, path)| (path, source)).collect();
    import(lab, &image, progress)
}

/// Builds the release binaries of operator and worker, and an image of each.
pub(super) fn build(lab: &Lab, command: &Images, progress: &Progress) -> Result<()> {
    progress.say("cargo build --release -p penstock-operator -p penstock-worker");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built =
        Command::new(&cargo).args(["build", "--release", "-p", "penstock-operator", "-p", "penstock-worker"]).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err(Error::Conflict(
            "the build failed; see above (lab images is to be run in the repository)".to_owned(),
        ));
    }
    let release = target_directory(&cargo)?.join("release");
    for name in ["operator", "worker"] {
        let program = format!("penstock-{name}");
        let stripped = strip(&release.join(&program), &lab.dir().join("tmp").join(&program))?;
        let path = format!("/{program}");
        let image = Image::new(format!("{}/{name}:{}", command.repository, command.tag), &path);
        import(lab, &image.file(&path, stripped), progress)?;
    }
    Ok(())
}

/// A copy without what only a debugger reads: a tenth of the size, so pods start sooner.
fn strip(program: &Path, copy: &Path) -> Result<PathBuf> {
    let stripped = Command::new("strip").args(["--strip-debug", "-o"]).arg(copy).arg(program).status();
    if stripped.is_ok_and(|status| status.success()) {
        return Ok(copy.to_owned());
    }
    Err(Error::Missing {
        what: format!("strip could not copy {}", program.display()),
        remedy: "apt-get install binutils".to_owned(),
    })
}

fn import(lab: &Lab, image: &Image, progress: &Progress) -> Result<()> {
    let new = lab.load_image(image)?;
    progress.say(format!("{} {}", image.name, if new { "imported" } else { "is there already" }));
    Ok(())
}

fn target_directory(cargo: &std::ffi::OsStr) -> Result<PathBuf> {
    let unknown = || Error::Conflict("cargo metadata does not say where the target folder is".to_owned());
    let output =
        Command::new(cargo).args(["metadata", "--no-deps", "--format-version=1"]).output().map_err(|_| unknown())?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|_| unknown())?;
    metadata["target_directory"].as_str().map(|path| Path::new(path).to_owned()).ok_or_else(unknown)
}
