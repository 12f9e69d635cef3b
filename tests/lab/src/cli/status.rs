//! `lab status`.

use std::process::ExitCode;

use penstock_lab::{Dir, Lab, Result, State};

use super::print;

/// Prints every component with its state, and says by the exit code whether all is well.
pub(super) fn show(dir: &Dir) -> Result<ExitCode> {
    let lab = Lab::open(dir)?;
    let mut well = true;
    print(&format!("{:<26}{:<10}LOG", "COMPONENT", "STATE"))?;
    for service in lab.services()? {
        let state = match service.state {
            State::Running => "running".to_owned(),
            State::Exited(code) => format!("exit {code}"),
            State::Killed(signal) => format!("signal {signal}"),
        };
        well &= service.state == State::Running;
        print(&format!("{:<26}{state:<10}{}", service.name, dir.log(&service.name).display()))?;
    }
    if lab.shape().kubernetes {
        let ready = is_node_ready(&lab);
        well &= ready;
        print(&format!("node       {}", if ready { "Ready" } else { "not ready" }))?;
        print(&format!("kubeconfig {} (inside the lab's network: lab run -- …)", lab.kubeconfig().display()))?;
    }
    for id in 1..=lab.shape().brokers {
        let serves = lab.broker(id).is_ready()?;
        well &= serves;
        print(&format!(
            "broker {id}   {} {}",
            lab.broker(id).address(),
            if serves { "serving" } else { "not serving" }
        ))?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_node_ready(lab: &Lab) -> bool {
    let nodes = lab.command("kubectl").args(["get", "nodes", "--no-headers", "--request-timeout=5s"]).output();
    let nodes = nodes.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    nodes.split_whitespace().nth(1) == Some("Ready")
}
