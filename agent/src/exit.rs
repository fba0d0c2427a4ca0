//! How a command ends: the exit codes of the design, and errors in two parts, what happened and
//! what to do now.

use std::{fmt, process::ExitCode, time::Duration};

use crate::hub::HubError;

/// Why a command did not do its work, by exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// `status` found the box unprotected.
    Unprotected = 1,
    /// The command line or the configuration cannot be understood.
    Usage = 2,
    /// Something that must be mended before the work begins.
    Preflight = 10,
    /// The ten words open nothing of this box.
    WordsWrong = 11,
    /// What came from hub or PBS did not prove itself.
    GateRefused = 12,
    /// Something would be overwritten, and no operator has ordered it.
    WaitingForOrder = 13,
    /// Some of it was restored.
    PartlyRestored = 14,
    /// Hub or PBS cannot be reached.
    Unreachable = 15,
    /// Hub or PBS refuses us.
    NotAuthorised = 16,
    /// Anything else.
    Internal = 20,
    /// A signal, or Ctrl-C at a prompt.
    Interrupted = 130,
}

/// An error as a person reads it: what happened, what to do now, and the chain of causes.
pub(crate) struct Stop {
    pub(crate) code: Code,
    pub(crate) what: String,
    pub(crate) remedy: Option<String>,
    /// Nothing else is to be expected before this time is over; whoever refused has said so.
    pub(crate) retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a command's steps.
pub(crate) type Outcome<T> = Result<T, Stop>;

impl Stop {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), remedy: None, retry_after: None, source: None }
    }

    /// A call to the hub that brought nothing; with the time that the hub has asked for, if it has.
    pub(crate) fn of_call(error: HubError) -> Self {
        let retry_after = match &error {
            HubError::Later { after, .. } => Some(*after),
            _ => None,
        };
        Self { retry_after, ..Self::from(error) }
    }

    /// What to do now.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, ending with another exit code.
    #[must_use]
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// What caused it.
    #[must_use]
    pub(crate) fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The causes, outermost first, without repetition.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next: Option<&dyn std::error::Error> = self.source.as_deref().map(|e| e as &dyn std::error::Error);
        while let Some(error) = next {
            let text = error.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }

    /// What went wrong with its causes, in one line.
    pub(crate) fn in_one_line(&self) -> String {
        std::iter::once(self.what.clone()).chain(self.causes()).collect::<Vec<_>>().join(": ")
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("code", &self.code).field("what", &self.what).finish_non_exhaustive()
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Turns an error into a [`Stop`] where it happens.
pub(crate) trait OrStop<T> {
    /// `what` in the reader's words; the error itself becomes the cause.
    fn or_stop(self, code: Code, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> OrStop<T> for Result<T, E> {
    fn or_stop(self, code: Code, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Stop::new(code, what()).because(error))
    }
}
