use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::settings::Configuration;

type Tested = Result<(), Box<dyn std::error::Error>>;

/// A node in a folder, whose `/etc/pve` shows what only a mounted one does.
struct Box1 {
    folder: TempDir,
    eye: Eye,
    /// The wall clock; late enough that nothing made here is young.
    wall: i64,
}

const LATER: i64 = 10_000_000_000;

impl Box1 {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("pve/priv/storage"))?;
        for name in ["pve/.version", "pve/.members", "pve/.vmlist", "pve/storage.cfg", "pve/jobs.cfg", "client", "pct"]
        {
            fs::write(at(name), "{}")?;
        }
        fs::write(at("pve/priv/storage/pbs.enc"), "the key")?;
        fs::write(at("own.enc"), "the other key")?;
        let shown = |name: &str| at(name).display().to_string();
        let text = format!(
            "state = \"{}\"\nclient = \"{}\"\n[pve]\netc = \"{}\"\npct = \"{}\"\ntasks = \"{}\"\n[[source]]\nid = \"own\"\n\
             repository = \"a@pbs!b@host:store\"\ncertificate = \"web-pki\"\nkey_file = \"{}\"\ntoken_file = \"{}\"\n",
            shown("state"),
            shown("client"),
            shown("pve"),
            shown("pct"),
            shown("index"),
            shown("own.enc"),
            shown("own.token"),
        );
        let configuration =
            Configuration::of_text(Path::new("/nowhere/agent.toml"), &text).map_err(|stop| stop.what)?;
        let mut eye = Eye::new(configuration.settings);
        let first = eye.look(LATER);
        assert_eq!(first, Look { events: Vec::new(), mount: Mount::There });
        Ok(Self { folder, eye, wall: LATER })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        // As pmxcfs and every careful program do it: another file in its place.
        let beside = self.at("beside");
        fs::write(&beside, text)?;
        fs::rename(beside, self.at(name))
    }

    fn sees(&mut self) -> Vec<Event> {
        self.eye.look(self.wall).events
    }
}

#[test]
fn what_is_as_it_was_is_nothing() -> Tested {
    let mut still = Box1::new()?;
    assert!(still.sees().is_empty());
    let key = still.at("pve/priv/storage/pbs.enc");
    fs::write(&key, "the key")?;
    assert!(still.sees().is_empty(), "the same bytes written again are no other key");
    Ok(())
}

#[test]
fn each_file_tells_what_it_means() -> Tested {
    let mut changing = Box1::new()?;
    for (name, text, expected) in [
        ("pve/priv/storage/pbs.enc", "another", Event::KeysChanged),
        ("pve/priv/storage/pbs.enc.old", "the key", Event::KeysChanged),
        ("pve/priv/storage/new.enc", "new", Event::KeysChanged),
        ("pve/priv/storage/pbs.pw", "token", Event::KeysChanged),
        ("pve/storage.cfg", "pbs: pbs", Event::KeysChanged),
        ("pve/jobs.cfg", "vzdump: a", Event::JobsChanged),
        ("pve/vzdump.cron", "0 0 * * * root vzdump", Event::JobsChanged),
        ("own.enc", "another", Event::KeysChanged),
        ("own.token", "token", Event::KeysChanged),
        ("client", "3.5", Event::ClientChanged),
    ] {
        changing.write(name, text)?;
        assert_eq!(changing.sees(), [expected], "{name}");
        assert!(changing.sees().is_empty(), "{name} is told twice");
    }
    fs::create_dir(changing.at("state"))?;
    changing.write("state/escrow.json", "{}")?;
    assert_eq!(changing.sees(), [Event::RecordChanged]);
    changing.write("pve/priv/storage/pbs.note", "nothing of ours")?;
    assert!(changing.sees().is_empty());
    for name in ["pve/priv/storage/pbs.enc", "own.enc", "pve/storage.cfg"] {
        fs::remove_file(changing.at(name))?;
        assert_eq!(changing.sees(), [Event::KeysChanged], "{name} is gone");
        assert!(changing.sees().is_empty());
    }
    Ok(())
}

/// pmxcfs shows whole seconds: two writes in one second look the same from outside.
#[test]
fn a_young_file_is_read_again_although_its_times_are_the_same() -> Tested {
    let mut young = Box1::new()?;
    let key = young.at("pve/priv/storage/pbs.enc");
    let time = fs::metadata(&key)?.modified()?;
    young.wall = fs::metadata(&key)?.mtime() + 1;
    assert!(young.sees().is_empty());
    // The same length in the same file, with the same time of writing. (The time of change cannot be set back; pmxcfs
    // shows the same for both.)
    fs::write(&key, "the kez")?;
    fs::File::options().write(true).open(&key)?.set_modified(time)?;
    let seen = young.eye.seen.get_mut(&key).ok_or("it was seen")?;
    seen.stamp = stamp(&key);
    assert_eq!(young.sees(), [Event::KeysChanged]);
    Ok(())
}

#[test]
fn while_pves_files_are_away_they_are_not_gone() -> Tested {
    let mut away = Box1::new()?;
    let (there, hidden) = (away.at("pve"), away.at("hidden"));
    fs::rename(&there, &hidden)?;
    fs::create_dir(&there)?;
    assert_eq!(away.eye.look(LATER), Look { events: Vec::new(), mount: Mount::Away });
    away.write("own.enc", "changed meanwhile")?;
    assert_eq!(away.eye.look(LATER), Look { events: vec![Event::KeysChanged], mount: Mount::Away });
    fs::remove_dir(&there)?;
    fs::rename(&hidden, &there)?;
    assert_eq!(away.eye.look(LATER), Look { events: Vec::new(), mount: Mount::There });
    // And what changed while it was away is seen when it is back.
    fs::rename(&there, &hidden)?;
    away.eye.look(LATER);
    fs::write(hidden.join("priv/storage/pbs.enc"), "another")?;
    fs::rename(&hidden, &there)?;
    assert_eq!(away.sees(), [Event::KeysChanged]);
    Ok(())
}

#[test]
fn a_backup_that_has_ended_is_told() -> Tested {
    let mut backed_up = Box1::new()?;
    fs::write(backed_up.at("index"), "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam: 65BAD11C OK\n")?;
    assert_eq!(backed_up.sees(), [Event::TaskEnded]);
    assert!(backed_up.sees().is_empty());
    Ok(())
}

#[test]
fn another_configuration_is_looked_at_by() -> Tested {
    let mut reloaded = Box1::new()?;
    let mut settings = reloaded.eye.settings.clone();
    settings.client = reloaded.at("client-4");
    fs::write(&settings.client, "4")?;
    reloaded.eye.reload(settings);
    assert_eq!(reloaded.sees(), [Event::ClientChanged]);
    Ok(())
}

/// A folder that somebody fills is not remembered without end.
#[test]
fn a_flood_of_files_is_bounded() -> Tested {
    let mut flooded = Box1::new()?;
    for number in 0..MOST + 200 {
        fs::write(flooded.at(&format!("pve/priv/storage/flood{number}.enc")), "x")?;
    }
    for _ in 0..5 {
        flooded.sees();
    }
    assert!(flooded.eye.seen.len() <= 2 * MOST + 20, "{}", flooded.eye.seen.len());
    Ok(())
}
