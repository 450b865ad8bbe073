//! run --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]

mod arrays;
mod compare;
mod model;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{json, Value};

use arrays::{Array, Entry};
use compare::Deviation;
use model::{Arrays, Model};

pub type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "run --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]";

/// The inputs of each case, in the order of the file.
fn cases(entries: &[Entry]) -> Vec<(&str, Arrays)> {
    let mut found: Vec<(&str, Arrays)> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.part == "in") {
        if found.last().is_none_or(|(case, _)| *case != entry.case) {
            found.push((&entry.case, Arrays::new()));
        }
        if let Some((_, inputs)) = found.last_mut() {
            inputs.insert(entry.name.clone(), entry.array.clone());
        }
    }
    found
}

/// The worst element; None for another shape, another dtype or a NaN.
fn compared(given: Option<&Array>, wanted: &Entry) -> Option<Deviation> {
    let (given, exact) = (given?, &wanted.array);
    if given.shape != exact.shape || given.numbers.dtype() != exact.numbers.dtype() {
        return None;
    }
    let (given, exact) = (given.numbers.to_f64(), exact.numbers.to_f64());
    compare::worst(&given, &exact, wanted.allowed, wanted.limits.as_deref())
}

/// Every golden case at once and, where it may be, step by step.
fn verify(model: &mut Model, golden: &[Entry]) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    for (case, inputs) in cases(golden) {
        let wanted: Vec<&Entry> =
            golden.iter().filter(|e| e.part == "out" && e.case == case).collect();
        let streams = model.streams && wanted.iter().any(|entry| entry.stream);
        for how in if streams { &["whole", "stream"][..] } else { &["whole"][..] } {
            let outputs =
                if *how == "whole" { model.call(&inputs)? } else { model.streamed(&inputs)? };
            for entry in &wanted {
                let found = compared(outputs.get(&entry.name), entry);
                rows.push(json!({
                    "case": case, "how": how, "output": entry.name,
                    "error": found.map(|worst| worst.error),
                    "allowed": found.map_or(entry.allowed, |worst| worst.allowed),
                    "ok": found.is_some_and(|worst| worst.error <= worst.allowed),
                }));
            }
        }
    }
    Ok(rows)
}

/// The time of the smallest call, the best of 200.
fn step_seconds(model: &mut Model, golden: &[Entry]) -> Result<f64, Failure> {
    let mut by_name: BTreeMap<&str, Arrays> = BTreeMap::new();
    let all = cases(golden);
    let first = all.first().map(|(case, _)| *case).ok_or("golden/cases.json has no case")?;
    by_name.extend(all);
    let name = if by_name.contains_key("batch-1-time-1") { "batch-1-time-1" } else { first };
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        model.call(&by_name[name])?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Prints what is off; whether nothing is.
fn report(rows: &[Value]) -> bool {
    let wrong: Vec<&Value> = rows.iter().filter(|row| row["ok"] != true).collect();
    for row in &wrong {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        println!("WRONG {} {} {}: off by {}", text("case"), text("how"), text("output"), row["error"]);
    }
    let worst = rows.iter().filter_map(|row| row["error"].as_f64()).fold(0.0, f64::max);
    println!("{} of {} right, worst error {worst:.1e}", rows.len() - wrong.len(), rows.len());
    wrong.is_empty() && !rows.is_empty()
}

/// Where model.json is: here, or above target/release/run.
fn project() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let above = program.ancestors().find(|folder| folder.join("model.json").is_file());
    above.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn run(words: &[&str]) -> Result<bool, Failure> {
    let folder = project();
    let start = Instant::now();
    let mut model = Model::load(&folder, 1)?;
    let load_s = start.elapsed().as_secs_f64();
    if words[0] == "--verify" {
        let golden = arrays::read(&folder.join("golden").join("cases.json"))?;
        let rows = verify(&mut model, &golden)?;
        if let Some(file) = words.get(1) {
            let result = json!({
                "format": "rnnbench-result-1", "target": "rust-ort",
                "versions": {"ort": "2.0.0-rc.10"}, "load_s": load_s,
                "step_s": step_seconds(&mut model, &golden)?, "rows": rows,
            });
            std::fs::write(file, format!("{result:#}\n"))
                .map_err(|error| format!("cannot write {file} ({error})"))?;
        }
        return Ok(report(&rows));
    }
    let entries = arrays::read(Path::new(words[0]))?;
    let inputs = cases(&entries).into_iter().next().map(|(_, inputs)| inputs).unwrap_or_default();
    let mut outputs =
        if words.len() == 3 { model.streamed(&inputs)? } else { model.call(&inputs)? };
    let ordered: Vec<(String, Array)> =
        model.outputs.iter().filter_map(|port| outputs.remove_entry(&port.name)).collect();
    arrays::write(Path::new(words[1]), &ordered)?;
    Ok(true)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let known = match words[..] {
        ["--verify"] | ["--verify", _] => true,
        [input, _] | [input, _, "--stream"] => !input.starts_with('-'),
        _ => false,
    };
    if !known {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let said = error.to_string();
            eprintln!("{}", said.split_whitespace().collect::<Vec<_>>().join(" "));
            ExitCode::from(2)
        }
    }
}
