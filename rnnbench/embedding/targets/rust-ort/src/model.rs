//! The model: load it once, then call it with whole sequences, or step by step.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};
use serde_json::Value;

use crate::arrays::{Array, Numbers};
use crate::Failure;

pub type Arrays = BTreeMap<String, Array>;

/// An input or output, as model.json says it.
pub struct Port {
    pub name: String,
    dtype: String,
    /// Of an input: a size, or the name of one that is free.
    shape: Vec<Value>,
    lengths: bool,
    pub time_axis: Option<usize>,
}

pub struct Model {
    session: Session,
    pub name: String,
    /// Whether it gives the same step by step, with the states handed on.
    pub streams: bool,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Input, and the output that is fed back as it.
    states: Vec<(String, String)>,
    /// The inputs that the graph has: one that it does not use is not among them.
    used: Vec<String>,
}

impl Model {
    /// `folder` is the project's: with model.json and the model itself.
    pub fn load(folder: &Path, threads: usize) -> Result<Model, Failure> {
        let file = folder.join("model.json");
        let said = fs::read_to_string(&file)
            .map_err(|error| format!("{}: {error}; run this in its folder", file.display()))?;
        let about: Value = serde_json::from_str(&said)?;
        let text = |key: &str| about[key].as_str().unwrap_or_default().to_owned();
        let artifact = folder.join(text("artifact"));
        let session = Session::builder()?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .commit_from_file(&artifact)
            .map_err(|error| format!("{} cannot be loaded: {error}", artifact.display()))?;
        let ports = |key: &str| -> Vec<Port> {
            about[key].as_array().into_iter().flatten().map(port).collect()
        };
        let states = about["states"].as_object().into_iter().flatten();
        Ok(Model {
            used: session.inputs.iter().map(|input| input.name.clone()).collect(),
            session,
            name: text("name"),
            streams: about["streams"].as_bool().unwrap_or(false),
            inputs: ports("inputs"),
            outputs: ports("outputs"),
            states: states
                .filter_map(|(input, output)| Some((input.clone(), output.as_str()?.to_owned())))
                .collect(),
        })
    }

    /// The outputs by name, of whole sequences.
    pub fn call(&mut self, inputs: &Arrays) -> Result<Arrays, Failure> {
        self.check(inputs)?;
        let mut given: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for name in &self.used {
            let array = inputs.get(name).ok_or_else(|| format!("input {name:?} is missing"))?;
            given.push((name.as_str(), to_value(array)?.into()));
        }
        let results = self.session.run(given)?;
        let mut outputs = Arrays::new();
        for port in &self.outputs {
            let value = results.get(port.name.as_str());
            let value = value.ok_or_else(|| format!("the model gives no {:?}", port.name))?;
            outputs.insert(port.name.clone(), to_array(value, &port.dtype)?);
        }
        Ok(outputs)
    }

    /// A whole sequence fed step by step; the outputs are put together as `call` would give them.
    pub fn streamed(&mut self, inputs: &Arrays) -> Result<Arrays, Failure> {
        self.check(inputs)?;
        let timed: Vec<(String, usize)> = self
            .inputs
            .iter()
            .filter_map(|port| Some((port.name.clone(), port.time_axis?)))
            .collect();
        let total = timed.first().map_or(0, |(name, axis)| inputs[name].shape[*axis]);
        if total == 0 {
            return Err("there is no step to stream: give a sequence of at least one".into());
        }
        let mut stream = Stream::new(self, inputs)?;
        let mut parts: BTreeMap<String, Vec<Array>> = BTreeMap::new();
        for t in 0..total {
            let step = timed.iter().map(|(name, axis)| {
                (name.clone(), inputs[name].narrow(*axis, t, t + 1))
            });
            for (name, array) in stream.step(step.collect())? {
                parts.entry(name).or_default().push(array);
            }
        }
        let mut outputs = Arrays::new();
        for port in &self.outputs {
            let all = parts.remove(&port.name).unwrap_or_default();
            let whole = match (port.time_axis, all.last()) {
                (Some(axis), _) => Array::concat(&all, axis)?,
                (None, Some(last)) => last.clone(),
                (None, None) => continue,
            };
            outputs.insert(port.name.clone(), whole);
        }
        Ok(outputs)
    }

