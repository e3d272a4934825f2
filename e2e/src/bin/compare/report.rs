//! The figures at the end: a table for people, JSON for programs.

use serde::Serialize;

use crate::arguments::Arguments;
use crate::turn::Turn;

/// All figures of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many names were asked for.
    names: usize,
    front: FrontFigures,
    limit_seconds: u64,
    replicas: u16,
    /// In the order in which they asked.
    turns: Vec<Turn>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FrontFigures {
    requests_per_second: f64,
    burst: u32,
    connections: Option<u32>,
}

/// A peer that was not asked.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    /// Which.
    pub who: String,
    /// Why not.
    pub why: String,
}

impl Report {
    /// The figures of a run with these flags.
    pub fn new(arguments: &Arguments, names: usize, turns: Vec<Turn>, left_out: Vec<LeftOut>) -> Self {
        Report {
            names,
            front: FrontFigures {
                requests_per_second: arguments.ca_rate,
                burst: arguments.ca_burst,
                connections: arguments.ca_connections,
            },
            limit_seconds: arguments.limit,
            replicas: arguments.replicas,
            turns,
            left_out,
        }
    }

    /// A row for each, and below it why it has not all names.
    pub fn table(&self) -> String {
        let header = ["who", "names issued", "seconds", "requests", "throttled", "ended"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.turns.iter().map(|turn| self.row(turn)));
        rows.extend(self.left_out.iter().map(|peer| {
            let none = || "-".to_owned();
            let words = format!("left out: {}", peer.why);
            [peer.who.clone(), none(), none(), none(), none(), words]
        }));
        let mut lines = aligned(&rows);
        for turn in self.turns.iter() {
            if let Some(why) = &turn.why {
                lines.push(format!("{}: {why}", turn.who));
            }
        }
        lines.join("\n")
    }

    fn row(&self, turn: &Turn) -> [String; 6] {
        [
            format!("{} {}", turn.who, turn.version),
            format!("{} of {}", turn.issued, self.names),
            format!("{:.1}", turn.seconds),
            turn.requests.to_string(),
            turn.throttled.to_string(),
            turn.ended.clone(),
        ]
    }
}

/// Rows with columns under one another: the first and the last begin, the others end in one place.
fn aligned(rows: &[[String; 6]]) -> Vec<String> {
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                5 => cell.clone(),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn turn(who: &str, issued: usize, why: Option<&str>) -> Turn {
        Turn {
            who: who.into(),
            version: "1.2".into(),
            issued,
            seconds: 3.25,
            requests: 7,
            throttled: 1,
            ended: "exit status: 1".into(),
            why: why.map(Into::into),
        }
    }

    fn report() -> Report {
        let turns = vec![
            turn("certbot", 0, Some("it was told 503")),
            turn("Sancho", 42, None),
        ];
        let left_out = vec![LeftOut {
            who: "lego".into(),
            why: "not in PATH".into(),
        }];
        Report::new(&Arguments::parse_from(["compare"]), 42, turns, left_out)
    }

    #[test]
    fn columns_stand_under_one_another_and_reasons_below() {
        let expected = "\
who          names issued  seconds  requests  throttled  ended
certbot 1.2       0 of 42      3.2         7          1  exit status: 1
Sancho 1.2       42 of 42      3.2         7          1  exit status: 1
lego                    -        -         -          -  left out: not in PATH
certbot: it was told 503";
        assert_eq!(report().table(), expected);
    }

    #[test]
    fn the_json_names_the_front_and_each_in_turn() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["front"]["requestsPerSecond"], 10.0);
        assert_eq!(json["turns"][1]["who"], "Sancho");
        assert_eq!(json["turns"][0]["throttled"], 1);
        assert_eq!(json["leftOut"][0]["why"], "not in PATH");
    }
}
