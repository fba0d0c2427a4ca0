//! `self-test`: whether this client can hold a ceremony and a recovery, tried on a throwaway key.
//!
//! An upgrade of proxmox-backup-client can change a prompt, a text or a format, and the day to find out is
//! not the day of the recovery. So a key that encrypts nothing is wrapped under words that nobody sees, and
//! opened in both ways that a ceremony asks for. No key of this box takes part.

use std::{io, os::unix::fs::MetadataExt as _};

use pbs_driver::{Client, key, version};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::{Deserialize, Serialize};
use tenwords_escrow::{
    code::RecoveryCode,
    door,
    verify::{OpenedByClient, OpenedNatively, VerifiedKeyPart},
};
use tenwords_protocol::{json, time::Timestamp, v1::V1};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    notify::Alarm,
    openers::ByClient,
    recover::plan::chain,
    settings::Configuration,
    show::harmless,
    sources,
};

const FILE: &str = "self-test.json";
const LIMIT: u64 = 64 << 10;

/// How the last one ended, and of which client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelfTest {
    v: V1,
    pub(crate) at: Timestamp,
    /// As it says itself; absent if it did not even say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    pub(crate) verdict: Verdict,
    /// In words, if it is no good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The program that was tried, and the agent that tried it.
    program: Program,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Wrapped, and both openings gave the same key.
    Works,
    /// There is no client, or none that can be started.
    NoClient,
    /// The client did not wrap the key.
    NotWrapped,
    /// What it made is no part that an escrow takes.
    NotAPart,
    /// The client does not open what it made.
    NotOpenedByClient,
    /// Our own reading does not open what the client made.
    NotOpenedNatively,
    /// Both opened it, and not to the same key.
    Disagree,
}

/// What a program is recognised by, without starting it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    device: u64,
    inode: u64,
    size: u64,
    written: i64,
    agent: String,
}

/// Tries it, and keeps what came of it.
pub(crate) fn run(configuration: &Configuration) -> Outcome<SelfTest> {
    let program = Program::of(configuration);
    let (client, found) = match sources::client(&configuration.settings) {
        Ok(client) => (version::client(&client).ok().map(|version| version.to_string()), trial(&client)),
        Err(stop) => (None, Err((Verdict::NoClient, stop.in_one_line()))),
    };
    // A client that was ended with this command says nothing of how it is.
    interrupt::check()?;
    let (verdict, why) = match found {
        Ok(()) => (Verdict::Works, None),
        Err((verdict, why)) => (verdict, Some(harmless(&why, 400))),
    };
    let tested = SelfTest { v: V1, at: Timestamp::now(), client, verdict, why, program };
    let path = configuration.state(FILE);
    let cannot = || format!("cannot keep the self-test in {}", path.display());
    let text = json::to_vec(&tested).or_stop(Code::Internal, cannot)?;
    durable::folder(&configuration.settings.state, 0o700)
        .and_then(|()| durable::replace("self-test", &path, 0o600, &text))
        .or_stop(Code::Internal, cannot)?;
    Ok(tested)
}

/// The last one if it went well with this very client and agent, else another. Tells whether it says something new.
pub(crate) fn if_due(configuration: &Configuration) -> Outcome<(SelfTest, bool)> {
    let last = SelfTest::last(configuration);
    if let Some(last) = &last
        && last.verdict == Verdict::Works
        && last.program == Program::of(configuration)
    {
        return Ok((last.clone(), false));
    }
    let tested = run(configuration)?;
    let is_news = last.is_none_or(|last| (last.verdict, &last.client) != (tested.verdict, &tested.client));
    Ok((tested, is_news))
}

fn trial(client: &Client) -> Result<(), (Verdict, String)> {
    let mut chance = UnwrapErr(SysRng);
    let (throwaway, code) = (EncryptionKey::generate(&mut chance), RecoveryCode::draw(&mut chance));
    let now = Timestamp::now().unix();
    let file = KeyFile::plain(&throwaway, now, now).to_json();
    let wrapped = key::wrapped(client, &file, code.expose_passphrase()).map_err(|error| {
        let verdict = if error.is_the_clients_own() { Verdict::NoClient } else { Verdict::NotWrapped };
        (verdict, chain(&error))
    })?;
    let part = door::check_key_part(&wrapped).map_err(|error| (Verdict::NotAPart, chain(&error)))?;
    let by_client = OpenedByClient::of(&part, &code, &ByClient(client))
        .map_err(|error| (Verdict::NotOpenedByClient, chain(&error)))?;
    let natively = OpenedNatively::of(&part, &code).map_err(|error| (Verdict::NotOpenedNatively, chain(&error)))?;
    VerifiedKeyPart::new(part, by_client, natively, throwaway.fingerprint())
        .map(drop)
        .map_err(|error| (Verdict::Disagree, chain(&error)))
}