    /// What is wrong with inputs, and what is right.
    fn check(&self, inputs: &Arrays) -> Result<(), Failure> {
        let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
        for port in &self.inputs {
            let array = inputs.get(&port.name).ok_or_else(|| {
                let names: Vec<&str> = self.inputs.iter().map(|port| port.name.as_str()).collect();
                format!("input {:?} is missing: give {}", port.name, names.join(", "))
            })?;
            let dtype = array.numbers.dtype();
            let mut fits = dtype == port.dtype && array.shape.len() == port.shape.len();
            for (dim, &size) in port.shape.iter().zip(&array.shape) {
                let wanted = match dim.as_str() {
                    Some(free) => *sizes.entry(free).or_insert(size),
                    None => dim.as_i64().unwrap_or(size),
                };
                fits = fits && size == wanted;
            }
            if !fits {
                let shape: Vec<String> = port
                    .shape
                    .iter()
                    .map(|dim| dim.as_str().map_or_else(|| dim.to_string(), str::to_owned))
                    .collect();
                return Err(format!(
                    "input {:?} is {dtype}{:?}: give {}[{}], with the same batch and time in all",
                    port.name,
                    array.shape,
                    port.dtype,
                    shape.join(", ")
                )
                .into());
            }
        }
        Ok(())
    }
}

/// `let mut stream = Stream::new(&mut model, &inputs)?; stream.step(part)?`: keeps the states.
pub struct Stream<'m> {
    model: &'m mut Model,
    inputs: Arrays,
}

impl<'m> Stream<'m> {
    /// The states to start from are in `inputs`, and all that has no time axis.
    pub fn new(model: &'m mut Model, inputs: &Arrays) -> Result<Stream<'m>, Failure> {
        if !model.streams {
            let name = &model.name;
            return Err(format!("{name} needs whole sequences: run it without --stream").into());
        }
        Ok(Stream { model, inputs: inputs.clone() })
    }

    /// `part`: the inputs that have a time axis, for the steps to do now.
    pub fn step(&mut self, part: Arrays) -> Result<Arrays, Failure> {
        let mut steps = 1;
        for port in &self.model.inputs {
            if let (Some(axis), Some(array)) = (port.time_axis, part.get(&port.name)) {
                steps = array.shape.get(axis).copied().unwrap_or(steps);
            }
        }
        self.inputs.extend(part);
        for port in self.model.inputs.iter().filter(|port| port.lengths) {
            if let Some(lengths) = self.inputs.get_mut(&port.name) {
                *lengths = lengths.filled(steps);
            }
        }
        let outputs = self.model.call(&self.inputs)?;
        for (input, output) in &self.model.states {
            if let Some(state) = outputs.get(output) {
                self.inputs.insert(input.clone(), state.clone());
            }
        }
        Ok(outputs)
    }
}

fn port(said: &Value) -> Port {
    Port {
        name: said["name"].as_str().unwrap_or_default().to_owned(),
        dtype: said["dtype"].as_str().unwrap_or_default().to_owned(),
        shape: said["shape"].as_array().cloned().unwrap_or_default(),
        lengths: said["role"] == "lengths",
        time_axis: said["time_axis"].as_u64().map(|axis| axis as usize),
    }
}

fn to_value(array: &Array) -> Result<DynValue, Failure> {
    let shape = array.shape.clone();
    Ok(match &array.numbers {
        Numbers::Float32(v) => Tensor::from_array((shape, v.clone()))?.into_dyn(),
        Numbers::Float64(v) => Tensor::from_array((shape, v.clone()))?.into_dyn(),
        Numbers::Int64(v) => Tensor::from_array((shape, v.clone()))?.into_dyn(),
        Numbers::Int32(v) => Tensor::from_array((shape, v.clone()))?.into_dyn(),
        Numbers::Bool(v) => Tensor::from_array((shape, v.clone()))?.into_dyn(),
    })
}

fn to_array(value: &DynValue, dtype: &str) -> Result<Array, Failure> {
    macro_rules! extract {
        ($type:ty, $numbers:path) => {{
            let (shape, numbers) = value.try_extract_tensor::<$type>()?;
            Ok(Array { shape: shape.to_vec(), numbers: $numbers(numbers.to_vec()) })
        }};
    }
    match dtype {
        "float32" => extract!(f32, Numbers::Float32),
        "float64" => extract!(f64, Numbers::Float64),
        "int64" => extract!(i64, Numbers::Int64),
        "int32" => extract!(i32, Numbers::Int32),
        "bool" => extract!(bool, Numbers::Bool),
        _ => Err(format!("dtype {dtype} is not known here").into()),
    }
}
