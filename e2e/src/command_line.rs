//! What the commands of this package have in common: how their flags are read, and how they end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};

/// Does the work of a command until it is done or somebody presses Ctrl-C; dropping it must end all that
/// it started. Gives success for `Ok(true)` alone; an error is told on standard error under the
/// command's name.
pub async fn until_ctrl_c(command: &str, work: impl Future<Output = Result<bool>>) -> ExitCode {
    // In a block of its own: what was started has ended when its outcome is told.
    let run = async {
        tokio::select! {
            // First: work that itself waits for Ctrl-C at its end keeps its outcome.
            biased;
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => Err(anyhow!("stopped by Ctrl-C; everything has been ended")),
        }
    };
    match run.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Requests a second.
///
/// # Errors
///
/// When it is no number from 0.01 to 1000.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1000.0).contains(&rate) => Ok(rate),
        _ => Err("give a number from 0.01 to 1000, such as 5 or 0.2".into()),
    }
}

/// A file that can be read.
///
/// # Errors
///
/// When it cannot be, or is no file.
pub fn file(text: &str) -> Result<PathBuf, String> {
    match File::open(text).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() => Ok(text.into()),
        Ok(_) => Err("it is no file".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A file to be written at the end.
///
/// # Errors
///
/// When it could not be: said before everything is started, and not when the figures are there.
pub fn new_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!("{} is no folder", folder.display()));
    }
    if path.is_dir() {
        return Err("it is a folder".into());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_that_can_be_kept() {
        assert_eq!(rate("0.2"), Ok(0.2));
        for wrong in ["0", "-1", "1001", "NaN", "inf", "five"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_report_cannot_go_where_no_file_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let inside = |name: &str| dir.path().join(name).display().to_string();
        assert!(new_file(&inside("report.json")).is_ok());
        assert!(new_file("report.json").is_ok());
        assert!(new_file(&inside("")).is_err());
        assert!(new_file(&inside("absent/report.json")).is_err());
    }
}
