//! What a box does when it reaches its hub again.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use rand::{Rng as _, RngExt as _, rand_core::UnwrapErr, rngs::SysRng};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tenwords_protocol::{
    bounded::{List, Text},
    boxes::PushReply,
    inventory::{Coverage, Crypt, SourceState, Verified},
    report::{
        Escrowed, GroupFact, HeldEscrow, KeyFact, Machine, Observed, Pruning, Report, ReportReply, SecondHolder,
        Signature, SnapshotFact, SourceFact,
    },
    time::Timestamp,
    v1::V1,
    version::{Grade, StoredHeader},
};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use super::{
    Load,
    boxes::{Fleet, Member, push},
    caller::{Answer, Door, call, post},
    figures::Tally,
};

/// So often a call is made until the box gives up. An agent never does; here it is a figure.
const TRIES: u32 = 8;
/// Groups of a box, as many as a small customer has guests.
const GROUPS: u32 = 20;

impl Fleet {
    /// Each at a moment of its own; how long it took from the first to the last.
    pub(super) async fn come_back(self, load: Load, tally: Arc<Tally>) -> Result<(Self, Duration)> {
        let Self { door, boxes } = self;
        let (places, begun) = (Arc::new(Semaphore::new(load.at_once)), Instant::now());
        let window = u64::try_from(load.window.as_millis())?.max(1);
        let mut under_way = JoinSet::new();
        for member in boxes {
            let moment = Duration::from_millis(UnwrapErr(SysRng).random_range(0..window));
            let (door, places, tally) = (door.clone(), Arc::clone(&places), Arc::clone(&tally));
            under_way.spawn(async move {
                sleep(moment).await;
                let due = Instant::now();
                let place = places.acquire_owned().await;
                tally.change(|calls| calls.longest_wait = calls.longest_wait.max(due.elapsed()));
                let mut member = member;
                if let Err(error) = member.returns(&door, load, &tally).await {
                    tally.change(|calls| calls.gave_up.push(format!("{}: {error:#}", member.name())));
                }
                drop(place);
                member
            });
        }
        let mut boxes = Vec::new();
        while let Some(back) = under_way.join_next().await {
            boxes.push(back?);
        }
        Ok((Self { door, boxes }, begun.elapsed()))
    }
}

impl Member {
    async fn returns(&mut self, door: &Door, load: Load, tally: &Tally) -> Result<()> {
        let client = door.client(Some(self.address()), Some(&self.identity))?;
        let newest = door.of_agents(&format!("/v1/boxes/{}/versions/newest", self.box_id));
        let stored: StoredHeader = persist("look", tally, || Ok(client.get(&newest))).await?;
        if (stored.number, &stored.header) != (self.newest.0, &self.newest.1) {
            return Err(anyhow!("the hub has version {} as the newest, and not {}", stored.number, self.newest.0));
        }
        if self.number.is_multiple_of(load.push_every) {
            let update = self.update()?;
            let stored: PushReply = persist("push", tally, || push(&client, door, self.box_id, &update)).await?;
            self.newest = (stored.number, update.header().clone());
        }
        let reports = door.of_agents(&format!("/v1/boxes/{}/reports", self.box_id));
        let times = if self.number.is_multiple_of(load.twice_every) { 2 } else { 1 };
        for time in 0..times {
            let report = self.report(1000 + 60 * time)?;
            let reply: ReportReply = persist("report", tally, || Ok(post(&client, &reports, &report))).await?;
            if reply.newest != Some(self.newest.0) {
                return Err(anyhow!(
                    "the hub's answer knows of version {:?}, and not of {}",
                    reply.newest,
                    self.newest.0
                ));
            }
        }
        Ok(())
    }

    /// As a box with some guests reports of which nothing is wrong.
    fn report(&self, uptime: u64) -> Result<Report> {
        let now = Timestamp::now();
        let (number, header) = &self.newest;
        let key = header.keys().next();
        let newest =
            SnapshotFact { time: now, crypt: Crypt::Encrypt, key, verified: Verified::Ok, signature: Signature::Good };
        let groups = (100..100 + GROUPS).map(|vmid| -> Result<GroupFact> {
            Ok(GroupFact {
                group: format!("ct/{vmid}").parse().ok().context("a group")?,
                name: Some(Text::cut("a guest's name")),
                coverage: Coverage::Source,
                exempt: false,
                interval: Some(86_400),
                newest: Some(newest.clone()),
                signed_at: Some(now),
                since: now,
            })
        });
        let observed = Observed {
            escrow: Some(HeldEscrow {
                ceremony: NonZeroU64::MIN,
                newest: *number,
                root_sha256: header.facts().root_sha256,
                second_holder: SecondHolder::Agrees,
            }),
            keys: List::cut(key.map(|fingerprint| KeyFact {
                fingerprint,
                in_use: true,
                snapshots: 300,
                held: true,
                escrowed: Some(Escrowed { grade: Grade::Proven, since: now }),
                since: now,
            }))
            .0,
            sources: List::cut([SourceFact {
                id: Text::cut("pbs"),
                state: SourceState::InUse,
                in_escrow: true,
                answered_at: Some(now),
                pruning: Pruning::Cannot,
                since: now,
            }])
            .0,
            servers_asked_at: Some(now),
            groups: List::cut(groups.collect::<Result<Vec<_>>>()?).0,
            ..Observed::default()
        };
        Ok(Report {
            v: V1,
            made_at: now,
            machine: Machine {
                name: Text::cut(&self.name()),
                agent_version: Text::cut(env!("CARGO_PKG_VERSION")),
                client_version: Some(Text::cut("3.2.4")),
                boot_id: Text::cut(&format!("start-of-{}", self.name())),
                uptime,
                keeper: None,
            },
            observed: Some(observed),
            alarms: List::default(),
            alarms_left_out: 0,
        })
    }
}

/// Makes the call until it is answered: after as long as the hub asks for and up to a quarter more, or, where nothing
/// comes back, after a time that doubles.
async fn persist<T: DeserializeOwned>(
    kind: &'static str,
    tally: &Tally,
    request: impl Fn() -> Result<RequestBuilder>,
) -> Result<T> {
    let mut was_refused = false;
    let mut last = String::new();
    for attempt in 0..TRIES {
        let begun = Instant::now();
        let wait = match call(request()?).await {
            Answer::Done(body) => {
                tally.change(|calls| {
                    calls.answered.entry(kind).or_default().push(begun.elapsed());
                    calls.served_later += u64::from(was_refused);
                });
                return serde_json::from_slice(&body).context("an answer of another form");
            }
            Answer::Later(after) => {
                tally.change(|calls| *calls.later.entry(kind).or_default() += 1);
                (was_refused, last) = (true, format!("to come again after {} s", after.as_secs()));
                after
            }
            Answer::None(said) => {
                tally.change(|calls| *calls.failed.entry(said.clone()).or_default() += 1);
                last = said;
                Duration::from_millis(500 << attempt)
            }
            Answer::Refused(said) => {
                tally.change(|calls| *calls.failed.entry(said.chars().take(100).collect()).or_default() += 1);
                return Err(anyhow!("{kind}: {said}"));
            }
        };
        let quarter = u64::try_from(wait.as_millis() / 4)?.max(1);
        sleep(wait + Duration::from_millis(UnwrapErr(SysRng).next_u64() % quarter)).await;
    }
    Err(anyhow!("{kind}: given up after {TRIES} times, at last: {last}"))
}
