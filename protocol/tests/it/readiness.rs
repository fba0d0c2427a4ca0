//! Readiness, row by row: a box that is ready, and everything by which it is not.

use std::num::NonZeroU64;

use tenwords_protocol::{
    bounded::{List, Text},
    fingerprint::Fingerprint,
    hash::Sha256,
    inventory::{Coverage, Crypt, SourceState, Verified},
    readiness::{Ceremony, Facts, Node, Policy, Readiness, ReasonCode, Said, State, judge},
    report::{
        Alarm, AlarmCode, Escrowed, GroupFact, HeldEscrow, KeyFact, Observed, Pruning, SecondHolder, Signature,
        SnapshotFact, SourceFact,
    },
    time::Timestamp,
    version::Grade,
};

use crate::TestResult;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Everything that is known of a box, to be changed by a row.
#[derive(Clone)]
struct World {
    enrolled_at: Option<Timestamp>,
    ceremony: Option<Ceremony>,
    newest: Option<NonZeroU64>,
    said: Option<(Timestamp, Observed)>,
    nodes: Vec<Node>,
    drilled_at: Option<Timestamp>,
    trespassed_at: Option<Timestamp>,
    revoked_used_at: Option<Timestamp>,
    policy: Policy,
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000 - seconds).unwrap_or_else(|_| unreachable!("a time of this century"))
}

fn key(byte: u8) -> Fingerprint {
    Fingerprint::from_bytes([byte; 32])
}

fn number(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).unwrap_or(NonZeroU64::MIN)
}

fn list<T, const MAX: usize>(items: impl IntoIterator<Item = T>) -> List<T, MAX> {
    List::cut(items).0
}

fn in_use() -> KeyFact {
    KeyFact {
        fingerprint: key(1),
        in_use: true,
        snapshots: 3,
        held: true,
        escrowed: Some(Escrowed { grade: Grade::Proven, since: ago(90 * DAY) }),
        since: ago(100 * DAY),
    }
}

fn source() -> SourceFact {
    SourceFact {
        id: Text::cut("pbs"),
        state: SourceState::InUse,
        in_escrow: true,
        answered_at: Some(ago(HOUR)),
        pruning: Pruning::Cannot,
        since: ago(100 * DAY),
    }
}

fn snapshot() -> SnapshotFact {
    SnapshotFact {
        time: ago(12 * HOUR),
        crypt: Crypt::Encrypt,
        key: Some(key(1)),
        verified: Verified::Ok,
        signature: Signature::Good,
    }
}

fn guest(name: &str) -> GroupFact {
    GroupFact {
        group: name.parse().unwrap_or_else(|_| unreachable!("a group")),
        name: None,
        coverage: Coverage::Source,
        exempt: false,
        interval: Some(86_400),
        newest: Some(snapshot()),
        signed_at: Some(ago(36 * HOUR)),
        since: ago(100 * DAY),
    }
}

impl World {
    fn ready() -> Self {
        let root = Sha256::of(b"root");
        Self {
            enrolled_at: Some(ago(100 * DAY)),
            ceremony: Some(Ceremony { number: number(1), root_sha256: root, keys: [key(1)].into(), received_at: None }),
            newest: Some(number(1)),
            said: Some((
                ago(60),
                Observed {
                    escrow: Some(HeldEscrow {
                        ceremony: number(1),
                        newest: number(1),
                        root_sha256: root,
                        second_holder: SecondHolder::Agrees,
                    }),
                    keys: list([in_use()]),
                    sources: list([source()]),
                    servers_asked_at: Some(ago(HOUR)),
                    groups: list([guest("ct/101"), guest("vm/200")]),
                    ..Observed::default()
                },
            )),
            nodes: vec![Node {
                name: "node1".into(),
                is_keeper: true,
                heard_at: Some(ago(60)),
                certificate_ends: ago(-60 * DAY),
                alarms: vec![],
            }],
            drilled_at: Some(ago(90 * DAY)),
            trespassed_at: None,
            revoked_used_at: None,
            policy: Policy::default(),
        }
    }

