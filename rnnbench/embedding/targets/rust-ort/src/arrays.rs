//! Arrays by name in a pair of files: `NAME.json` says what is where in `NAME.bin`.

use std::fs;
use std::path::Path;

use serde_json::{json, Value};

use crate::Failure;

const FORMAT: &str = "rnnbench-cases-1";

/// Numbers of one dtype, the last dimension fastest.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Bool(Vec<bool>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<i64>,
    pub numbers: Numbers,
}

/// An array of a file, and what the file says of it.
pub struct Entry {
    pub case: String,
    /// `in` or `out`.
    pub part: String,
    pub name: String,
    /// The largest absolute error of an output.
    pub allowed: f64,
    /// That of each element, where it is not `allowed` for all.
    pub limits: Option<Vec<f64>>,
    /// Whether the case may be fed step by step.
    pub stream: bool,
    pub array: Array,
}

/// Calls a macro with the numbers, whatever they are, and wraps what it gives.
macro_rules! map_numbers {
    ($numbers:expr, $values:ident => $result:expr) => {
        match $numbers {
            Numbers::Float32($values) => Numbers::Float32($result),
            Numbers::Float64($values) => Numbers::Float64($result),
            Numbers::Int64($values) => Numbers::Int64($result),
            Numbers::Int32($values) => Numbers::Int32($result),
            Numbers::Bool($values) => Numbers::Bool($result),
        }
    };
}

