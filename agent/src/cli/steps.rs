//! `ferric-agent steps`.

use std::fmt::Write;
use std::path::PathBuf;

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
    /// Directory of step plugins
    #[arg(long, value_name = "DIR", default_value = "/etc/ferric/steps.d")]
    pub steps_dir: PathBuf,
}

/// Prints the step catalogue.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let options = Options { steps_dir: arguments.steps_dir, ..Options::default() };
    let site = Site::new(Machine::host(), options);
    let list = |kind| catalogue::list(kind, &site).map(|list| (kind, list));
    let lists = [Kind::Clean, Kind::Deploy, Kind::Service].into_iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let mut out = String::new();
    if arguments.json {
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
