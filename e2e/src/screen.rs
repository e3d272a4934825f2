//! What a terminal shows: a line that changes in place, and lines that stay. Elsewhere plain lines.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The screen.
pub struct Screen {
    bar: Option<ProgressBar>,
    begin: Instant,
}

impl Screen {
    /// A bar on a terminal, plain lines elsewhere.
    pub fn of_stdout() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} names  {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            begin: Instant::now(),
        }
    }

    /// Plain lines wherever it is.
    pub fn lines_of_stdout() -> Self {
        Self {
            bar: None,
            begin: Instant::now(),
        }
    }

    /// A line that stays.
    pub fn say(&self, text: &str) {
        let line = format!("{:>6.1} s  {text}", self.begin.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Where things stand. On a terminal it changes in place; elsewhere it is a line.
    pub fn progress(&self, ready: u64, names: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(names);
                bar.set_position(ready);
                bar.set_message(text.to_owned());
            }
            None => self.say(&format!("{ready}/{names} names  {text}")),
        }
    }

    /// Does it change in place?
    pub fn is_terminal(&self) -> bool {
        self.bar.is_some()
    }

    /// Nothing changes any more.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