    fn at(&self, now: Timestamp) -> Readiness {
        let facts = Facts {
            enrolled_at: self.enrolled_at,
            ceremony: self.ceremony.as_ref(),
            newest: self.newest,
            said: self.said.as_ref().map(|(at, observed)| Said { at: *at, observed }),
            nodes: &self.nodes,
            drilled_at: self.drilled_at,
            trespassed_at: self.trespassed_at,
            revoked_used_at: self.revoked_used_at,
        };
        judge(&facts, &self.policy, now)
    }

    fn observed(&mut self) -> &mut Observed {
        &mut self.said.get_or_insert_with(|| (ago(60), Observed::default())).1
    }

    fn key(&mut self, change: impl FnOnce(&mut KeyFact)) {
        let mut fact = in_use();
        change(&mut fact);
        self.observed().keys = list([fact]);
    }

    /// The key is escrowed without the words, in a version after the ceremony.
    fn seal(&mut self, since: Timestamp) {
        self.newest = Some(number(2));
        self.key(|key| key.escrowed = Some(Escrowed { grade: Grade::Sealed, since }));
    }

    fn source(&mut self, change: impl FnOnce(&mut SourceFact)) {
        let mut fact = source();
        change(&mut fact);
        self.observed().sources = list([fact]);
    }

    fn guest(&mut self, change: impl FnOnce(&mut GroupFact)) {
        let mut fact = guest("ct/101");
        change(&mut fact);
        self.observed().groups = list([fact, guest("vm/200")]);
    }

    /// A guest whose newest snapshot was not looked at.
    fn unlooked(&mut self, change: impl FnOnce(&mut GroupFact)) {
        self.guest(|guest| {
            guest.newest = Some(SnapshotFact { signature: Signature::Unknown, ..snapshot() });
            change(guest);
        });
    }

    fn snapshot(&mut self, change: impl FnOnce(&mut SnapshotFact)) {
        let mut fact = snapshot();
        change(&mut fact);
        self.guest(|guest| guest.newest = Some(fact));
    }
}

