//! Lines on standard error, by `PBS_LOG`'s level.
//!
//! Only lines that a person may miss go through here; the final `Error:` line does not.

use std::{fmt::Display, io::Write as _};

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

/// Where the lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    level: Level,
}

impl Log {
    /// The level that `PBS_LOG` names; info where it names none.
    pub(crate) fn from_environment() -> Self {
        let setting = crate::environment::setting("PBS_LOG").unwrap_or_default();
        let level = match setting.to_ascii_lowercase().as_str() {
            "off" => Level::Off,
            "error" => Level::Error,
            "warn" => Level::Warn,
            "debug" | "trace" => Level::Debug,
            _ => Level::Info,
        };
        Self { level }
    }

    pub(crate) fn error(self, line: impl Display) {
        self.line(Level::Error, line);
    }

    pub(crate) fn warn(self, line: impl Display) {
        self.line(Level::Warn, line);
    }

    pub(crate) fn info(self, line: impl Display) {
        self.line(Level::Info, line);
    }

    pub(crate) fn debug(self, line: impl Display) {
        self.line(Level::Debug, line);
    }

    fn line(self, level: Level, line: impl Display) {
        if level <= self.level {
            to_stderr(&format!("{line}\n"));
        }
    }
}

/// Writes to standard error.
pub(crate) fn to_stderr(text: &str) {
    // Where nobody can read it any more, there is nobody to tell either.
    drop(std::io::stderr().write_all(text.as_bytes()));
}
