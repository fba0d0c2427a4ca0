//! A small world with a box that has held its ceremony.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use pbs_format::{
    blob,
    key::{EncryptionKey, KeyFile},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tenwords_protocol::{
    json,
    part::PartName,
    time::Timestamp,
    version::{Header, HeaderFacts, PartEntry},
};
use tenwords_spikes::{
    process::{Ended, Run},
    tree::Tree,
    world::{BackupServer, Hub, Machine, Recovery, World, write_private},
};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

pub(crate) const BOX: &str = "bakery";
pub(crate) const GROUP: &str = "ct/101";

/// A box with a backup and an escrow.
pub(crate) struct Scene {
    pub(crate) box_1: Machine,
    pub(crate) words: Zeroizing<String>,
    pub(crate) key: EncryptionKey,
    /// What lies in the backup.
    pub(crate) data: Tree,
    pub(crate) server: BackupServer,
    pub(crate) hub: Hub,
    pub(crate) world: World,
    _base: TempDir,
}

/// A world in which a box has joined and has a backup.
pub(crate) fn joined() -> Result<Scene> {
    joined_with(|_, _| Ok(()), &[])
}

/// The same, with a hand in the server's client and more in the box's environment.
pub(crate) fn joined_with(
    change: impl FnOnce(&World, &mut BackupServer) -> Result<()>,
    environment: &[(&str, &str)],
) -> Result<Scene> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let mut server = BackupServer::local(&world)?;
    let hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box(BOX)?;
    let made = world.folder().join("job/made.enc");
    server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    let file = fs::read(&made)?;
    let key = KeyFile::parse(&file)?.open(None)?;
    let container = container(&world, "container", b"the bakery's books")?;
    let data = Tree::read(&container)?;
    server.back_up(&[format!("root.pxar:{}", container.display())], GROUP, &made)?;
    change(&world, &mut server)?;
    let box_1 =
        Machine::new(&world, "box1", &server.client)?.with_source(&server, &file)?.with_environment(environment);
    box_1.enroll(&ticket)?;
    Ok(Scene { box_1, words: Zeroizing::default(), key, data, server, hub, world, _base: base })
}

/// A world in which the box has held its ceremony too.
pub(crate) fn protected() -> Result<Scene> {
    let mut scene = joined()?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    Ok(scene)
}

/// Types the words as the screen has them.
pub(crate) fn as_shown(words: &str) -> Zeroizing<String> {
    Zeroizing::new(words.to_owned())
}

/// A small folder whose content nothing else has.
pub(crate) fn container(world: &World, name: &str, content: &[u8]) -> Result<PathBuf> {
    let folder = world.make(name)?;
    fs::create_dir(folder.join("etc"))?;
    fs::write(folder.join("etc/hostname"), name)?;
    // More than one chunk's smallest size, so that a chunk is not all of it.
    let lines: Vec<u8> = content.iter().copied().chain(*b"\n").cycle().take(300_000).collect();
    fs::write(folder.join("books"), lines)?;
    std::os::unix::fs::symlink("etc/hostname", folder.join("name"))?;
    Ok(folder)
}

impl Scene {
    /// A machine with nothing but an agent.
    pub(crate) fn fresh(&self, name: &str) -> Result<Machine> {
        Machine::new(&self.world, name, &self.server.client)
    }

    /// One pass of the box's daemon, with the settings that it would give it; what it says at its end.
    pub(crate) fn pass(&self, kind: &str) -> Result<serde_json::Value> {
        pass(&self.box_1, kind)
    }

    /// The box's own mailer puts what it is handed there.
    pub(crate) fn with_mail(&self) -> Result<PathBuf> {
        mail_of(&self.box_1)
    }

    /// A recovery that must end well, with the data back.
    pub(crate) fn recovers(&self, machine: &Machine, ticket: &str, words: &str) -> Result<Recovery> {
        let recovery = machine.recover(ticket, &[words])?;
        ensure!(recovery.code == 0, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
        ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == self.data, "the data is another");
        let installed = KeyFile::parse(&fs::read(machine.installed_key())?)?.open(None)?;
        ensure!(installed.fingerprint() == self.key.fingerprint(), "the key is another");
        Ok(recovery)
    }

    /// A recovery that must end with one of `codes` and leave nothing.
    pub(crate) fn refuses(&self, machine: &Machine, ticket: &str, typed: &[&str], codes: &[u32]) -> Result<Recovery> {
        let recovery = machine.recover(ticket, typed)?;
        ensure!(
            codes.contains(&recovery.code),
            "recover ended with {} instead of {codes:?}:\n{}",
            recovery.code,
            *recovery.shown
        );
        machine.nothing_installed()?;
        Ok(recovery)
    }
}

