//! Refusals, as RFC 9457 problem documents with a stable code.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem document. Written by the hub, read by agent and operator; unknown members are ignored
/// and an unknown code is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:tenwords:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// A short sentence, the same for every problem of this code.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// The stable word for programs.
    pub code: ProblemCode,
    /// What happened here and what to do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// What kind of refusal it is.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
            /// A code that this program does not know.
            Unknown(String),
        }

        impl ProblemCode {
            /// Every code that is known.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown(text) => text,
                }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(&self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Unknown(_) => 500,
                }
            }

            /// The sentence that goes with it.
            #[must_use]
            pub fn title(&self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                    Self::Unknown(_) => "a problem that this program does not know",
                }
            }

            fn of(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    other => Self::Unknown(other.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()),
                }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    BadRequest = "bad_request", 400, "the request cannot be read";
    /// The box was heard of within the hour; arming asks to confirm.
    BoxIsAlive = "box_is_alive", 409, "the box was heard of within the hour";
    /// The box was retired.
    BoxRetired = "box_retired", 403, "the box was retired";
    /// The certificate has run out; only renewal is open.
    CertificateExpired = "certificate_expired", 403, "the certificate has expired";
    /// The certificate was revoked.
    CertificateRevoked = "certificate_revoked", 403, "the certificate was revoked";
    /// Something of this name or id exists already.
    Conflict = "conflict", 409, "it exists already";
    /// Known, but not allowed.
    Forbidden = "forbidden", 403, "not allowed";
    /// The hub failed.
    Internal = "internal", 500, "the hub failed";
    /// The method is not one of this path.
    MethodNotAllowed = "method_not_allowed", 405, "no such method here";
    /// No such thing.
    NotFound = "not_found", 404, "not found";
    /// What a change is based on is not the newest any more.
    Outdated = "outdated", 409, "it was changed meanwhile";
    /// A proof that the words key did not make, or one used before.
    ProofRefused = "proof_refused", 403, "the proof of the ten words was refused";
    /// Too many attempts or versions; `Retry-After` says when.
    RateLimited = "rate_limited", 429, "too many";
    /// The common refusal of a ticket, whatever the cause.
    TicketRefused = "ticket_refused", 403, "the ticket was refused";
    /// The body is larger than the limit.
    TooLarge = "too_large", 413, "too large";
    /// No certificate or token.
    Unauthenticated = "unauthenticated", 401, "who is asking is not known";
    /// The hub cannot write now.
    Unavailable = "unavailable", 503, "the hub cannot do this now";
}

impl Problem {
    /// The problem of this code.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<Option<String>>) -> Self {
        Self {
            kind: format!("urn:tenwords:problem:{code}").into(),
            title: code.title().into(),
            status: code.status(),
            code,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ProblemCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ProblemCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}
