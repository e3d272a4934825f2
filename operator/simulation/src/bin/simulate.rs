//! `cargo simulate`: how well replicas share a CA's budget, in virtual time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, ValueEnum};
use sancho_limiter::{Budget, SubRate};
use sancho_simulation::{Limits, Network, Outage, Refusal, Report, Scenario, Work};

/// Runs Sancho's limiter on a simulated API server and CA, in virtual time, and prints how it went.
///
/// Without --given nothing is known about the CA, and its rate is found out. The same flags and seed give the same
/// run. Ends with status 1 if an invariant of the limiter is broken.
#[derive(Parser)]
#[command(name = "simulate", bin_name = "cargo simulate")]
struct Flags {
    /// Replicas that share the budget.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    replicas: u16,
    /// Virtual hours.
    #[arg(long, default_value_t = 1000.0, value_parser = hours)]
    hours: f64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, one after the other from --seed on: a line for each, and one with the worst figures.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    #[command(flatten)]
    ca: Ca,
    /// The requests per second, burst and requests in flight that are given, such as 10,5,4. Absent: found out.
    #[arg(long, value_name = "RATE,BURST,IN_FLIGHT", value_parser = budget)]
    given: Option<Budget>,
    /// Requests that each replica gets an hour; 0: more than it can ever send.
    #[arg(long, default_value_t = 100)]
    work: u32,
    /// The mean time in minutes from one replica's end to the next one's; 0: none ends.
    #[arg(long, default_value_t = 60.0)]
    churn: f64,
    /// Of a thousand messages to the API server, so many are lost or late.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000))]
    trouble: u64,
    /// The CA answers 503 to everything, from a second of the run on for some seconds, such as 1800,300; or, with a
    /// third number, to one request in so many by chance, such as 1800,20,3.
    #[arg(long, value_name = "FROM,SECONDS[,ONE_IN]", value_parser = outage)]
    outage: Vec<Outage>,
    /// Writes the figures as JSON into this file; of several seeds an array.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What the CA is like.
#[derive(Args)]
struct Ca {
    /// Requests per second that the CA bears.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Requests that it bears at once beyond the first.
    #[arg(long, default_value_t = 5)]
    burst: u32,
    /// Requests that it works on at once; 0: any number.
    #[arg(long, default_value_t = 0)]
    connections: u32,
    /// Requests per second that newOrder bears, if that has a limit of its own; one request in eight is for it then.
    #[arg(long, value_parser = rate)]
    new_order_rate: Option<f64>,
    /// How it refuses.
    #[arg(long, value_enum, default_value_t = Refusal::Nginx)]
    refusal: Refusal,
    /// How far away it is.
    #[arg(long, value_enum, default_value_t = Distance::Loopback)]
    distance: Distance,
}

/// How far away the CA is.
#[derive(Clone, Copy, ValueEnum)]
enum Distance {
    /// On the same machine.
    Loopback,
    /// 40 ms there and back, with up to 10 ms of jitter each way.
    Far,
}

/// About what it is in an order of a single name.
const NEW_ORDER_ONE_IN: u32 = 8;

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let mut reports = Vec::new();
    for seed in (0..flags.seeds).map(|number| flags.seed.wrapping_add(number)) {
        let report = scenario(&flags, seed).run();
        if flags.seeds == 1 {
            println!("{report}");
        } else {
            println!("{}", line(&report));
        }
        reports.push(report);
    }
    if flags.seeds > 1 {
        println!("{}", worst(&reports));
    }
    if let Some(file) = &flags.report {
        let json = match reports.as_slice() {
            [only] => serde_json::to_string_pretty(only),
            several => serde_json::to_string_pretty(several),
        };
        std::fs::write(file, json?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let is_clean = reports.iter().all(|report| report.violations == 0);
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn scenario(flags: &Flags, seed: u64) -> Scenario {
    let ca = &flags.ca;
    let network = match ca.distance {
        Distance::Loopback => Network::loopback(),
        Distance::Far => Network::far(),
    };
    Scenario {
        replicas: usize::from(flags.replicas),
        lasts: Duration::from_secs_f64(flags.hours * 3600.0),
        seed,
        limits: Limits {
            refusal: ca.refusal,
            requests_per_second: ca.rate,
            burst: ca.burst,
            connections: (ca.connections > 0).then_some(ca.connections),
            new_order: ca.new_order_rate.map(|rate| SubRate::new(rate, 0)),
        },
        new_order_one_in: ca.new_order_rate.map(|_| NEW_ORDER_ONE_IN),
        given: flags.given.clone(),
        network: Network {
            trouble_per_mille: flags.trouble,
            ..network
        },
        work: match flags.work {
            0 => Work::Steady,
            requests => Work::Hourly(requests),
        },
        churn: (flags.churn > 0.0).then(|| Duration::from_secs_f64(flags.churn * 60.0)),
        outages: flags.outage.clone(),
    }
}

fn line(report: &Report) -> String {
    let used = report
        .utilisation
        .map_or_else(|| "-".to_owned(), |used| format!("{:.1} %", used * 100.0));
    format!(
        "seed {}: {} violations, {used} used, throttled {} while learning, at most {} an hour after, \
         {} requests a second",
        report.seed,
        report.violations,
        report.throttled_learning,
        report.throttled_per_hour_after,
        report.requests_per_second
    )
}

/// The worst figure of each kind, of all seeds.
fn worst(reports: &[Report]) -> String {
    let least_used = reports
        .iter()
        .filter_map(|report| report.utilisation)
        .reduce(f64::min);
    let used = least_used.map_or_else(|| "-".to_owned(), |used| format!("{:.1} %", used * 100.0));
    let most = |figure: fn(&Report) -> u64| reports.iter().map(figure).max().unwrap_or(0);
    format!(
        "worst: {} violations, {used} used, throttled {} while learning, at most {} an hour after",
        most(|report| report.violations),
        most(|report| report.throttled_learning),
        most(|report| report.throttled_per_hour_after)
    )
}

fn hours(text: &str) -> Result<f64, String> {
    positive(text, 1_000_000.0)
}

fn rate(text: &str) -> Result<f64, String> {
    positive(text, 1000.0)
}

fn positive(text: &str, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= most => Ok(number),
        Ok(_) => Err(format!("must be above 0 and at most {most}")),
        Err(error) => Err(error.to_string()),
    }
}

fn budget(text: &str) -> Result<Budget, String> {
    let [per_second, burst, in_flight] = numbers(text)?;
    let whole = |number: f64| {
        let is_whole = number.fract() == 0.0 && (0.0..=1e6).contains(&number);
        // Checked to be a whole number within bounds.
        is_whole
            .then_some(number as u32)
            .ok_or_else(|| format!("{number} is no whole number"))
    };
    Ok(Budget::new(
        positive(&per_second.to_string(), 1000.0)?,
        whole(burst)?,
        whole(in_flight)?.max(1),
    ))
}

fn outage(text: &str) -> Result<Outage, String> {
    let [from, seconds, one_in] = match numbers(text) {
        Ok([from, seconds]) => [from, seconds, 1.0],
        Err(_) => numbers(text)?,
    };
    if from < 0.0 || seconds < 0.0 || one_in < 1.0 {
        return Err("times must not be negative, and one request in at least one is hit".into());
    }
    Ok(Outage {
        from: Duration::from_secs_f64(from),
        lasts: Duration::from_secs_f64(seconds),
        unreachable: None,
        one_in: one_in as u64,
    })
}

fn numbers<const N: usize>(text: &str) -> Result<[f64; N], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse::<f64>()).collect();
    numbers
        .map_err(|error| error.to_string())?
        .try_into()
        .map_err(|_| format!("{N} numbers are wanted, with commas between"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_on_the_page_of_figures_are_taken() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/figures.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, section) = page.split_once("## How well").unwrap();
        let mut count = 0;
        for code in section.split('`').skip(1).step_by(2) {
            let words: Vec<&str> = code.trim_start_matches("sh\n").split_whitespace().collect();
            let flags = match words.as_slice() {
                ["--help"] => continue,
                ["cargo", "simulate", flags @ ..] => flags,
                [first, ..] if first.starts_with("--") => words.as_slice(),
                _ => continue,
            };
            count += 1;
            let parsed = Flags::try_parse_from(std::iter::once(&"simulate").chain(flags));
            assert!(parsed.is_ok(), "{code}: {:?}", parsed.err());
        }
        assert!(count > 10, "only {count}");
    }
}