impl Numbers {
    pub fn dtype(&self) -> &'static str {
        match self {
            Numbers::Float32(_) => "float32",
            Numbers::Float64(_) => "float64",
            Numbers::Int64(_) => "int64",
            Numbers::Int32(_) => "int32",
            Numbers::Bool(_) => "bool",
        }
    }

    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Numbers::Float32(v) => v.iter().map(|&x| x.into()).collect(),
            Numbers::Float64(v) => v.clone(),
            Numbers::Int64(v) => v.iter().map(|&x| x as f64).collect(),
            Numbers::Int32(v) => v.iter().map(|&x| x.into()).collect(),
            Numbers::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }

    fn from_bytes(dtype: &str, raw: &[u8]) -> Result<Numbers, Failure> {
        macro_rules! decode {
            ($type:ty) => {
                raw.chunks_exact(size_of::<$type>())
                    .map(|b| <$type>::from_le_bytes(b.try_into().expect("chunks of that size")))
                    .collect()
            };
        }
        Ok(match dtype {
            "float32" => Numbers::Float32(decode!(f32)),
            "float64" => Numbers::Float64(decode!(f64)),
            "int64" => Numbers::Int64(decode!(i64)),
            "int32" => Numbers::Int32(decode!(i32)),
            "bool" => Numbers::Bool(raw.iter().map(|&b| b != 0).collect()),
            _ => return Err(format!("dtype {dtype} is not known here").into()),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Numbers::Float32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::Float64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::Int64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::Int32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::Bool(v) => v.iter().map(|&x| u8::from(x)).collect(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Numbers::Float32(v) => v.len(),
            Numbers::Float64(v) => v.len(),
            Numbers::Int64(v) => v.len(),
            Numbers::Int32(v) => v.len(),
            Numbers::Bool(v) => v.len(),
        }
    }
}

impl Array {
    /// Steps `start..end` along an axis.
    pub fn narrow(&self, axis: usize, start: i64, end: i64) -> Array {
        let (outer, size, inner) = self.around(axis);
        let (start, end) = (start as usize, end as usize);
        let mut shape = self.shape.clone();
        shape[axis] = (end - start) as i64;
        let numbers = map_numbers!(&self.numbers, v => (0..outer)
            .flat_map(|o| v[(o * size + start) * inner..(o * size + end) * inner].iter().copied())
            .collect());
        Array { shape, numbers }
    }

    /// Arrays one after the other along an axis; they agree in all but their size there.
    pub fn concat(parts: &[Array], axis: usize) -> Result<Array, Failure> {
        let first = parts.first().ok_or("there is nothing to put together")?;
        let (outer, _, inner) = first.around(axis);
        let mut shape = first.shape.clone();
        shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
        let mut raw = Vec::new();
        let pieces: Vec<(Vec<u8>, usize)> = parts
            .iter()
            .map(|part| {
                let bytes = part.numbers.to_bytes();
                let row = bytes.len() / outer.max(1);
                (bytes, row)
            })
            .collect();
        for o in 0..if inner == 0 { 0 } else { outer } {
            for (bytes, row) in &pieces {
                raw.extend_from_slice(&bytes[o * row..(o + 1) * row]);
            }
        }
        let numbers = Numbers::from_bytes(first.numbers.dtype(), &raw)?;
        Ok(Array { shape, numbers })
    }

    /// The same shape and dtype, with one number everywhere.
    pub fn filled(&self, value: i64) -> Array {
        let n = self.numbers.len();
        let numbers = match &self.numbers {
            Numbers::Float32(_) => Numbers::Float32(vec![value as f32; n]),
            Numbers::Float64(_) => Numbers::Float64(vec![value as f64; n]),
            Numbers::Int64(_) => Numbers::Int64(vec![value; n]),
            Numbers::Int32(_) => Numbers::Int32(vec![value as i32; n]),
            Numbers::Bool(_) => Numbers::Bool(vec![value != 0; n]),
        };
        Array { shape: self.shape.clone(), numbers }
    }

    fn around(&self, axis: usize) -> (usize, usize, usize) {
        let product = |sizes: &[i64]| sizes.iter().map(|&n| n as usize).product();
        let (before, after) = (&self.shape[..axis], &self.shape[axis + 1..]);
        (product(before), self.shape[axis] as usize, product(after))
    }
}

/// Every array of a file.
pub fn read(header: &Path) -> Result<Vec<Entry>, Failure> {
    read_pair(header).map_err(|error| {
        let file = header.display();
        format!("{file} is no file of arrays ({error}): see golden/cases.json").into()
    })
}

fn read_pair(header: &Path) -> Result<Vec<Entry>, Failure> {
    let said: Value = serde_json::from_str(&fs::read_to_string(header)?)?;
    if said["format"] != FORMAT {
        return Err(format!("format {}, and this reads {FORMAT:?}", said["format"]).into());
    }
    let data = said["data"].as_str().ok_or("it names no data file")?;
    let raw = fs::read(header.with_file_name(data))?;
    let arrays = said["arrays"].as_array().ok_or("it has no arrays")?;
    arrays.iter().map(|line| read_entry(line, &raw)).collect()
}

fn read_entry(line: &Value, raw: &[u8]) -> Result<Entry, Failure> {
    let text = |key: &str| {
        let found = line[key].as_str().map(str::to_owned);
        found.ok_or_else(|| Failure::from(format!("an array without {key:?}")))
    };
    let size = |key: &str| {
        let found = line[key].as_u64().map(|n| n as usize);
        found.ok_or_else(|| Failure::from(format!("an array without {key:?}")))
    };
    let (name, start) = (text("name")?, size("offset")?);
    let part = start.checked_add(size("bytes")?).and_then(|end| raw.get(start..end));
    let part = part.ok_or_else(|| format!("the bytes of {name} are not all there"))?;
    let shape = line["shape"].as_array().ok_or("an array without \"shape\"")?;
    let shape: Option<Vec<i64>> = shape.iter().map(|n| n.as_i64().filter(|&n| n >= 0)).collect();
    let shape = shape.ok_or_else(|| format!("the shape of {name} is none"))?;
    let numbers = Numbers::from_bytes(&text("dtype")?, part)?;
    if shape.iter().product::<i64>() != numbers.len() as i64 {
        return Err(format!("the bytes of {name} are not those of its shape").into());
    }
    let limits = read_limits(line, &numbers, raw);
    let limits = limits.ok_or_else(|| format!("what {name} is allowed is not all there"))?;
    Ok(Entry {
        case: text("case")?,
        part: text("part")?,
        name,
        allowed: line["allowed"].as_f64().unwrap_or(0.0),
        limits,
        stream: line["stream"].as_i64().unwrap_or(0) != 0,
        array: Array { shape, numbers },
    })
}

/// What each element is allowed; Some(None) where `allowed` is for all, None where bytes are missing.
fn read_limits(line: &Value, numbers: &Numbers, raw: &[u8]) -> Option<Option<Vec<f64>>> {
    let Some(offset) = line.get("allowed_offset") else { return Some(None) };
    let start = usize::try_from(offset.as_u64()?).ok()?;
    let wide = matches!(numbers, Numbers::Float64(_));
    let (dtype, size) = if wide { ("float64", 8) } else { ("float32", 4) };
    let part = raw.get(start..start.checked_add(numbers.len() * size)?)?;
    Some(Some(Numbers::from_bytes(dtype, part).ok()?.to_f64()))
}

/// Writes arrays, by name, as the outputs of one case.
pub fn write(header: &Path, arrays: &[(String, Array)]) -> Result<(), Failure> {
    let data = header.with_extension("bin");
    let (mut raw, mut lines) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        let bytes = array.numbers.to_bytes();
        let line = json!({
            "case": "result", "part": "out", "name": name, "dtype": array.numbers.dtype(),
            "shape": array.shape, "offset": raw.len(), "bytes": bytes.len(),
            "allowed": 0, "stream": 0,
        });
        lines.push(line.to_string());
        raw.extend(bytes);
    }
    let file = data.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let start = format!("{{\"format\": {}, \"data\": {}, ", json!(FORMAT), json!(file));
    let text = format!("{start}\"arrays\": [\n{}\n]}}\n", lines.join(",\n"));
    fs::write(&data, raw)
        .and_then(|()| fs::write(header, text))
        .map_err(|error| format!("cannot write {} ({error})", header.display()).into())
}
