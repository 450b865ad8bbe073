//! An output beside what it should be, element by element.

/// How far an element is off, and how far it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    pub error: f64,
    pub allowed: f64,
}

/// That of the element which is the worst for what it is allowed; None where a number is none.
/// `limits` are of each element; without them it is `allowed`.
pub fn worst(
    given: &[f64],
    exact: &[f64],
    allowed: f64,
    limits: Option<&[f64]>,
) -> Option<Deviation> {
    let mut worst = Deviation { error: 0.0, allowed };
    let mut share = 0.0;
    for (i, (a, b)) in given.iter().zip(exact).enumerate() {
        let error = (a - b).abs();
        if !error.is_finite() {
            return None;
        }
        let allowed = limits.map_or(allowed, |limits| limits[i]);
        let own = if allowed > 0.0 {
            error / allowed
        } else if error <= allowed {
            0.0
        } else {
            f64::INFINITY
        };
        if own > share || (own == share && error > worst.error) {
            (share, worst) = (own, Deviation { error, allowed });
        }
    }
    Some(worst)
}