/// What a row says: what is changed, the state that comes of it, and its one reason, if any.
struct Row(&'static str, fn(&mut World), State, Option<ReasonCode>);

#[test]
fn each_thing_that_speaks_against_a_box_is_its_own_reason() {
    use ReasonCode as R;
    use State::{AtRisk, CeremonyPending, Ready, Unprotected};
    let rows = [
        Row("nothing is wrong", |_| {}, Ready, None),
        Row("no node has enrolled", |w| w.enrolled_at = None, Unprotected, Some(R::NotEnrolled)),
        Row("it has never spoken", |w| w.said = None, AtRisk, Some(R::NothingSaid)),
        Row(
            "it is silent for a day and a minute",
            |w| {
                let (at, _) = w.said.get_or_insert_with(|| unreachable!("it has said something"));
                *at = ago(DAY + 60);
            },
            AtRisk,
            Some(R::BoxSilent),
        ),
        Row(
            "it has spoken at a time to come",
            |w| {
                let (at, _) = w.said.get_or_insert_with(|| unreachable!("it has said something"));
                *at = ago(-2 * HOUR);
            },
            AtRisk,
            Some(R::NothingSaid),
        ),
        // The escrow.
        Row(
            "no ceremony",
            |w| {
                (w.ceremony, w.newest, w.drilled_at) = (None, None, None);
                w.observed().escrow = None;
                w.key(|key| key.escrowed = None);
                w.guest(|guest| guest.newest = None);
                let groups = w.observed();
                groups.groups = List::default();
            },
            CeremonyPending,
            Some(R::CeremonyPending),
        ),
        Row(
            "the hub has lost all of it",
            |w| {
                (w.ceremony, w.newest, w.drilled_at) = (None, None, None);
                w.observed().groups = List::default();
            },
            Unprotected,
            Some(R::EscrowLost),
        ),
        Row(
            "the hub has lost the newest update",
            |w| {
                if let Some(escrow) = &mut w.observed().escrow {
                    escrow.newest = number(2);
                }
            },
            AtRisk,
            Some(R::VersionsLost),
        ),
        Row(
            "the hub has lost the newest ceremony",
            |w| {
                if let Some(escrow) = &mut w.observed().escrow {
                    (escrow.ceremony, escrow.newest, escrow.root_sha256) = (number(2), number(2), Sha256::of(b"later"));
                }
            },
            AtRisk,
            Some(R::VersionsLost),
        ),
        Row(
            "somebody else has stored a ceremony",
            |w| {
                if let Some(ceremony) = &mut w.ceremony {
                    (ceremony.number, ceremony.root_sha256) = (number(2), Sha256::of(b"other"));
                }
                w.newest = Some(number(2));
            },
            AtRisk,
            Some(R::EscrowDiffers),
        ),
        Row(
            "the box holds no escrow, and the hub does",
            |w| w.observed().escrow = None,
            AtRisk,
            Some(R::EscrowDiffers),
        ),
        Row(
            "a ceremony was stored after the box spoke",
            |w| {
                if let Some(ceremony) = &mut w.ceremony {
                    (ceremony.number, ceremony.root_sha256) = (number(2), Sha256::of(b"new"));
                    ceremony.received_at = Some(ago(30));
                }
                w.newest = Some(number(2));
            },
            Ready,
            None,
        ),
        Row(
            "the first ceremony was stored after the box spoke",
            |w| {
                w.observed().escrow = None;
                if let Some(ceremony) = &mut w.ceremony {
                    ceremony.received_at = Some(ago(30));
                }
            },
            Ready,
            None,
        ),
        Row(
            "another ceremony was stored before the box spoke",
            |w| {
                if let Some(ceremony) = &mut w.ceremony {
                    (ceremony.number, ceremony.root_sha256) = (number(2), Sha256::of(b"other"));
                    ceremony.received_at = Some(ago(90));
                }
                w.newest = Some(number(2));
            },
            AtRisk,
            Some(R::EscrowDiffers),
        ),
        Row("it was at another box's today", |w| w.trespassed_at = Some(ago(HOUR)), AtRisk, Some(R::Trespassed)),
        Row("it was there a week ago", |w| w.trespassed_at = Some(ago(7 * DAY)), AtRisk, Some(R::Trespassed)),
        Row("it was there before that", |w| w.trespassed_at = Some(ago(7 * DAY + 1)), Ready, None),
        Row("it will have been there", |w| w.trespassed_at = Some(ago(-DAY)), AtRisk, Some(R::Trespassed)),
        Row("a revoked certificate is used", |w| w.revoked_used_at = Some(ago(HOUR)), Ready, None),
        Row("a drill is to come", |w| w.drilled_at = Some(ago(-2 * HOUR)), AtRisk, Some(R::DrillDue)),
        Row("a drill is a little ahead", |w| w.drilled_at = Some(ago(-HOUR)), Ready, None),
        Row("nobody knows of a drill", |w| w.drilled_at = None, AtRisk, Some(R::DrillDue)),
        Row("the last drill is 181 days ago", |w| w.drilled_at = Some(ago(181 * DAY)), AtRisk, Some(R::DrillDue)),
        Row("the last drill is 180 days ago", |w| w.drilled_at = Some(ago(180 * DAY)), Ready, None),
        Row(
            "the second holder has another one",
            |w| {
                if let Some(escrow) = &mut w.observed().escrow {
                    escrow.second_holder = SecondHolder::Differs;
                }
            },
            AtRisk,
            Some(R::SecondHolder),
        ),
        Row(
            "the second holder was not asked",
            |w| {
                if let Some(escrow) = &mut w.observed().escrow {
                    escrow.second_holder = SecondHolder::Unknown;
                }
            },
            AtRisk,
            Some(R::SecondHolder),
        ),
        // Keys.
        Row(
            "a key in use is not escrowed",
            |w| {
                w.key(|key| {
                    (key.fingerprint, key.escrowed, key.snapshots) = (key_two(), None, 0);
                })
            },
            Unprotected,
            Some(R::KeyNotEscrowed),
        ),
        Row(
            "a key is proven, says the box, and the hub has no part of it",
            |w| {
                w.key(|key| {
                    (key.fingerprint, key.snapshots) = (key_two(), 0);
                })
            },
            Unprotected,
            Some(R::KeyNotEscrowed),
        ),
        Row("a key was sealed 13 days ago", |w| w.seal(ago(13 * DAY)), Ready, None),
        Row("a key was sealed 15 days ago", |w| w.seal(ago(15 * DAY)), AtRisk, Some(R::KeyNotProven)),
        Row("a key was sealed at a time to come", |w| w.seal(ago(-DAY)), AtRisk, Some(R::KeyNotProven)),
        Row(
            "a key was sealed, says the box, and the hub has nothing after the ceremony",
            |w| {
                w.seal(ago(DAY));
                w.key(|key| {
                    (key.fingerprint, key.snapshots) = (key_two(), 0);
                    key.escrowed = Some(Escrowed { grade: Grade::Sealed, since: ago(DAY) });
                });
                w.newest = Some(number(1));
            },
            Unprotected,
            Some(R::KeyNotEscrowed),
        ),
        Row(
            "a snapshot needs a key that only the box calls sealed",
            |w| {
                w.observed().keys = list([
                    in_use(),
                    KeyFact {
                        fingerprint: key_two(),
                        in_use: false,
                        snapshots: 0,
                        escrowed: Some(Escrowed { grade: Grade::Sealed, since: ago(DAY) }),
                        ..in_use()
                    },
                ]);
                w.snapshot(|it| it.key = Some(key_two()));
            },
            AtRisk,
            Some(R::SnapshotKeyNotEscrowed),
        ),
        Row(
            "a source is in use under a key that the box does not name",
            |w| w.key(|key| key.in_use = false),
            Unprotected,
            Some(R::KeyUnknown),
        ),
        Row(
            "snapshots need a key that is not escrowed",
            |w| {
                w.observed().keys = list([
                    in_use(),
                    KeyFact { fingerprint: key_two(), in_use: false, held: false, escrowed: None, ..in_use() },
                ])
            },
            AtRisk,
            Some(R::FormerKeyNotEscrowed),
        ),
        Row(
            "a former key that nothing needs is not escrowed",
            |w| {
                w.observed().keys = list([
                    in_use(),
                    KeyFact { fingerprint: key_two(), in_use: false, snapshots: 0, escrowed: None, ..in_use() },
                ])
            },
            Ready,
            None,
        ),
        // Sources.
        Row("there is no source", |w| w.observed().sources = List::default(), Unprotected, Some(R::NothingEncrypted)),
        Row(
            "the only storage is not encrypted",
            |w| w.source(|source| source.state = SourceState::Unencrypted),
            Unprotected,
            Some(R::NothingEncrypted),
        ),
        Row(
            "a source is not used any more",
            |w| {
                w.observed().sources =
                    list([source(), SourceFact { state: SourceState::NotUsed, answered_at: None, ..source() }])
            },
            Ready,
            None,
        ),
        Row(
            "a trust fact has changed",
            |w| w.source(|source| source.in_escrow = false),
            AtRisk,
            Some(R::SourceChanged),
        ),
        Row(
            "a source is broken",
            |w| w.source(|source| source.state = SourceState::Broken),
            AtRisk,
            Some(R::SourceBroken),
        ),
        Row("a server never answered", |w| w.source(|source| source.answered_at = None), AtRisk, Some(R::SourceSilent)),
        Row(
            "a server is silent for a day",
            |w| w.source(|source| source.answered_at = Some(ago(DAY + 1))),
            AtRisk,
            Some(R::SourceSilent),
        ),
        Row("nobody asks the servers", |w| w.observed().servers_asked_at = None, AtRisk, Some(R::ServersNotAsked)),
        Row(
            "nobody asked the servers for a day",
            |w| w.observed().servers_asked_at = Some(ago(DAY + 1)),
            AtRisk,
            Some(R::ServersNotAsked),
        ),
        Row(
            "a server has answered at a time to come",
            |w| w.source(|source| source.answered_at = Some(ago(-2 * HOUR))),
            AtRisk,
            Some(R::SourceSilent),
        ),
        Row(
            "the servers were asked at a time to come",
            |w| w.observed().servers_asked_at = Some(ago(-2 * HOUR)),
            AtRisk,
            Some(R::ServersNotAsked),
        ),
        Row("the token may prune", |w| w.source(|source| source.pruning = Pruning::May), Ready, None),
        Row(
            "the token may prune, and the policy says no",
            |w| {
                w.policy.pruning_is_a_reason = true;
                w.source(|source| source.pruning = Pruning::May);
            },
            AtRisk,
            Some(R::TokenMayPrune),
        ),
        // Guests.
        Row("no job covers a guest", |w| w.guest(|guest| guest.coverage = Coverage::None), AtRisk, Some(R::NotCovered)),
        Row(
            "no job covers a guest, on purpose",
            |w| {
                w.guest(|guest| {
                    (guest.coverage, guest.exempt, guest.newest) = (Coverage::None, true, None);
                })
            },
            Ready,
            None,
        ),
        Row(
            "a guest is backed up in the clear",
            |w| w.guest(|guest| guest.coverage = Coverage::Elsewhere),
            AtRisk,
            Some(R::CoveredElsewhere),
        ),
        Row("a guest has no snapshot", |w| w.guest(|guest| guest.newest = None), AtRisk, Some(R::NoSnapshot)),
        Row(
            "a guest was made an hour ago",
            |w| w.guest(|guest| (guest.newest, guest.since) = (None, ago(HOUR))),
            Ready,
            None,
        ),
        Row(
            "a schedule is not understood",
            |w| w.guest(|guest| guest.interval = None),
            AtRisk,
            Some(R::IntervalUnknown),
        ),
        Row("a daily snapshot is 30 hours old", |w| w.snapshot(|it| it.time = ago(30 * HOUR)), Ready, None),
        Row(
            "a daily snapshot is over 30 hours old",
            |w| w.snapshot(|it| it.time = ago(30 * HOUR + 1)),
            AtRisk,
            Some(R::SnapshotLate),
        ),
        Row(
            "a weekly snapshot is eight days old",
            |w| {
                w.guest(|guest| {
                    guest.interval = Some(7 * 86_400);
                    guest.newest = Some(SnapshotFact { time: ago(8 * DAY), ..snapshot() });
                })
            },
            Ready,
            None,
        ),
        Row(
            "an interval of ages changes nothing of the reckoning",
            |w| w.guest(|guest| guest.interval = Some(u64::MAX)),
            Ready,
            None,
        ),
        Row(
            "a snapshot has a time to come",
            |w| w.snapshot(|it| it.time = ago(-2 * HOUR)),
            AtRisk,
            Some(R::SnapshotAhead),
        ),
        Row(
            "a snapshot is plain",
            |w| w.snapshot(|it| (it.crypt, it.key) = (Crypt::None, None)),
            AtRisk,
            Some(R::SnapshotPlain),
        ),
        Row("a snapshot is partly plain", |w| w.snapshot(|it| it.crypt = Crypt::Mixed), AtRisk, Some(R::SnapshotPlain)),
        Row(
            "a snapshot says encrypted and names no key",
            |w| w.snapshot(|it| it.key = None),
            AtRisk,
            Some(R::SnapshotPlain),
        ),
        Row(
            "a snapshot needs a key that nobody has",
            |w| w.snapshot(|it| it.key = Some(key_two())),
            AtRisk,
            Some(R::SnapshotKeyNotEscrowed),
        ),
        Row(
            "the server found a snapshot damaged",
            |w| w.snapshot(|it| it.verified = Verified::Failed),
            AtRisk,
            Some(R::VerificationFailed),
        ),
        Row("the server has not verified it yet", |w| w.snapshot(|it| it.verified = Verified::Never), Ready, None),
        Row(
            "a snapshot is not signed",
            |w| w.snapshot(|it| it.signature = Signature::Refused),
            AtRisk,
            Some(R::SnapshotUnsigned),
        ),
        Row(
            "a young snapshot was not looked at yet",
            |w| w.snapshot(|it| it.signature = Signature::Unknown),
            Ready,
            None,
        ),
        Row(
            "the last snapshot that was looked at is of the day before yesterday",
            |w| w.unlooked(|guest| guest.signed_at = Some(ago(54 * HOUR))),
            Ready,
            None,
        ),
        Row(
            "for two days and more no new snapshot was looked at, however young the newest is",
            |w| w.unlooked(|guest| guest.signed_at = Some(ago(54 * HOUR + 1))),
            AtRisk,
            Some(R::SnapshotNotLookedAt),
        ),
        Row(
            "no snapshot was ever looked at",
            |w| w.unlooked(|guest| guest.signed_at = None),
            AtRisk,
            Some(R::SnapshotNotLookedAt),
        ),
        Row(
            "no snapshot of a guest of today was looked at",
            |w| w.unlooked(|guest| (guest.signed_at, guest.since) = (None, ago(DAY))),
            Ready,
            None,
        ),
        Row(
            "a snapshot of a time to come was looked at",
            |w| w.unlooked(|guest| guest.signed_at = Some(ago(-2 * HOUR))),
            AtRisk,
            Some(R::SnapshotNotLookedAt),
        ),
        Row(
            "an interval of ages, and a snapshot that was not looked at",
            |w| w.unlooked(|guest| guest.interval = Some(u64::MAX)),
            Ready,
            None,
        ),
        Row(
            "groups were left out of the report",
            |w| w.observed().groups_left_out = 1,
            AtRisk,
            Some(R::NotAllReported),
        ),
        Row("keys were left out of the report", |w| w.observed().keys_left_out = 1, AtRisk, Some(R::NotAllReported)),
        // Nodes.
        Row("a certificate is over", |w| w.nodes[0].certificate_ends = ago(1), AtRisk, Some(R::CertificateExpired)),
        Row(
            "a certificate ends in 19 days",
            |w| w.nodes[0].certificate_ends = ago(-19 * DAY),
            AtRisk,
            Some(R::CertificateEnds),
        ),
        Row(
            "the keeper is silent, another node is not",
            |w| {
                w.nodes.push(Node { name: "node2".into(), is_keeper: false, ..w.nodes[0].clone() });
                w.nodes[0].heard_at = Some(ago(2 * DAY));
            },
            AtRisk,
            Some(R::KeeperSilent),
        ),
        Row(
            "another node is silent",
            |w| {
                w.nodes.push(Node { name: "node2".into(), is_keeper: false, heard_at: None, ..w.nodes[0].clone() });
            },
            AtRisk,
            Some(R::NodeSilent),
        ),
        Row(
            "another node was heard of at a time to come",
            |w| {
                let heard_at = Some(ago(-2 * HOUR));
                w.nodes.push(Node { name: "node2".into(), is_keeper: false, heard_at, ..w.nodes[0].clone() });
            },
            AtRisk,
            Some(R::NodeSilent),
        ),
        Row("no node has a certificate any more", |w| w.nodes.clear(), AtRisk, Some(R::NoNode)),
        Row("an alarm", |w| w.nodes[0].alarms.push(alarm(AlarmCode::Clone)), AtRisk, Some(R::Clone)),
        Row(
            "an alarm of a later agent",
            |w| w.nodes[0].alarms.push(alarm(AlarmCode::Unknown("sunspots".into()))),
            AtRisk,
            Some(R::Unknown("sunspots".into())),
        ),
    ];
    for Row(what, change, state, reason) in rows {
        let mut world = World::ready();
        change(&mut world);
        let readiness = world.at(ago(0));
        let codes: Vec<&ReasonCode> = readiness.reasons.iter().map(|reason| &reason.code).collect();
        assert_eq!((readiness.state, codes), (state, reason.iter().collect()), "{what}");
    }
}

fn key_two() -> Fingerprint {
    key(2)
}

fn alarm(code: AlarmCode) -> Alarm {
    Alarm { code, subject: Text::cut(""), since: ago(HOUR) }
}

#[test]
fn since_when_is_the_moment_at_which_it_became_so() {
    let since = |change: fn(&mut World)| {
        let mut world = World::ready();
        change(&mut world);
        world.at(ago(0)).reasons.first().and_then(|reason| reason.since)
    };
    assert_eq!(since(|w| w.drilled_at = Some(ago(200 * DAY))), Some(ago(20 * DAY)));
    assert_eq!(since(|w| w.snapshot(|it| it.time = ago(40 * HOUR))), Some(ago(10 * HOUR)));
    let two = |w: &mut World| {
        let late = |hours| Some(SnapshotFact { time: ago(hours * HOUR), ..snapshot() });
        w.observed().groups = list([
            GroupFact { newest: late(40), ..guest("ct/101") },
            GroupFact { newest: late(50), name: Some(Text::cut("mail")), ..guest("ct/102") },
        ]);
    };
    assert_eq!(since(two), Some(ago(20 * HOUR)), "the first of several");
    assert_eq!(since(|w| w.nodes[0].certificate_ends = ago(HOUR)), Some(ago(HOUR)));
    assert_eq!(since(|w| w.nodes[0].alarms.push(alarm(AlarmCode::KeyFileGone))), Some(ago(HOUR)));
}

#[test]
fn many_of_one_kind_are_one_reason_that_counts_them() {
    let mut world = World::ready();
    let late = Some(SnapshotFact { time: ago(9 * DAY), ..snapshot() });
    let guests = (100..1100).map(|n| GroupFact { newest: late.clone(), ..guest(&format!("ct/{n}")) });
    world.observed().groups = list(guests);
    let readiness = world.at(ago(0));
    let [reason] = &readiness.reasons[..] else { panic!("{readiness:?}") };
    assert_eq!((reason.subjects.len(), reason.more), (16, 984));
    assert_eq!(reason.subjects[0].as_str(), "ct/100");
}

#[test]
fn the_worst_decides_and_comes_first() {
    let mut world = World::ready();
    world.snapshot(|it| it.verified = Verified::Failed);
    world.observed().keys = list([in_use(), KeyFact { fingerprint: key_two(), escrowed: None, ..in_use() }]);
    let readiness = world.at(ago(0));
    assert_eq!(readiness.state, State::Unprotected);
    assert_eq!(readiness.reasons[0].code, ReasonCode::KeyNotEscrowed);
    assert!(readiness.reasons.windows(2).all(|pair| pair[0].state >= pair[1].state));
}

#[test]
fn a_ready_box_that_nobody_touches_does_not_stay_ready() {
    // Whatever is known grows old: an hour is nothing, and after a year nothing of it is good news.
    let world = World::ready();
    assert_eq!(world.at(ago(-HOUR)).state, State::Ready);
    let later = world.at(ago(-365 * DAY));
    let codes: Vec<&str> = later.reasons.iter().map(|reason| reason.code.as_str()).collect();
    let expected =
        ["box-silent", "source-silent", "servers-not-asked", "snapshot-late", "drill-due", "certificate-expired"];
    for code in expected {
        assert!(codes.contains(&code), "{code} is missing of {codes:?}");
    }
}

#[test]
fn any_clock_gives_an_answer() -> TestResult {
    let world = World::ready();
    for now in [0, 1, 253_402_300_799] {
        // Ten years to either side, and both ends of time: an answer, and never a better one than it was.
        let readiness = world.at(Timestamp::from_unix(now)?);
        assert!(readiness.state > State::Ready, "{now}");
    }
    Ok(())
}

#[test]
fn what_is_written_is_read_again_also_with_a_word_of_tomorrow() -> TestResult {
    let mut world = World::ready();
    world.nodes[0].alarms.push(alarm(AlarmCode::Unknown("sunspots".into())));
    world.source(|source| source.pruning = Pruning::May);
    let readiness = world.at(ago(0));
    let text = serde_json::to_string(&readiness)?;
    assert_eq!(serde_json::from_str::<Readiness>(&text)?, readiness);
    assert!(text.contains("sunspots") && text.contains("token-may-prune"), "{text}");
    Ok(())
}
