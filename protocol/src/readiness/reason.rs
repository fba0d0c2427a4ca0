//! Why a box is not ready, since when, and the one command that mends it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::State;
use crate::{
    bounded::{List, Text},
    report::AlarmCode,
    time::Timestamp,
};

/// One reason, with everything that it holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable word for programs.
    pub code: ReasonCode,
    /// How bad it is.
    pub state: State,
    /// Which guests, keys, sources, nodes; texts from elsewhere, not yet harmless.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub subjects: List<Text<160>, 16>,
    /// How many more than are named.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Since when, as far as that can be told: the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// In words.
    pub what: Text<200>,
    /// What mends it.
    pub remedy: Text<300>,
}

impl Reason {
    /// In a line: what, of what, since when. Texts from elsewhere go through `clean`, which makes them harmless where
    /// the line is to stand.
    #[must_use]
    pub fn in_words(&self, clean: impl Fn(&str) -> String) -> String {
        let mut line = clean(self.what.as_str());
        let subjects: Vec<String> = self.subjects.iter().map(|subject| clean(subject.as_str())).collect();
        if !subjects.is_empty() {
            line = format!("{line}: {}", subjects.join(", "));
        }
        if self.more > 0 {
            line = format!("{line} and {} more", self.more);
        }
        match self.since {
            Some(since) => format!("{line} (since {since})"),
            None => line,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $state:ident, $what:literal, $remedy:literal;)*) => {
        /// What kind of reason it is.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ReasonCode {
            $($(#[$doc])* $name,)*
            /// A word that this program does not know.
            Unknown(String),
        }

        impl ReasonCode {
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

            /// How bad it is.
            #[must_use]
            pub const fn state(&self) -> State {
                match self {
                    $(Self::$name => State::$state,)*
                    Self::Unknown(_) => State::AtRisk,
                }
            }

            /// In words.
            #[must_use]
            pub const fn what(&self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                    Self::Unknown(_) => "the box reports something that this program does not know",
                }
            }

            /// What mends it.
            #[must_use]
            pub const fn remedy(&self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                    Self::Unknown(_) => "`tenwords-agent status` on the box says it in words",
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

reasons! {
    /// No node has enrolled.
    NotEnrolled = "not-enrolled", Unprotected, "no node of the box has enrolled",
        "`tenwords box ticket NAME` gives a ticket; `tenwords-agent enroll` on the box takes it";
    /// The hub has no ceremony, and the box had one.
    EscrowLost = "escrow-lost", Unprotected, "the escrow that the box had stored is not there",
        "`tenwords-agent escrow update` on the box gives it again; if that fails, hold a ceremony";
    /// A key in use is not escrowed.
    KeyNotEscrowed = "key-not-escrowed", Unprotected, "a key in use is not escrowed",
        "`tenwords-agent escrow update` on the box; before the first ceremony, `tenwords-agent escrow create`";
    /// A source encrypts under a key that the box does not name.
    KeyUnknown = "key-unknown", Unprotected, "a source is in use, and under which key is not known",
        "`tenwords-agent key list` on the box; then `tenwords-agent escrow update`";
    /// Nothing that is in use encrypts.
    NothingEncrypted = "nothing-encrypted", Unprotected, "the box has no encrypted source that takes backups",
        "give PVE a pbs: storage with an encryption key, then `tenwords-agent escrow create`";
    /// No ceremony was held.
    CeremonyPending = "ceremony-pending", CeremonyPending, "no ceremony has been held",
        "`tenwords-agent escrow create` with the customer at the console";
    /// The box never said how it stands.
    NothingSaid = "nothing-said", AtRisk, "the box has never said how it stands",
        "`systemctl enable --now tenwords-agent` on the box";
    /// The box is silent.
    BoxSilent = "box-silent", AtRisk, "the box says nothing any more",
        "look whether the machine is on, then `systemctl status tenwords-agent` on it";
    /// The hub has fewer versions than the box.
    VersionsLost = "versions-lost", AtRisk, "the hub has fewer versions than it had acknowledged",
        "`tenwords-agent escrow update` on the box gives them again";
    /// The stored ceremony is not the box's.
    EscrowDiffers = "escrow-differs", AtRisk, "the newest ceremony at the hub is not the one that the box holds",
        "find out who has stored the other one, then hold a new ceremony: `tenwords-agent escrow create`";
    /// A key was sealed without the words too long ago.
    KeyNotProven = "key-not-proven", AtRisk, "a key was escrowed without the words, and they are due",
        "`tenwords-agent escrow create --keep-code` with the customer at the console";
    /// A key that snapshots need is not escrowed.
    FormerKeyNotEscrowed = "former-key-not-escrowed", AtRisk, "snapshots need a key that is not escrowed",
        "`tenwords-agent key list` on the box shows it; `tenwords-agent escrow update` escrows what the box has";
    /// A source is not in the root as it is now.
    SourceChanged = "source-changed", AtRisk, "a source is not in the escrow as it is now",
        "`tenwords-agent escrow create --keep-code` with the customer at the console";
    /// A source is broken.
    SourceBroken = "source-broken", AtRisk, "a source cannot be used as it is configured",
        "`tenwords-agent status` on the box says what to mend";
    /// A backup server does not answer.
    SourceSilent = "source-silent", AtRisk, "a backup server does not answer",
        "`tenwords-agent inventory` on the box says why";
    /// The backup servers were not asked.
    ServersNotAsked = "servers-not-asked", AtRisk, "nobody has asked the backup servers lately",
        "`systemctl status tenwords-agent` on the box";
    /// A guest is in no job.
    NotCovered = "not-covered", AtRisk, "no backup job covers it",
        "put it into a backup job, or name it in `not_backed_up` of the agent's configuration";
    /// A guest is backed up elsewhere.
    CoveredElsewhere = "covered-elsewhere", AtRisk, "it is backed up, but to no encrypted source",
        "let its job write to an encrypted pbs: storage, or name it in `not_backed_up` of the agent's configuration";
    /// A job's schedule is not understood.
    IntervalUnknown = "interval-unknown", AtRisk, "how often it is backed up is not understood",
        "give its job a schedule such as `21:00` or `mon..fri 22:30`";
    /// There is no snapshot.
    NoSnapshot = "no-snapshot", AtRisk, "it has no snapshot",
        "look at its backup job's last run in PVE";
    /// The newest snapshot is too old.
    SnapshotLate = "snapshot-late", AtRisk, "its newest snapshot is older than its job says",
        "look at its backup job's last run in PVE";
    /// The newest snapshot is from the future.
    SnapshotAhead = "snapshot-ahead", AtRisk, "its newest snapshot has a time to come",
        "set the clocks of the box and the backup server";
    /// The newest snapshot is not encrypted.
    SnapshotPlain = "snapshot-plain", AtRisk, "its newest snapshot is not encrypted",
        "`tenwords-agent key put-back` on the box if a key file is gone; then back it up again";
    /// The newest snapshot needs a key that is not escrowed.
    SnapshotKeyNotEscrowed = "snapshot-key-not-escrowed", AtRisk, "its newest snapshot needs a key that is not escrowed",
        "`tenwords-agent escrow update` on the box; if nobody has that key, back it up again";
    /// The newest snapshot is not signed by a key of the box.
    SnapshotUnsigned = "snapshot-unsigned", AtRisk, "its newest snapshot is not signed by a key of the box",
        "find out who made it on the backup server; then back it up again";
    /// Nobody has held the newest snapshot against its key.
    SnapshotNotLookedAt = "snapshot-not-looked-at", AtRisk, "the signature of its newest snapshot was not looked at",
        "`systemctl status tenwords-agent` on the box";
    /// The server's own verification failed.
    VerificationFailed = "verification-failed", AtRisk, "the backup server found its newest snapshot damaged",
        "look at the datastore's disks, then back it up again";
    /// No second holder.
    SecondHolder = "second-holder", AtRisk, "no backup server of the box holds the newest escrow",
        "`tenwords-agent escrow update` on the box stores it there";
    /// The words were not tried for long.
    DrillDue = "drill-due", AtRisk, "the ten words were not tried for long",
        "`tenwords-agent drill --words` with the customer at the console";
    /// A certificate is over.
    CertificateExpired = "certificate-expired", AtRisk, "the certificate of a node is over",
        "`tenwords-agent renew` on the node";
    /// A certificate should have been renewed.
    CertificateEnds = "certificate-ends", AtRisk, "the certificate of a node ends soon and was not renewed",
        "`tenwords-agent renew` on the node";
    /// The keeper is silent while another node speaks.
    KeeperSilent = "keeper-silent", AtRisk, "the node that escrows for the box says nothing, others of it do",
        "look whether that machine is on; `tenwords-agent keeper NODE` on another node has that one escrow from now on";
    /// It has enrolled, and no node of it has a certificate.
    NoNode = "no-node", AtRisk, "no certificate of the box holds any more",
        "`tenwords box ticket NAME` for a machine of it; if the box is lost, `tenwords recovery arm NAME --reason '…'`";
    /// A node is silent.
    NodeSilent = "node-silent", AtRisk, "a node of the box says nothing any more",
        "look whether it is on; if it is gone for good, `tenwords box show NAME` says how its certificate is revoked";
    /// There is more than was reported.
    NotAllReported = "not-all-reported", AtRisk, "the box has more than a report takes",
        "`tenwords-agent status` on the box looks at all of it";
    /// A token may remove backups.
    TokenMayPrune = "token-may-prune", AtRisk, "the box's own token may remove backups",
        "give the token the role DatastoreBackup and nothing else on the backup server";
    /// A certificate of the box was used for what is another's.
    Trespassed = "trespassed", AtRisk, "a certificate of the box was used for what is another box's, and was refused",
        "`journalctl -u tenwords-hub -g request.trespassed` names the node; if the box was taken over, `tenwords recovery arm NAME --reason '…' --stolen`";
    /// A certificate that was revoked is still used.
    RevokedUsed = "revoked-used", Ready, "a certificate that was revoked is still used, and is refused",
        "switch the former machine or the copy of its disk off, or end its agent there (`systemctl disable --now tenwords-agent`)";
    /// A key was sealed, and the words have time.
    KeySealed = "key-sealed", Ready, "a key was escrowed without the words; a ceremony proves it",
        "`tenwords-agent escrow create --keep-code` with the customer at the console";
    /// A storage that does not encrypt.
    SourceUnencrypted = "source-unencrypted", Ready, "a storage is not encrypted: its backups need no key",
        "`pvesm set ID --encryption-key autogen` encrypts what is backed up from then on";
    /// A guest that is left out on purpose.
    LeftOut = "left-out", Ready, "it is not backed up on purpose",
        "take it out of `not_backed_up` of the agent's configuration";
    /// An alarm.
    KeyFileGone = "key-file-gone", AtRisk, "a key file has gone although backups are to be encrypted",
        "`tenwords-agent key put-back` on the box";
    /// An alarm.
    KeyChanged = "key-changed", AtRisk, "a key file holds another key than before",
        "find out who has changed it; `tenwords-agent key list` on the box shows both";
    /// An alarm.
    KeysGoneAtOnce = "keys-gone-at-once", AtRisk, "all key files went at once, as when a node joins a cluster",
        "`tenwords-agent key put-back` on the box for each that is needed";
    /// An alarm.
    PlainSnapshot = "plain-snapshot", AtRisk, "a snapshot is not encrypted although its source is",
        "`tenwords-agent key put-back` on the box if a key file is gone; remove the snapshot on the backup server";
    /// An alarm.
    UnknownKey = "unknown-key", AtRisk, "a snapshot needs a key that nobody holds",
        "find out what backs up under that key; without it nothing opens the snapshot";
    /// An alarm.
    ClientSelfTest = "client-self-test", AtRisk, "the client that is installed does not wrap and open a key as it must",
        "`tenwords-agent self-test` on the box says what is wrong";
    /// An alarm.
    Clone = "clone", AtRisk, "another machine speaks with this node's identity",
        "end the copy; on the one that stays, enrol again: `tenwords box ticket NAME --reinstall HOST`";
    /// An alarm.
    HubLostVersions = "hub-lost-versions", AtRisk, "the hub had lost versions, and the box gives them again",
        "`tenwords-agent escrow update` on the box";
    /// An alarm.
    EscrowDamaged = "escrow-damaged", AtRisk, "what the hub has of the escrow is not what it had acknowledged",
        "`tenwords-agent escrow create` on the box stores it anew; then look at the hub's disks";
    /// An alarm.
    EscrowWaits = "escrow-waits", AtRisk, "an update of the escrow waits to be stored",
        "`tenwords-agent escrow update` on the box says what it waits for";
    /// An alarm.
    StateUnwritable = "state-unwritable", AtRisk, "the agent cannot write its state",
        "make room on the disk of the agent's state folder";
    /// An alarm.
    ClockOff = "clock-off", AtRisk, "the clocks of box and hub differ",
        "set the clock of the one that is wrong (`timedatectl`)";
    /// An alarm.
    ConfigurationBroken = "configuration-broken", AtRisk, "the agent's configuration is not understood",
        "`tenwords-agent status` on the box names the line";
    /// An alarm.
    PveUnreadable = "pve-unreadable", AtRisk, "Proxmox VE's files cannot be read",
        "`systemctl status pve-cluster` on the box";
    /// An alarm.
    NodeNotJoined = "node-not-joined", AtRisk, "a node of the cluster has no agent that belongs to the box",
        "install the agent there, then `tenwords-agent join` on it; no words are needed";
    /// An alarm.
    LineageDamaged = "lineage-damaged", AtRisk, "what the agent keeps of former keys is damaged",
        "`tenwords-agent key list` on the box says what is left; then hold a ceremony";
}

impl ReasonCode {
    /// The code where only words of ours may stand, as in a name: what a box says in words of its own is `other`, else
    /// it could fill it with whatever it likes.
    #[must_use]
    pub fn as_known(&self) -> &str {
        match self {
            Self::Unknown(_) => "other",
            known => known.as_str(),
        }
    }

    /// What an alarm of a box is a reason for.
    #[must_use]
    pub fn of_alarm(alarm: &AlarmCode) -> Self {
        Self::of(alarm.as_str())
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}

fn is_empty(list: &[Text<160>]) -> bool {
    list.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_has_a_reason_of_its_own_and_every_remedy_fits() {
        for alarm in AlarmCode::ALL {
            let code = ReasonCode::of_alarm(alarm);
            assert!(!matches!(code, ReasonCode::Unknown(_)), "{alarm}");
            assert_eq!(code.state(), State::AtRisk, "{alarm}");
        }
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::of(code.as_str()), *code);
            assert!(code.what().chars().count() <= 200 && code.remedy().chars().count() <= 300, "{code}");
        }
        let unknown = ReasonCode::of_alarm(&AlarmCode::Unknown("sunspots".into()));
        assert_eq!((unknown.as_str(), unknown.as_known(), unknown.state()), ("sunspots", "other", State::AtRisk));
    }
}