/// One pass of a machine's daemon, with the settings that it would give it; what it says at its end.
pub(crate) fn pass(machine: &Machine, kind: &str) -> Result<serde_json::Value> {
    let settings = fs::read_to_string(machine.config())?;
    let ended = machine.agent(&["pass", kind], &settings)?.with_code(0)?;
    let wrote = ended.wrote();
    let last = wrote.lines().last().context("a pass says how it ended")?;
    Ok(serde_json::from_str(last)?)
}

/// The machine's own mailer puts what it is handed there.
pub(crate) fn mail_of(machine: &Machine) -> Result<PathBuf> {
    let (mail, mailer) = (machine.folder().join("mail"), machine.folder().join("sendmail"));
    fs::write(&mailer, format!("#!/bin/sh\nexec cat >> {}\n", mail.display()))?;
    fs::set_permissions(&mailer, fs::Permissions::from_mode(0o755))?;
    let text = fs::read_to_string(machine.config())?;
    // A table after the last setting that has none, and before the first that has one.
    let place = text.find("[connect]").context("the configuration has a table")?;
    let notify = format!("[notify]\ncommand = \"{}\"\n", mailer.display());
    fs::write(machine.config(), format!("{}{notify}{}", &text[..place], &text[place..]))?;
    Ok(mail)
}

