//! `ferric-agent steps`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::ensure;
use ferric_hardware::machine::Machine;
use ferric_steps::catalogue;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::Kind;
use serde_json::{Map, Value};

use super::print;

/// Arguments of `steps`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print JSON, as `get_*_steps` answers, instead of a table
    #[arg(long)]
    pub json: bool,
    /// Directory of step plugins [default: /etc/ferric/steps.d]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub steps_dir: Option<PathBuf>,
}

/// Prints the step catalogue.
///
/// # Errors
/// The reason, for people; also when a plugin brings no steps, after those that there are.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut options = Options::default();
    if let Some(directory) = arguments.steps_dir {
        ensure!(directory.is_dir(), "{}: no such directory", directory.display());
        options.steps_dir = directory;
    } else if !options.steps_dir.exists() {
        eprintln!("ferric-agent: no step plugins: {} does not exist", options.steps_dir.display());
    }
    let site = Site::new(Machine::host(), options);
    print(arguments.json, &site)?;
    let left_out = catalogue::left_out(&site);
    for reason in &left_out {
        eprintln!("ferric-agent: {reason}");
    }
    ensure!(left_out.is_empty(), "{} of the step plugins cannot be used", left_out.len());
    Ok(())
}

fn print(as_json: bool, site: &Site) -> anyhow::Result<()> {
    let list = |kind| catalogue::list(kind, site).map(|list| (kind, list));
    let lists = [Kind::Clean, Kind::Deploy, Kind::Service].into_iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let mut out = String::new();
    if as_json {
        let mut all = Map::new();
        for (_, list) in lists {
            all.extend(list.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        }
        return Ok(print::text(&format!("{:#}", Value::Object(all)))?);
    }
    for (kind, list) in &lists {
        let name = kind.as_str();
        writeln!(out, "{name} steps (priority 0: only on request)")?;
        writeln!(out, "  {:>8}  {:<9}  {:<26}  {:<28}  arguments", "priority", "interface", "step", "manager")?;
        let managers = list[format!("{name}_steps")].as_object().into_iter().flatten();
        let mut steps: Vec<(&String, &Value)> = managers
            .flat_map(|(class, steps)| steps.as_array().into_iter().flatten().map(move |step| (class, step)))
            .collect();
        steps.sort_by_key(|(_, step)| -step["priority"].as_i64().unwrap_or_default());
        for (class, step) in steps {
            let text = |key: &str| step[key].as_str().unwrap_or_default();
            let line = format!(
                "  {:>8}  {:<9}  {:<26}  {class:<28}  {}",
                step["priority"].as_i64().unwrap_or_default(),
                text("interface"),
                text("step"),
                arguments_of(step)
            );
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(print::text(&out)?)
}

/// Names of the announced arguments; those that may be left out in brackets.
fn arguments_of(step: &Value) -> String {
    let announced = step["argsinfo"].as_object().into_iter().flatten();
    let names = announced.map(|(name, info)| match info["required"].as_bool() {
        Some(true) => name.clone(),
        _ => format!("[{name}]"),
    });
    names.collect::<Vec<_>>().join(" ")
}
