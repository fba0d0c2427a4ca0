//! What nodes say of themselves and of their box: the newest word of each, in the former one's place.
//!
//! Nothing here is history and nothing of it decides trust. How boxes stood lies in `standings`.

use std::{collections::HashMap, num::NonZeroU64, time::Duration};

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    bounded::Text,
    id::{BoxId, NodeId},
    json,
    readiness::{Ceremony, Policy},
    report::{Alarm, AlarmCode, Observed, Report},
    time::Timestamp,
};

use super::{
    Act, CertificateKind, Store, StoreError, TRESPASSED, Tx,
    day::DAY_SECONDS,
    maybe_time,
    nodes::{hostname, keeper_of},
    parsed, time, versions,
};

/// Between two reports of one node there is at least so much time.
const APART: Duration = Duration::from_secs(10);
/// Former starts of a machine that are remembered, to know one again.
const FORMER_STARTS: usize = 16;
/// That another machine speaks with a node's identity is said so long after it was seen last.
const CLONE_IS_SAID: Duration = Duration::from_secs(7 * 86_400);

/// Keeps what a node says.
#[derive(Debug)]
pub struct SendReport {
    /// What it says.
    pub report: Report,
    /// The certificate that it came with.
    pub serial: String,
    /// Whose that is.
    pub node_id: NodeId,
    /// The node's box.
    pub box_id: BoxId,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// The certificate does not speak for the box any more.
    NotTheBox,
    /// It is kept.
    Stored,
    /// The last one came a moment ago.
    TooSoon {
        /// When the next is taken.
        retry_after: Duration,
    },
}

/// What is known of a box beside its row: its newest ceremony, and what its nodes have said.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The newest ceremony.
    pub ceremony: Option<Ceremony>,
    /// Under which code it was held, and when the hub took it.
    pub held: Option<(NonZeroU64, Timestamp)>,
    /// The highest number of a version.
    pub newest: Option<NonZeroU64>,
    /// What its keeper saw, and when the hub heard it.
    pub said: Option<(Timestamp, Observed)>,
    /// What is wrong, by node.
    pub alarms: HashMap<NodeId, Vec<Alarm>>,
    /// When a certificate of it was refused last for what is another box's.
    pub trespassed_at: Option<Timestamp>,
    /// When one was refused last that was revoked.
    pub revoked_used_at: Option<Timestamp>,
}

impl Act for SendReport {
    type Reply = Reported;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Reported, StoreError> {
        let Self { report, serial, node_id, box_id, now } = self;
        if tx.certificate_kind(serial, *now).await? != Some(CertificateKind::Box) {
            return Ok(Reported::NotTheBox);
        }
        let former =
            sqlx::query("SELECT received_at, boot_id, former_boots, uptime, clone_at FROM reports WHERE node_id = $1")
                .bind(node_id.to_string());
        let former = tx.read(former).await?.map(|row| Former::of(&row)).transpose()?;
        // A clock that was set back makes nobody wait.
        if let Some(former) = &former
            && former.received_at <= *now
            && now.since(former.received_at) < APART
        {
            return Ok(Reported::TooSoon { retry_after: APART - now.since(former.received_at) });
        }
        self.name_the_nameless(tx).await?;
        let next = Former::after(former, report, *now);
        for sql in ["DELETE FROM reports WHERE node_id = $1", "DELETE FROM alarms WHERE node_id = $1"] {
            tx.write_any(sqlx::query(sql).bind(node_id.to_string())).await?;
        }
        let insert = sqlx::query(
            "INSERT INTO reports (node_id, box_id, received_at, boot_id, former_boots, uptime, clone_at, machine) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(node_id.to_string())
        .bind(box_id.to_string())
        .bind(now.unix())
        .bind(next.boot_id)
        .bind(next.former_boots.join(" "))
        .bind(next.uptime)
        .bind(next.clone_at.map(Timestamp::unix))
        .bind(text(&report.machine)?);
        tx.write("reports", 1, insert).await?;
        if !report.alarms.is_empty() {
            let insert = sqlx::query("INSERT INTO alarms (node_id, box_id, body) VALUES ($1, $2, $3)")
                .bind(node_id.to_string())
                .bind(box_id.to_string())
                .bind(text(&report.alarms)?);
            tx.write("alarms", 1, insert).await?;
        }
        // A keeper that could not look leaves what it saw before.
        if let Some(observed) = &report.observed
            && self.speaks_for_the_box(tx).await?
        {
            let delete = sqlx::query("DELETE FROM observations WHERE box_id = $1").bind(box_id.to_string());
            tx.write_any(delete).await?;
            let insert =
                sqlx::query("INSERT INTO observations (box_id, node_id, received_at, body) VALUES ($1, $2, $3, $4)")
                    .bind(box_id.to_string())
                    .bind(node_id.to_string())
                    .bind(now.unix())
                    .bind(text(observed)?);
            tx.write("observations", 1, insert).await?;
        }
        Ok(Reported::Stored)
    }
}

impl SendReport {
    /// A machine that came by a recovery has no name yet: it is called as it calls itself, unless a living node of the
    /// box is.
    async fn name_the_nameless(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let Self { report, node_id, box_id, now, .. } = self;
        let Some(name) = hostname(report.machine.name.as_str()) else { return Ok(()) };
        let nameless = sqlx::query("SELECT node_id FROM nodes WHERE node_id = $1 AND hostname = ''");
        if tx.read(nameless.bind(node_id.to_string())).await?.is_none() {
            return Ok(());
        }
        if let Some(other) = tx.node_called(*box_id, &name).await?
            && tx.node_lives(other, *now).await?
        {
            return Ok(());
        }
        let update = sqlx::query("UPDATE nodes SET hostname = $1 WHERE node_id = $2 AND hostname = ''");
        tx.write("nodes", 1, update.bind(name).bind(node_id.to_string())).await
    }