/// The mailer was last tried long ago: it is handed something every ten minutes at most.
pub(crate) fn mailer_is_ready(machine: &Machine) -> Result<()> {
    let path = machine.state().join("alarms.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    kept.as_object_mut().context("alarms")?.remove("tried");
    fs::write(&path, serde_json::to_vec(&kept)?)?;
    Ok(())
}

/// How the box stands at the hub: in a word, and the codes of its reasons.
pub(crate) fn stands(hub: &Hub) -> Result<(String, Vec<String>)> {
    let fleet = hub.operator(&["fleet"])?.with_code(0)?.json()?;
    let of = fleet["boxes"].as_array().and_then(|boxes| boxes.iter().find(|it| it["name"] == BOX));
    let of = of.context("the fleet has the box")?;
    let codes = of["reasons"].as_array().context("reasons")?.iter();
    Ok((
        of["state"].as_str().context("a state")?.to_owned(),
        codes.map(|it| it["code"].to_string().replace('"', "")).collect(),
    ))
}

/// The same when this machine has reported.
pub(crate) fn reported(hub: &Hub, machine: &Machine) -> Result<(String, Vec<String>)> {
    // A node reports every ten seconds at most; the hub says when.
    let end = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        let settings = fs::read_to_string(machine.config())?;
        let ended = machine.agent(&["pass", "report"], &settings)?;
        if ended.code == Some(0) {
            return stands(hub);
        }
        ensure!(std::time::Instant::now() < end, "{}{}", ended.wrote(), ended.said());
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The hub's disk in the hands of an owner who rewrites what was to be kept.
pub(crate) struct Disk {
    connection: SqliteConnection,
    runtime: Runtime,
}

pub(crate) type Parts = BTreeMap<PartName, Vec<u8>>;

impl Disk {
    pub(crate) fn of(hub: &Hub) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = SqliteConnectOptions::new().filename(hub.data().join("hub.db"));
        let mut connection = runtime.block_on(SqliteConnection::connect_with(&options))?;
        for table in ["versions", "parts", "inventories", "directives"] {
            for guard in ["no_update", "no_delete", "no_replace"] {
                let drop = format!("DROP TRIGGER IF EXISTS {table}_{guard}");
                runtime.block_on(sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut connection))?;
            }
        }
        Ok(Self { connection, runtime })
    }

    /// The parts of a version.
    pub(crate) fn parts(&mut self, number: i64) -> Result<Parts> {
        let select = sqlx::query("SELECT name, body FROM parts WHERE number = $1").bind(number);
        let rows = self.runtime.block_on(select.fetch_all(&mut self.connection))?;
        rows.iter().map(|row| Ok((row.get::<String, _>("name").parse()?, row.get("body")))).collect()
    }

    /// Serves these parts as that version from now on, under a header that fits them.
    pub(crate) fn serve(&mut self, number: i64, parts: &Parts) -> Result<()> {
        let select = sqlx::query("SELECT box_id, header FROM versions WHERE number = $1").bind(number);
        let row = self.runtime.block_on(select.fetch_one(&mut self.connection))?;
        let box_id: String = row.get("box_id");
        let header: Header = json::from_slice(row.get::<String, _>("header").as_bytes())?;
        let root = parts.get(&PartName::Root).context("a root")?;
        let root_sha256 = tenwords_protocol::hash::Sha256::of(root);
        let header = Header::new(HeaderFacts { root_sha256, ..header.facts().clone() }, parts)?;
        let text = String::from_utf8(json::to_vec(&header)?)?;
        let hash = tenwords_protocol::hash::Sha256::of(text.as_bytes()).to_string();
        self.run(
            sqlx::query("UPDATE versions SET header = $1, header_sha256 = $2 WHERE number = $3")
                .bind(text)
                .bind(hash)
                .bind(number),
        )?;
        self.run(sqlx::query("DELETE FROM parts WHERE number = $1").bind(number))?;
        for entry in header.parts() {
            self.part(&box_id, number, entry, parts[&entry.name].clone())?;
        }
        Ok(())
    }

    /// Adds a version, as whoever holds the box's certificate can.
    pub(crate) fn add(&mut self, header: &Header, parts: &Parts) -> Result<()> {
        let select = sqlx::query("SELECT box_id, MAX(number) AS number FROM versions GROUP BY box_id");
        let row = self.runtime.block_on(select.fetch_one(&mut self.connection))?;
        let (box_id, number): (String, i64) = (row.get("box_id"), row.get::<i64, _>("number") + 1);
        let text = String::from_utf8(json::to_vec(header)?)?;
        let hash = tenwords_protocol::hash::Sha256::of(text.as_bytes()).to_string();
        self.run(
            sqlx::query(
                "INSERT INTO versions (box_id, number, kind, received_at, header, header_sha256) \
                 VALUES ($1, $2, 'update', $3, $4, $5)",
            )
            .bind(box_id.clone())
            .bind(number)
            .bind(Timestamp::now().unix())
            .bind(text)
            .bind(hash),
        )?;
        for entry in header.parts() {
            self.part(&box_id, number, entry, parts[&entry.name].clone())?;
        }
        Ok(())
    }

    fn part(&mut self, box_id: &str, number: i64, entry: &PartEntry, body: Vec<u8>) -> Result<()> {
        let insert =
            "INSERT INTO parts (box_id, number, name, size, sha256, seal, body) VALUES ($1, $2, $3, $4, $5, 0, $6)";
        self.run(
            sqlx::query(insert)
                .bind(box_id.to_owned())
                .bind(number)
                .bind(entry.name.to_string())
                .bind(i64::try_from(entry.size)?)
                .bind(entry.sha256.to_string())
                .bind(body),
        )
    }

    /// Everything that was stored was stored a day and an hour ago.
    pub(crate) fn a_day_goes_by(&mut self) -> Result<()> {
        self.run(sqlx::query("UPDATE versions SET received_at = received_at - 90000"))
    }

    /// When the hub received the last report of any node.
    pub(crate) fn reported_at(&mut self) -> Result<Option<Timestamp>> {
        let select = sqlx::query("SELECT MAX(received_at) AS at FROM reports");
        let row = self.runtime.block_on(select.fetch_one(&mut self.connection))?;
        row.get::<Option<i64>, _>("at").map(|at| Ok(Timestamp::from_unix(at)?)).transpose()
    }

    /// Hides a version.
    pub(crate) fn hide(&mut self, number: i64) -> Result<()> {
        for (table, column) in
            [("directives", "version"), ("inventories", "version"), ("parts", "number"), ("versions", "number")]
        {
            let delete = format!("DELETE FROM {table} WHERE {column} = $1");
            self.run(sqlx::query(sqlx::AssertSqlSafe(delete)).bind(number))?;
        }
        Ok(())
    }

    /// The time that was given for every claim is over.
    pub(crate) fn windows_end(&mut self) -> Result<()> {
        self.run(sqlx::query("UPDATE tickets SET expires_at = made_at"))
    }

    /// The hub has not heard of this node for four hours.
    pub(crate) fn is_silent(&mut self, node: &str) -> Result<()> {
        let update = "UPDATE nodes SET heard_at = heard_at - 4 * 3600 WHERE node_id = $1";
        self.run(sqlx::query(update).bind(node.to_owned()))
    }

    /// Every machine had been up for an hour more when it last reported.
    pub(crate) fn was_up_for_longer(&mut self) -> Result<()> {
        self.run(sqlx::query("UPDATE reports SET uptime = uptime + 3600"))
    }

    /// So is that of every certificate.
    pub(crate) fn certificates_expire(&mut self) -> Result<()> {
        self.run(sqlx::query("UPDATE certificates SET expires_at = made_at"))
    }

    /// So it is, and that for more days than a renewal is granted.
    pub(crate) fn certificates_expired_long_ago(&mut self) -> Result<()> {
        self.run(sqlx::query("UPDATE certificates SET expires_at = made_at - 181 * 86400"))
    }

    /// Takes every revocation of a certificate back.
    pub(crate) fn revive_certificates(&mut self) -> Result<()> {
        self.run(sqlx::query("UPDATE certificates SET revoked_at = NULL, revoked_because = NULL"))
    }

    /// From now on every key part that is stored becomes this one.
    pub(crate) fn replace_key_parts_by(&mut self, body: &[u8]) -> Result<()> {
        let (body, hash) = (hex::encode(body), tenwords_protocol::hash::Sha256::of(body));
        let trigger = format!(
            "CREATE TRIGGER lie AFTER INSERT ON parts WHEN NEW.name LIKE 'key/%' BEGIN \
             UPDATE parts SET body = x'{body}', sha256 = '{hash}', size = {} \
             WHERE box_id = NEW.box_id AND number = NEW.number AND name = NEW.name; END",
            body.len() / 2
        );
        self.run(sqlx::query(sqlx::AssertSqlSafe(trigger)))
    }

    /// One byte of a part becomes another where it lies.
    pub(crate) fn flip_a_byte_of(&mut self, name: &str) -> Result<()> {
        self.run(
            sqlx::query(
                "UPDATE parts SET body = CAST(substr(body, 1, 40) || x'00' || substr(body, 42) AS BLOB) WHERE name = $1",
            )
            .bind(name.to_owned()),
        )
    }

    fn run<'q>(&mut self, query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>) -> Result<()> {
        self.runtime.block_on(query.execute(&mut self.connection))?;
        Ok(())
    }
}

