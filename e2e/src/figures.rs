//! What a command has measured, and what it should be.

use std::fmt::Write as _;

use serde::Serialize;

/// All figures, in the order in which they were measured.
#[derive(Debug, Default, Serialize)]
pub struct Figures(Vec<Figure>);

/// One figure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    what: String,
    unit: &'static str,
    value: f64,
    bound: Option<Bound>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        }
    }
}

impl Figures {
    /// Adds a figure. Without a bound it is for information.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        bound: impl Into<Option<Bound>>,
    ) {
        self.0.push(Figure {
            what: what.into(),
            unit,
            value,
            bound: bound.into(),
        });
    }

    /// Is everything within its bound?
    pub fn are_good(&self) -> bool {
        self.0.iter().all(Figure::is_good)
    }

    /// As a table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for figure in &self.0 {
            let value = format!("{} {}", short(figure.value), figure.unit);
            let bound = match figure.bound {
                None => String::new(),
                Some(Bound::AtLeast(least)) => format!("at least {}", short(least)),
                Some(Bound::AtMost(most)) => format!("at most {}", short(most)),
            };
            let mark = if figure.is_good() { "" } else { "  MISSED" };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:<62}{value:>18}  {bound}{mark}", figure.what);
        }
        text
    }
}

impl Figure {
    fn is_good(&self) -> bool {
        self.bound.is_none_or(|bound| bound.holds(self.value))
    }
}

/// With as many digits as anybody wants to know.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_misses_its_bound_is_marked_and_makes_all_bad() {
        let mut figures = Figures::default();
        figures.add("names", 25.04, "a second", Bound::AtLeast(20.0));
        figures.add("memory", 80.0, "MB", Bound::AtMost(100.0));
        figures.add("seconds", 12.0, "s", None);
        assert!(figures.are_good());
        assert!(!figures.table().contains("MISSED"));
        figures.add("writes", 1.0, "", Bound::AtMost(0.0));
        assert!(!figures.are_good());
        let table = figures.table();
        let last = table.lines().last().unwrap();
        assert!(last.contains("at most 0") && last.ends_with("MISSED"), "{table}");
    }
}