    /// Whether what this node sees counts as the box's. The keeper's does; where none is named, or the one that is
    /// has no certificate any more, that of the only node, or of one that has said so all along.
    async fn speaks_for_the_box(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let Self { node_id, box_id, now, .. } = self;
        let keeper = sqlx::query("SELECT keeper FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        let keeper = tx.read(keeper).await?.map(|row| keeper_of(&row)).transpose()?.flatten();
        if let Some(keeper) = keeper
            && tx.node_lives(keeper, *now).await?
        {
            return Ok(keeper == *node_id);
        }
        let other = sqlx::query(
            "SELECT serial FROM certificates WHERE box_id = $1 AND node_id <> $2 AND kind = 'box' \
             AND revoked_at IS NULL AND expires_at > $3 LIMIT 1",
        )
        .bind(box_id.to_string())
        .bind(node_id.to_string())
        .bind(now.unix());
        if tx.read(other).await?.is_none() {
            return Ok(true);
        }
        let said = sqlx::query(
            "SELECT node_id FROM observations WHERE box_id = $1 AND node_id <> $2 AND received_at > $3 \
             AND received_at <= $4",
        )
        .bind(box_id.to_string())
        .bind(node_id.to_string())
        .bind(now.unix() - DAY_SECONDS)
        .bind(now.unix());
        Ok(tx.read(said).await?.is_none())
    }
}

/// What is remembered of a node's reports.
struct Former {
    received_at: Timestamp,
    boot_id: String,
    former_boots: Vec<String>,
    uptime: i64,
    clone_at: Option<Timestamp>,
}

impl Former {
    fn of(row: &AnyRow) -> Result<Self, StoreError> {
        let boots: String = row.try_get("former_boots")?;
        Ok(Self {
            received_at: time(row, "reports", "received_at")?,
            boot_id: row.try_get("boot_id")?,
            former_boots: boots.split(' ').filter(|boot| !boot.is_empty()).map(str::to_owned).collect(),
            uptime: row.try_get("uptime")?,
            clone_at: maybe_time(row, "reports", "clone_at")?,
        })
    }

