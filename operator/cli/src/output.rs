//! How answers are written.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;

/// The forms of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON array.
    Json,
    /// The same as YAML.
    Yaml,
}

/// What a command found out.
pub struct Answer {
    value: serde_json::Value,
    text: String,
    is_fine: bool,
}

impl Answer {
    /// An answer; `is_fine` decides on the exit status.
    ///
    /// # Errors
    /// When the view cannot be serialized.
    pub fn new(view: &impl Serialize, is_fine: bool, text: impl FnOnce() -> String) -> Result<Self> {
        Ok(Self {
            value: serde_json::to_value(view)?,
            text: text(),
            is_fine,
        })
    }

    /// Is everything that was asked for ready?
    pub fn is_fine(&self) -> bool {
        self.is_fine
    }

    /// The answer in this form.
    ///
    /// # Errors
    /// When it cannot be serialized.
    pub fn text(&self, format: Format) -> Result<String> {
        Ok(match format {
            Format::Text => self.text.clone(),
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&self.value)?),
            Format::Yaml => serde_yaml::to_string(&self.value)?,
        })
    }
}

/// `text` in green if it says something good, else in red. On a terminal only: see [`print()`].
pub fn coloured(text: &str, is_good: bool) -> String {
    let colour = if is_good { AnsiColor::Green } else { AnsiColor::Red };
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

/// Writes to standard output, without colours if that is no terminal or `NO_COLOR` is set. A reader that has gone away
/// (`| head`) is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(text: &str) -> Result<()> {
    match anstream::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A table as kubectl writes them.
pub fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
