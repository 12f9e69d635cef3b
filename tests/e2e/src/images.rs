//! The images that the cluster runs, made of the release binaries. Tags name the content, so that a cluster that has been up for a
//! while never runs yesterday's program.

use std::path::{Path, PathBuf};

use penstock_lab::{Image, Lab};

use crate::failure::{Context as _, Failure, Result};

/// Full names of the images that were loaded.
#[derive(Clone, Debug)]
pub struct Images {
    /// Tag of `penstock/operator`.
    pub operator_tag: String,
    /// Tag of `penstock/worker`.
    pub worker_tag: String,
    /// The demo's processor, with its tag.
    pub flight_delays: String,
}

impl Images {
    /// Puts the images into the lab's containerd, unless they are there.
    ///
    /// # Errors
    /// When a binary is not built, or containerd refuses an image.
    pub fn load(lab: &Lab) -> Result<Self> {
        let folder = binaries()?;
        Ok(Self {
            operator_tag: load(lab, &folder, "penstock/operator", "penstock-operator")?.1,
            worker_tag: load(lab, &folder, "penstock/worker", "penstock-worker")?.1,
            flight_delays: load(lab, &folder, "penstock/flight-delays", "flight-delays").map(|(name, _)| name)?,
        })
    }
}

fn load(lab: &Lab, folder: &Path, repository: &str, program: &str) -> Result<(String, String)> {
    let inside = format!("/{program}");
    let image = |name: &str| Image::new(name, &inside).file(&inside, folder.join(program));
    let oci = image(repository).to_oci().context(format!("making an image of {program}"))?;
    let tag: String = oci.digest.trim_start_matches("sha256:").chars().take(12).collect();
    let name = format!("{repository}:{tag}");
    lab.load_image(&image(&name)).context(format!("loading {name}"))?;
    Ok((name, tag))
}

/// Where Cargo puts binaries: beside this one, or above it if it is a test.
fn binaries() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let found = own.ancestors().skip(1).take(2).find(|folder| folder.join("penstock-operator").is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        Failure::new(format!("penstock-operator is not beside {}; cargo build --release --bins", own.display()))
    })
}