    /// What is remembered after this report. A machine that starts anew has a start that nobody has seen; one that
    /// comes back with a former start, or does not count on in the same one, is a second machine.
    fn after(former: Option<Self>, report: &Report, now: Timestamp) -> Self {
        let boot_id: String = report.machine.boot_id.as_str().chars().filter(|c| c.is_ascii_graphic()).collect();
        let uptime = i64::try_from(report.machine.uptime).unwrap_or(i64::MAX);
        let next = Self { received_at: now, boot_id, former_boots: Vec::new(), uptime, clone_at: None };
        let Some(mut former) = former else { return next };
        let is_same_start = former.boot_id == next.boot_id;
        let is_clone =
            if is_same_start { next.uptime <= former.uptime } else { former.former_boots.contains(&next.boot_id) };
        if !is_same_start {
            former.former_boots.retain(|boot| *boot != next.boot_id);
            former.former_boots.push(former.boot_id);
            let beyond = former.former_boots.len().saturating_sub(FORMER_STARTS);
            former.former_boots.drain(..beyond);
        }
        Self { former_boots: former.former_boots, clone_at: if is_clone { Some(now) } else { former.clone_at }, ..next }
    }
}

impl Store {
    /// What is known of this box, or of every box.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn evidence(&self, of: Option<BoxId>, now: Timestamp) -> Result<HashMap<BoxId, Evidence>, StoreError> {
        let mut found: HashMap<BoxId, Evidence> = HashMap::new();
        let newest = of_all_or_one!(
            of,
            "SELECT box_id, MAX(number) AS newest FROM versions ",
            "WHERE box_id = $1 ",
            "GROUP BY box_id"
        );
        for row in newest.fetch_all(self.pool()).await? {
            let newest: i64 = row.try_get("newest")?;
            found.entry(parsed(&row, "versions", "box_id")?).or_default().newest =
                u64::try_from(newest).ok().and_then(NonZeroU64::new);
        }
        let ceremonies = of_all_or_one!(
            of,
            "SELECT v.box_id, v.number, v.received_at, v.header FROM versions v \
             JOIN (SELECT box_id, MAX(number) AS newest FROM versions WHERE kind = 'ceremony' ",
            "AND box_id = $1 ",
            "GROUP BY box_id) n ON n.box_id = v.box_id AND n.newest = v.number"
        );
        for row in ceremonies.fetch_all(self.pool()).await? {
            let stored = versions::stored(&row)?;
            let of_box = found.entry(parsed(&row, "versions", "box_id")?).or_default();
            of_box.held = Some((stored.header.facts().code_number, stored.received_at));
            of_box.ceremony = Some(Ceremony::of(&stored));
        }
        let observations =
            of_all_or_one!(of, "SELECT box_id, received_at, body FROM observations ", "WHERE box_id = $1", "");
        for row in observations.fetch_all(self.pool()).await? {
            let said = (time(&row, "observations", "received_at")?, read(&row, "observations")?);
            found.entry(parsed(&row, "observations", "box_id")?).or_default().said = Some(said);
        }
        let alarms = of_all_or_one!(of, "SELECT box_id, node_id, body FROM alarms ", "WHERE box_id = $1", "");
        for row in alarms.fetch_all(self.pool()).await? {
            let of_box = found.entry(parsed(&row, "alarms", "box_id")?).or_default();
            of_box.alarms.insert(parsed(&row, "alarms", "node_id")?, read(&row, "alarms")?);
        }
        let clones = of_all_or_one!(
            of,
            "SELECT box_id, node_id, clone_at FROM reports WHERE clone_at IS NOT NULL ",
            "AND box_id = $1",
            ""
        );
        for row in clones.fetch_all(self.pool()).await? {
            let Some(since) = maybe_time(&row, "reports", "clone_at")? else { continue };
            if now.since(since) < CLONE_IS_SAID {
                let of_box = found.entry(parsed(&row, "reports", "box_id")?).or_default();
                let alarm = Alarm { code: AlarmCode::Clone, subject: Text::cut(""), since };
                of_box.alarms.entry(parsed(&row, "reports", "node_id")?).or_default().push(alarm);
            }
        }
        // One from a time to come, when the clock was wrong, says nothing now.
        let said = i64::try_from(Policy::default().refused_is_said.as_secs()).unwrap_or(i64::MAX);
        let refusals = match of {
            None => sqlx::query(
                "SELECT box_id, action, MAX(time) AS at FROM audit \
                 WHERE action IN ('request.trespassed', 'request.revoked') AND time > $1 AND time <= $2 \
                 GROUP BY box_id, action",
            ),
            Some(_) => sqlx::query(
                "SELECT box_id, action, MAX(time) AS at FROM audit \
                 WHERE action IN ('request.trespassed', 'request.revoked') AND time > $1 AND time <= $2 \
                 AND box_id = $3 GROUP BY box_id, action",
            ),
        };
        let refusals = refusals.bind(now.unix() - said).bind(now.unix());
        let refusals = match of {
            None => refusals,
            Some(of) => refusals.bind(of.to_string()),
        };
        for row in refusals.fetch_all(self.pool()).await? {
            let at = Some(time(&row, "audit", "at")?);
            let box_id = parsed(&row, "audit", "box_id")?;
            let of_box = found.entry(box_id).or_default();
            match row.try_get::<String, _>("action")?.as_str() {
                TRESPASSED => of_box.trespassed_at = at,
                _ => of_box.revoked_used_at = at,
            }
        }
        Ok(found)
    }
}

fn text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    let unwritable = || StoreError::unreadable("reports", "body", "cannot be written");
    let text = json::to_vec(value).map_err(|_| unwritable())?;
    String::from_utf8(text).map_err(|_| unwritable())
}

