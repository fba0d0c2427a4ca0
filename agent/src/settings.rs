//! `/etc/tenwords/agent.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use pbs_driver::pve;
use serde::{Deserialize, Serialize};
use tenwords_protocol::directive::{Name, Namespace};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    sheet::Operator,
};

/// Where the configuration is looked for.
pub(crate) const DEFAULT_PATH: &str = "/etc/tenwords/agent.toml";
/// Where the console finds the agent. The console reads no configuration: another place is named to both.
pub(crate) const CONSOLE_SOCKET: &str = "/run/tenwords/console.sock";
const LIMIT: u64 = 1 << 20;

/// The agent's settings. Every one but the sources has a default that works.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What the agent keeps between runs; 0700.
    #[serde(default = "default_state")]
    pub(crate) state: PathBuf,
    /// A private folder on a tmpfs, for copies of keys while they are worked on; 0700.
    #[serde(default = "default_runtime")]
    pub(crate) runtime: PathBuf,
    /// The client that opens and restores.
    #[serde(default = "default_client")]
    pub(crate) client: PathBuf,
    /// What reads a datastore's folder where there is no server.
    #[serde(default = "default_pbs_local")]
    pub(crate) pbs_local: PathBuf,
    /// Small files that the escrow carries for the day of the recovery; those that are missing are
    /// passed over. At most 512 KiB in all. [`Settings::small_files`] knows the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<PathBuf>>,
    /// Guests, by number, that are not backed up on purpose: nobody is told that no job covers them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) not_backed_up: BTreeSet<NonZeroU32>,
    /// Who helps the customer.
    #[serde(default)]
    pub(crate) operator: Operator,
    /// Where the customer's console is let in.
    #[serde(default)]
    pub(crate) console: ConsoleSettings,
    /// What opens a way to a backup server.
    #[serde(default)]
    pub(crate) connect: ConnectSettings,
    /// Who is told of an alarm.
    #[serde(default)]
    pub(crate) notify: NotifySettings,
    /// Where Proxmox VE is on this node.
    #[serde(default)]
    pve: PveSettings,
    /// Where this box backs up to, beside the `pbs:` storages of PVE.
    #[serde(default, rename = "source", skip_serializing_if = "Vec::is_empty")]
    pub(crate) sources: Vec<SourceSettings>,
}

/// `[pve]`: a machine without these has no Proxmox VE, and nothing is said about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PveSettings {
    /// The cluster file system.
    etc: PathBuf,
    pct: PathBuf,
    qm: PathBuf,
    qmrestore: PathBuf,
    pvesh: PathBuf,
    pvesm: PathBuf,
    /// Where PVE's programs lock a guest.
    locks: PathBuf,
    /// The index of tasks that have ended.
    tasks: PathBuf,
}

/// `[connect]`: programs that open a way to a backup server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectSettings {
    pub(crate) wg_quick: PathBuf,
}

/// `[notify]`: the machine's own mailer, and whom its messages are for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotifySettings {
    /// Takes a message at standard input, with `-i -t`.
    pub(crate) command: PathBuf,
    pub(crate) to: String,
    /// Nobody is told.
    pub(crate) off: bool,
}

/// `[console]`: the socket at which the console is attended, and whose console it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConsoleSettings {
    pub(crate) socket: PathBuf,
    pub(crate) user: User,
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum User {
    Number(u32),
    Name(String),
}

/// One `[[source]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceSettings {
    /// Its name on this box.
    pub(crate) id: Name,
    /// `[[user[!token]@]host[:port]:]datastore`.
    pub(crate) repository: String,
    /// The namespace, if not the datastore's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<Namespace>,
    /// The server certificate's fingerprint, or `web-pki`.
    pub(crate) certificate: String,
    /// The PBS key file, without passphrase.
    pub(crate) key_file: PathBuf,
    /// The token's secret, one line; 0600.
    pub(crate) token_file: PathBuf,
    /// Archives that may go back to where they came from: `"host/box1/data.pxar" = "/srv/data"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) restore_paths: BTreeMap<String, PathBuf>,
}

/// Settings and the file they came from.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
}

impl Default for PveSettings {
    fn default() -> Self {
        let pve::Paths { etc_pve: etc, pct, qm, qmrestore, pvesh, pvesm, locks } = pve::Paths::default();
        Self { etc, pct, qm, qmrestore, pvesh, pvesm, locks, tasks: pve::tasks::INDEX.into() }
    }
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self { wg_quick: "/usr/bin/wg-quick".into() }
    }
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { command: "/usr/sbin/sendmail".into(), to: "root".to_owned(), off: false }
    }
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { socket: CONSOLE_SOCKET.into(), user: User::Name("tenwords".to_owned()) }
    }
}

impl Settings {
    /// Where Proxmox VE's folder and programs are.
    pub(crate) fn pve_paths(&self) -> pve::Paths {
        let PveSettings { etc, pct, qm, qmrestore, pvesh, pvesm, locks, tasks: _ } = self.pve.clone();
        pve::Paths { etc_pve: etc, pct, qm, qmrestore, pvesh, pvesm, locks }
    }

    /// Where PVE writes down which tasks have ended.
    pub(crate) fn pve_tasks(&self) -> &Path {
        &self.pve.tasks
    }

    /// The small files to escrow, by the configuration or by default.
    pub(crate) fn small_files(&self) -> Vec<PathBuf> {
        self.files.clone().unwrap_or_else(|| {
            let of_pve =
                ["storage.cfg", "jobs.cfg", "user.cfg", "datacenter.cfg", "notifications.cfg", "firewall/cluster.fw"];
            let of_pve = of_pve.iter().map(|name| self.pve.etc.join(name));
            of_pve.chain(["/etc/network/interfaces", "/etc/hosts"].map(PathBuf::from)).collect()
        })
    }
}

