//! S18: a hub that starts on the wrong data directory would be another hub. It does not start, and it
//! makes nothing.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tenwords_hub::{
    Hub,
    clock::Clock as _,
    init::{InitError, Request, init},
};

use tenwords_protocol::hash::Sha256;

use crate::support::ManualClock;

struct Dirs {
    root: TempDir,
}

impl Dirs {
    /// Two hubs, so that there is something to exchange.
    async fn new() -> Self {
        let (root, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
        for name in ["hub", "other"] {
            init(&root.path().join(name), Request::default(), clock.now()).await.unwrap();
        }
        Self { root }
    }

    fn hub(&self) -> PathBuf {
        self.root.path().join("hub")
    }

    fn other(&self, file: &str) -> PathBuf {
        self.root.path().join("other").join(file)
    }
}

/// Every file with its mode and the hash of its bytes.
fn picture(dir: &Path) -> BTreeMap<PathBuf, (u32, Sha256)> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            (path.clone(), (mode, Sha256::of(&fs::read(&path).unwrap())))
        })
        .collect()
}

async fn refusal(dir: &Path) -> String {
    match Hub::open(dir, None, None, ManualClock::new()).await {
        Ok(_) => panic!("the hub opened {}", dir.display()),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            std::iter::successors(Some(error), |error| error.source())
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": ")
        }
    }
}

type Change = fn(&Dirs);

const CASES: &[(&str, Change, &str)] = &[
    ("missing", |d| fs::remove_dir_all(d.hub()).unwrap(), "does not exist"),
    (
        "empty",
        |d| {
            fs::remove_dir_all(d.hub()).unwrap();
            fs::create_dir(d.hub()).unwrap();
        },
        "is empty: if this is a new hub",
    ),
    ("foreign", |d| fs::remove_file(d.hub().join("hub.json")).unwrap(), "is not a hub's data directory"),
    (
        "newer",
        |d| {
            let path = d.hub().join("hub.json");
            let text = fs::read_to_string(&path).unwrap().replace("\"format\":1", "\"format\":2,\"more\":true");
            fs::write(path, text).unwrap();
        },
        "has format 2, and this program knows formats up to 1",
    ),
    ("half a description", |d| fs::write(d.hub().join("hub.json"), "{\"format\":1,").unwrap(), "is damaged"),
    ("no box CA", |d| fs::remove_file(d.hub().join("box-ca.pem")).unwrap(), "box-ca.pem is missing"),
    ("no server CA key", |d| fs::remove_file(d.hub().join("server-ca.key")).unwrap(), "server-ca.key is missing"),
    ("no secret", |d| fs::remove_file(d.hub().join("hub.secret")).unwrap(), "hub.secret is missing"),
    ("no database", |d| fs::remove_file(d.hub().join("hub.db")).unwrap(), "hub.db is missing"),
    ("an emptied database", |d| fs::write(d.hub().join("hub.db"), b"").unwrap(), "hub.db is damaged or was exchanged"),
    ("not a database", |d| fs::write(d.hub().join("hub.db"), [7; 8192]).unwrap(), "hub.db is damaged or was exchanged"),
    (
        "half a database",
        |d| {
            let path = d.hub().join("hub.db");
            let mut bytes = fs::read(&path).unwrap();
            bytes[4096..].fill(7);
            fs::write(path, bytes).unwrap();
        },
        "the database is damaged: restore the data directory from its backup",
    ),
    (
        "another hub's database",
        |d| assert!(fs::copy(d.other("hub.db"), d.hub().join("hub.db")).unwrap() > 0),
        "the database belongs to hub",
    ),
    (
        "another hub's CA",
        |d| {
            for file in ["server-ca.pem", "server-ca.key"] {
                fs::copy(d.other(file), d.hub().join(file)).unwrap();
            }
        },
        "server-ca.pem is damaged or was exchanged",
    ),
    (
        "another hub's CA key",
        |d| assert!(fs::copy(d.other("box-ca.key"), d.hub().join("box-ca.key")).unwrap() > 0),
        "certificate and key do not belong together",
    ),
    ("half a secret", |d| fs::write(d.hub().join("hub.secret"), "00").unwrap(), "hub.secret is damaged"),
    (
        "a directory that others read",
        |d| fs::set_permissions(d.hub(), Permissions::from_mode(0o750)).unwrap(),
        "can be read by others: chmod 0700",
    ),
    (
        "a key that others read",
        |d| fs::set_permissions(d.hub().join("box-ca.key"), Permissions::from_mode(0o640)).unwrap(),
        "can be read by others: chmod 0600",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_wrong_data_directory_is_refused_and_nothing_is_made() {
    for (name, change, expected) in CASES {
        let dirs = Dirs::new().await;
        change(&dirs);
        let before = picture(&dirs.hub());
        let found = refusal(&dirs.hub()).await;
        assert!(found.contains(expected), "{name}: {found}");
        assert_eq!(picture(&dirs.hub()), before, "{name}");
    }
    // Unchanged, it opens: the cases would prove nothing otherwise.
    let dirs = Dirs::new().await;
    Hub::open(&dirs.hub(), None, None, ManualClock::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_two_hubs_do_not_share_a_directory() {
    let dirs = Dirs::new().await;
    let first = Hub::open(&dirs.hub(), None, None, ManualClock::new()).await.unwrap();
    let found = refusal(&dirs.hub()).await;
    assert!(found.contains("another tenwords-hub is running on"), "{found}");
    drop(first);
    Hub::open(&dirs.hub(), None, None, ManualClock::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_may_have_any_name() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a b", "Bücher", "what?mode=ro", "100%25", "a#b"] {
        let dir = root.path().join(name);
        init(&dir, Request::default(), ManualClock::new().now()).await.unwrap();
        Hub::open(&dir, None, None, ManualClock::new()).await.unwrap();
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_touches_no_directory_that_holds_anything() {
    let dirs = Dirs::new().await;
    let before = picture(&dirs.hub());
    let again = init(&dirs.hub(), Request::default(), ManualClock::new().now()).await;
    assert!(matches!(again, Err(InitError::Exists { .. })), "{again:?}");
    assert_eq!(picture(&dirs.hub()), before);
    let foreign = dirs.root.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("photo.jpg"), "mine").unwrap();
    let refused = init(&foreign, Request::default(), ManualClock::new().now()).await;
    assert!(matches!(refused, Err(InitError::NotEmpty { .. })), "{refused:?}");
    assert_eq!(picture(&foreign).len(), 1);
    let request = Request { names: vec!["not a name".to_owned()], ..Request::default() };
    let refused = init(&dirs.root.path().join("new"), request, ManualClock::new().now()).await;
    assert!(matches!(refused, Err(InitError::Name { .. })), "{refused:?}");
    assert!(!dirs.root.path().join("new").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_init_makes_is_the_hubs_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("hub");
    fs::create_dir(&dir).unwrap();
    let made = init(&dir, Request::default(), ManualClock::new().now()).await.unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for (path, (mode, _)) in picture(&dir) {
        let bytes = fs::read(&path).unwrap();
        let public = path.extension().is_some_and(|extension| extension == "pem");
        assert_eq!(mode & 0o777, if public { 0o644 } else { 0o600 }, "{}", path.display());
        let token = made.token.expose_text().as_bytes();
        assert!(!bytes.windows(token.len()).any(|window| window == token), "{}", path.display());
    }
}