fn read<T: serde::de::DeserializeOwned>(row: &AnyRow, table: &'static str) -> Result<T, StoreError> {
    let body: String = row.try_get("body")?;
    json::from_slice(body.as_bytes()).map_err(|_| StoreError::unreadable(table, "body", "not of a known form"))
}

#[cfg(test)]
mod tests {
    use tenwords_protocol::{bounded::List, report::Machine, v1::V1};

    use super::*;

    fn report(boot: &str, uptime: u64) -> Report {
        Report {
            v: V1,
            made_at: moment(0),
            machine: Machine {
                name: Text::cut("node1"),
                agent_version: Text::cut("0.1.0"),
                client_version: None,
                boot_id: Text::cut(boot),
                uptime,
                keeper: None,
            },
            observed: None,
            alarms: List::default(),
            alarms_left_out: 0,
        }
    }

    fn moment(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_790_000_000 + seconds).unwrap_or_else(|_| unreachable!("a time of this century"))
    }

    /// Whether the last of these reports shows a second machine.
    fn is_clone(reports: &[(&str, u64)]) -> bool {
        let last = reports
            .iter()
            .zip(0..)
            .fold(None, |former, ((boot, uptime), at)| Some(Former::after(former, &report(boot, *uptime), moment(at))));
        last.is_some_and(|last| last.clone_at.is_some())
    }

    #[test]
    fn two_machines_with_one_identity_are_told_and_a_machine_that_starts_anew_is_one() {
        assert!(!is_clone(&[("a", 1)]));
        assert!(!is_clone(&[("a", 1), ("a", 2), ("b", 3), ("c", 4)]), "a machine was started twice");
        // A disk that was set back to yesterday, on a machine that started anew: the same machine as far as
        // anybody can tell; its other half would come back.
        assert!(!is_clone(&[("a", 9), ("b", 3), ("b", 4)]));
        assert!(is_clone(&[("a", 1), ("b", 2), ("a", 2)]), "a start that was over goes on");
        assert!(is_clone(&[("a", 2), ("a", 2)]), "one start counts twice");
        assert!(is_clone(&[("a", 5), ("a", 3)]), "one start counts back");
        let many: Vec<String> = (0..100).map(|n| format!("boot{n}")).collect();
        let many: Vec<(&str, u64)> = many.iter().zip(1..).map(|(boot, n)| (boot.as_str(), n)).collect();
        assert!(!is_clone(&many));
    }

    #[test]
    fn what_is_remembered_of_former_starts_is_bounded_and_has_no_blanks() {
        let mut former = None;
        for n in 0..100 {
            former = Some(Former::after(former, &report(&format!("boot {n}"), n), moment(0)));
        }
        let former = former.unwrap_or_else(|| unreachable!("a hundred reports"));
        assert_eq!(former.former_boots.len(), FORMER_STARTS);
        assert!(former.former_boots.iter().all(|boot| !boot.contains(' ')));
    }
}