/// The one key part among these.
pub(crate) fn key_part(parts: &Parts) -> Result<PartName> {
    parts.keys().copied().find(|name| matches!(name, PartName::Key(_))).context("a key part")
}

/// The number of the box's newest version, as the operator sees it.
pub(crate) fn versions(hub: &Hub) -> Result<u64> {
    hub.show(BOX)?["versions"].as_u64().context("a number of versions")
}

/// The program and arguments of a recovery without a person: the words by a pipe, one attempt, the
/// escrow's date taken as fitting.
pub(crate) fn command_by_pipe(world: &World, machine: &Machine, ticket: &str, more: &[&str]) -> Result<Vec<String>> {
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let [agent, config, ticket] =
        [&world.programs().agent, &machine.config(), &file].map(|path| path.display().to_string());
    let script = "exec 3<&0 </dev/null; exec \"$@\"";
    let arguments = ["recover", "--ticket-file", &ticket, "--code-fd", "3", "--yes"];
    let all = ["-c", script, "sh", &agent, "--config", &config];
    Ok(all.iter().chain(&arguments).chain(more).map(|text| (*text).to_owned()).collect())
}

/// Such a recovery.
pub(crate) fn by_pipe(world: &World, machine: &Machine, ticket: &str, more: &[&str], words: &str) -> Result<Ended> {
    Run::new("/bin/sh".as_ref(), world.folder())
        .args(command_by_pipe(world, machine, ticket, more)?)
        .envs(&world.environment())
        .input(words.as_bytes())
        .to_end(LONG)
}

/// A client that goes through this piece of script before it is the server's own (`$CLIENT`). PVE's
/// programs, not the agent, call it where `$PROXMOX_OUTPUT_NO_HEADER` is set.
pub(crate) fn client(world: &World, server: &BackupServer, name: &str, script: &str) -> Result<PathBuf> {
    let path = world.folder().join("bin").join(name);
    let text = format!("#!/bin/sh\nCLIENT='{}'\n{script}\nexec \"$CLIENT\" \"$@\"\n", server.client.display());
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Rewrites a snapshot's list of files as its server can: unsigned, or signed as before.
pub(crate) fn edit_manifest(snapshot: &Path, edit: impl FnOnce(&mut serde_json::Value)) -> Result<()> {
    let path = snapshot.join("index.json.blob");
    let mut manifest = serde_json::from_slice(&blob::decode(&fs::read(&path)?, None, 1 << 24)?)?;
    edit(&mut manifest);
    fs::write(&path, blob::encode(manifest.to_string().as_bytes(), None, true, &mut UnwrapErr(SysRng))?)?;
    Ok(())
}

/// What could move a cursor, turn a line around, or hide.
pub(crate) fn harmful(text: &str) -> bool {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.contains(harmful)
}

const LONG: Duration = Duration::from_secs(600);
