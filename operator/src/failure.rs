//! Refusals and failures: what happened, what to do now, and the exit code. Printed once, here.

use std::{borrow::Cow, process::ExitCode};

use serde::Serialize;
use tenwords_protocol::problem::{Problem, ProblemCode};

use crate::show::clean;

/// Why the command did not do what was asked. The texts never hold a token or a ticket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    code: Cow<'static, str>,
    what: String,
    remedy: Option<String>,
}

/// What the exit code says (design §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Looked at, and not as it should be.
    NotReady = 1,
    /// Not possible as asked.
    Usage = 2,
    /// Asked for, and the box has not said yet what came of it.
    Waiting = 13,
    /// The hub was not reached, or cannot answer now.
    Unreachable = 15,
    /// The hub does not take this token for that.
    NotAuthorised = 16,
    /// Something that should not happen.
    Internal = 20,
}

impl Failure {
    pub(crate) fn new(kind: Kind, code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, code: code.into(), what: what.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn usage(code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Usage, code, what, remedy)
    }

    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self { kind: Kind::Internal, code: "internal".into(), what: what.into(), remedy: None }
    }

    /// What the hub refused. Its words are shown, cleaned; its code decides.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let kind = match problem.code {
            ProblemCode::Unauthenticated | ProblemCode::Forbidden => Kind::NotAuthorised,
            ProblemCode::BoxRetired => Kind::Usage,
            ProblemCode::Unavailable | ProblemCode::RateLimited => Kind::Unreachable,
            ProblemCode::BadRequest
            | ProblemCode::BoxIsAlive
            | ProblemCode::Conflict
            | ProblemCode::NotFound
            | ProblemCode::Outdated => Kind::Usage,
            _ => Kind::Internal,
        };
        let detail = problem.detail.as_deref().map(|detail| format!(" ({})", clean(detail))).unwrap_or_default();
        let remedy = match problem.code {
            ProblemCode::Unauthenticated => Some("check the token in your token file: the hub does not know it"),
            ProblemCode::Forbidden => Some("ask an operator whose token may do this"),
            ProblemCode::Unavailable | ProblemCode::RateLimited => Some("wait a minute and try again"),
            ProblemCode::NotFound if problem.detail.is_none() => Some("`tenwords box list` shows what this hub knows"),
            _ => None,
        };
        Self {
            kind,
            code: clean(problem.code.as_str()).into(),
            what: format!("the hub refused: {}{detail}", clean(&problem.title)),
            remedy: remedy.map(str::to_owned),
        }
    }

    /// The same failure with another advice.
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With more advice.
    pub(crate) fn with_more(mut self, more: impl Into<String>) -> Self {
        let more = more.into();
        self.remedy = Some(self.remedy.map_or(more.clone(), |remedy| format!("{remedy}; {more}")));
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            let text = Printed { v: 1, code: &self.code, what: &self.what, remedy: self.remedy.as_deref() };
            match serde_json::to_string(&text) {
                Ok(text) => eprintln!("{text}"),
                Err(error) => eprintln!("error: {}: {error}", self.what),
            }
            return;
        }
        eprintln!("error: {}", self.what);
        if let Some(remedy) = &self.remedy {
            eprintln!("       {remedy}");
        }
    }
}

#[derive(Serialize)]
struct Printed<'a> {
    v: u8,
    code: &'a str,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_refusal_has_the_exit_code_of_its_kind() {
        for code in ProblemCode::ALL {
            let failure = Failure::of_problem(&Problem::new(code.clone(), None));
            let expected = match code.status() {
                401 => Kind::NotAuthorised,
                403 if *code == ProblemCode::Forbidden => Kind::NotAuthorised,
                403 if *code == ProblemCode::BoxRetired => Kind::Usage,
                429 | 503 => Kind::Unreachable,
                400 | 404 | 409 => Kind::Usage,
                _ => Kind::Internal,
            };
            assert_eq!(failure.kind, expected, "{code}");
        }
    }

    #[test]
    fn the_hubs_words_cannot_move_the_cursor() {
        let problem = Problem::new(ProblemCode::Conflict, "taken\x1b[2Jby \u{202e}x".to_owned());
        let failure = Failure::of_problem(&problem);
        assert_eq!(failure.what, "the hub refused: it exists already (taken?[2Jby ?x)");
    }
}