impl SelfTest {
    /// The last one; what cannot be read was not tried.
    pub(crate) fn last(configuration: &Configuration) -> Option<Self> {
        let path = configuration.state(FILE);
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => {
                let read = json::from_slice(&text).inspect_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "the record of the self-test is damaged");
                });
                read.ok()
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "the record of the self-test cannot be read");
                }
                None
            }
        }
    }

    /// Itself if it went well, else why not.
    pub(crate) fn judged(self) -> Outcome<Self> {
        let code = match self.verdict {
            Verdict::Works => return Ok(self),
            Verdict::NoClient => Code::Preflight,
            _ => Code::GateRefused,
        };
        let why = self.why.as_deref().unwrap_or("it does not say why");
        Err(Stop::new(code, format!("the self-test: {}: {why}", self.verdict.in_words())).remedy(self.verdict.remedy()))
    }

    /// What stands until one goes well.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let verdict = self.verdict;
        let why = self.why.as_deref().unwrap_or("it does not say why");
        (verdict != Verdict::Works).then(|| Alarm {
            code: "client-self-test",
            subject: "client".to_owned(),
            what: format!("the self-test: {}: {why}", verdict.in_words()),
            remedy: verdict.remedy().to_owned(),
        })
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let client = self.client.as_deref().unwrap_or("of no known version");
        vec![format!("self-test of {}: client {client}, {}", self.at, self.verdict.in_words())]
    }
}

impl Verdict {
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Works => "a throwaway key was wrapped and opened, both ways",
            Self::NoClient => "there is no client that can be driven",
            Self::NotWrapped => "the client did not wrap a throwaway key",
            Self::NotAPart => "what the client made of a throwaway key is no escrow part",
            Self::NotOpenedByClient => "the client does not open what it wrapped",
            Self::NotOpenedNatively => "our own reading does not open what the client wrapped",
            Self::Disagree => "the two openings of a throwaway key do not agree",
        }
    }

    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Works => "nothing",
            Self::NoClient => {
                "install the package proxmox-backup-client, or name the program in the configuration; then \
                 `tenwords-agent self-test` tries it"
            }
            _ => {
                "the escrow that exists is not touched by this, and no new one can be made: upgrade tenwords-agent, or \
                 go back to the former proxmox-backup-client; then `tenwords-agent self-test` tries it"
            }
        }
    }
}

impl Program {
    /// All zero where there is none.
    fn of(configuration: &Configuration) -> Self {
        let agent = env!("CARGO_PKG_VERSION").to_owned();
        match std::fs::metadata(&configuration.settings.client) {
            Ok(found) => {
                Self { device: found.dev(), inode: found.ino(), size: found.size(), written: found.mtime(), agent }
            }
            Err(_) => Self { device: 0, inode: 0, size: 0, written: 0, agent },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// A client that does nothing but fail, and takes down that it was asked.
    fn configuration(folder: &Path) -> Result<Configuration, Box<dyn std::error::Error>> {
        let client = folder.join("client");
        fs::write(&client, format!("#!/bin/sh\necho asked >> {}/asked\nexit 3\n", folder.display()))?;
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755))?;
        let text = format!(
            "state = \"{0}/state\"\nruntime = \"/dev/shm/{1}\"\nclient = \"{2}\"\n[pve]\netc = \"{0}/pve\"\npct = \
             \"{0}/pct\"\n",
            folder.display(),
            folder.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            client.display()
        );
        Ok(Configuration::of_text(&folder.join("agent.toml"), &text).map_err(|stop| stop.what)?)
    }

    #[test]
    fn one_that_failed_is_tried_again_and_stands_and_one_that_went_well_is_not() -> Tested {
        let folder = tempfile::tempdir()?;
        let configuration = configuration(folder.path())?;
        let asked = || fs::read_to_string(folder.path().join("asked")).unwrap_or_default().lines().count();
        let (tested, is_news) = if_due(&configuration).map_err(|stop| stop.what)?;
        assert!(tested.verdict != Verdict::Works && tested.alarm().is_some() && is_news);
        let first = asked();
        let (tested, is_news) = if_due(&configuration).map_err(|stop| stop.what)?;
        assert!(asked() > first, "what failed once is not tried again");
        assert!(tested.alarm().is_some() && !is_news);
        // As if it had gone well.
        let well = SelfTest { verdict: Verdict::Works, why: None, ..tested };
        fs::write(configuration.state(FILE), json::to_vec(&well)?)?;
        let second = asked();
        let (tested, is_news) = if_due(&configuration).map_err(|stop| stop.what)?;
        assert_eq!((asked(), tested.alarm(), is_news), (second, None, false));
        // Another program is another client.
        let client = folder.path().join("client");
        fs::write(&client, format!("{}\n", fs::read_to_string(&client)?))?;
        if_due(&configuration).map_err(|stop| stop.what)?;
        assert!(asked() > second, "an upgrade is not tried");
        Ok(())
    }
}