impl Configuration {
    /// Reads `path`; a missing file is all defaults.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = match durable::read_limited(path, LIMIT) {
            Ok(bytes) => {
                String::from_utf8(bytes).or_stop(Code::Usage, || format!("{} is not UTF-8", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(
                    Stop::new(Code::Usage, format!("cannot read the configuration {}", path.display())).because(error)
                );
            }
        };
        Self::of_text(path, &text)
    }

    /// The configuration that a file of this name has, or had.
    pub(crate) fn of_text(path: &Path, text: &str) -> Outcome<Self> {
        let settings: Settings = toml::from_str(text).map_err(|error| {
            Stop::new(Code::Usage, format!("the configuration {} is not understood", path.display()))
                .remedy("mend the line that is named below; `tenwords-agent --help` shows an example")
                .because(error)
        })?;
        let configuration = Self { path: path.to_owned(), settings };
        configuration.check()?;
        Ok(configuration)
    }

    /// The same for [`Self::of_text`].
    pub(crate) fn to_text(&self) -> Outcome<String> {
        toml::to_string(&self.settings).or_stop(Code::Internal, || "the configuration cannot be handed on".to_owned())
    }

    /// The folder in which the configuration lies.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// A path inside the state folder.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.settings.state.join(name)
    }

    fn check(&self) -> Outcome<()> {
        let settings = &self.settings;
        let PveSettings { etc, pct, qm, qmrestore, pvesh, pvesm, locks, tasks } = &settings.pve;
        let absolute = [
            ("state", &settings.state),
            ("runtime", &settings.runtime),
            ("client", &settings.client),
            ("pbs_local", &settings.pbs_local),
        ]
        .into_iter()
        .chain([
            ("etc", etc),
            ("pct", pct),
            ("qm", qm),
            ("qmrestore", qmrestore),
            ("pvesh", pvesh),
            ("pvesm", pvesm),
            ("locks", locks),
            ("tasks", tasks),
        ])
        .chain([("socket", &settings.console.socket), ("wg_quick", &settings.connect.wg_quick)])
        .chain([("command", &settings.notify.command)])
        .chain(settings.sources.iter().flat_map(|s| [("key_file", &s.key_file), ("token_file", &s.token_file)]))
        .find(|(_, path)| !path.is_absolute());
        if let Some((name, path)) = absolute {
            return Err(Stop::new(Code::Usage, format!("{name} = \"{}\" is not an absolute path", path.display())));
        }
        for (index, source) in settings.sources.iter().enumerate() {
            if settings.sources[..index].iter().any(|earlier| earlier.id == source.id) {
                return Err(Stop::new(Code::Usage, format!("two [[source]] have the id {}", source.id)));
            }
        }
        Ok(())
    }
}

fn default_state() -> PathBuf {
    "/var/lib/tenwords-agent".into()
}

fn default_runtime() -> PathBuf {
    "/run/tenwords-agent".into()
}

fn default_pbs_local() -> PathBuf {
    "/usr/bin/pbs-local".into()
}

fn default_client() -> PathBuf {
    "/usr/bin/proxmox-backup-client".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_setting_is_named() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("agent.toml");
        for (text, expected) in [
            ("stat = \"/x\"", "unknown field"),
            ("state = \"relative\"", "is not an absolute path"),
            ("[[source]]\nid = \"a/b\"", "a name of letters"),
            ("[pve]\netcpve = \"/x\"", "unknown field"),
            ("[pve]\netc = \"etc/pve\"", "is not an absolute path"),
            ("[pve]\npvesm = \"pvesm\"", "is not an absolute path"),
            ("[pve]\nqm = \"qm\"", "is not an absolute path"),
            ("[pve]\ntasks = \"index\"", "is not an absolute path"),
            ("[console]\nsocket = \"console.sock\"", "is not an absolute path"),
            ("[console]\nuser = true", "did not match"),
            ("[connect]\nwg_quick = \"wg-quick\"", "is not an absolute path"),
            ("[notify]\ncommand = \"sendmail\"", "is not an absolute path"),
            ("[notify]\nmail = \"x\"", "unknown field"),
            ("[connect]\nopenvpn = \"/x\"", "unknown field"),
            ("[console]\ngroup = \"tenwords\"", "unknown field"),
        ] {
            std::fs::write(&path, text)?;
            let stop = Configuration::read(&path).err().map(|stop| format!("{stop} {:?}", stop.causes()));
            assert!(stop.as_ref().is_some_and(|s| s.contains(expected)), "{stop:?}");
        }
        std::fs::remove_file(&path)?;
        assert!(Configuration::read(&path).is_ok());
        Ok(())
    }

    #[test]
    fn small_files_are_looked_for_where_pve_is() -> Result<(), toml::de::Error> {
        let files = |text: &str| Ok(toml::from_str::<Settings>(text)?.small_files());
        assert_eq!(files("")?[0], Path::new("/etc/pve/storage.cfg"));
        assert_eq!(files("[pve]\netc = \"/x\"")?[0], Path::new("/x/storage.cfg"));
        assert!(files("files = []")?.is_empty());
        let moved: Settings = toml::from_str("[pve]\netc = \"/x\"\npct = \"/y\"")?;
        let expected = pve::Paths { etc_pve: "/x".into(), pct: "/y".into(), ..pve::Paths::default() };
        assert_eq!(moved.pve_paths(), expected);
        Ok(())
    }
}
