//! The program: what it prints, and how it ends.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A hub as a process of its own. It is killed when the test ends.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) addresses: Value,
}

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tenwords-hub")).args(args).output().unwrap()
}

pub(crate) fn init(dir: &Path) -> Value {
    let data = dir.join("data").display().to_string();
    let made = run(&["init", "--data", &data, "--json", "--name", "hub.example.org"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&made.stdout).unwrap()
}

pub(crate) fn serve(dir: &Path) -> Process {
    let file = dir.join("addresses.json");
    drop(fs::remove_file(&file));
    let any = "127.0.0.1:0";
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenwords-hub"))
        .args(["serve", "--agents", any, "--people", any, "--health", any, "--data"])
        .arg(dir.join("data"))
        .arg("--addresses")
        .arg(&file)
        .env("TENWORDS_LOG", "debug,sqlx=debug,hyper=debug,h2=debug,rustls=debug")
        .stderr(fs::OpenOptions::new().create(true).append(true).open(log(dir)).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(text) = fs::read(&file) {
            return Process { child, addresses: serde_json::from_slice(&text).unwrap() };
        }
        let ended = child.try_wait().unwrap();
        let log = fs::read_to_string(log(dir)).unwrap_or_default();
        assert!(ended.is_none() && Instant::now() < deadline, "the hub does not serve: {ended:?}\n{log}");
        std::thread::yield_now();
    }
}

pub(crate) fn log(dir: &Path) -> PathBuf {
    dir.join("hub.log")
}

impl Process {
    pub(crate) fn address(&self, which: &str) -> std::net::SocketAddr {
        self.addresses[which].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address("health")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn init_prints_the_token_once_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let made = run(&["init", "--data", &data]);
    let token = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && token.starts_with("twa_") && token.len() == 57, "{token}");
    assert!(!String::from_utf8(made.stderr).unwrap().contains(token.trim()));
    let again = run(&["init", "--data", &data]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("is a hub's data directory already: it is not touched"), "{said}");
}

#[test]
fn init_speaks_json_with_its_version_first() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let made = run(&["init", "--data", &data, "--json", "--public-agents", "hub.example.org:443"]);
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(text.starts_with("{\"v\":1,\"hub_id\":\""), "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["server_ca"], format!("{data}/server-ca.pem"));
}

/// S18, as the person at the console sees it.
#[test]
fn s18_serve_says_what_is_wrong_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    let refused = run(&["serve", "--data", &data]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&format!("run `tenwords-hub init --data {data}`")), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    init(dir.path());
    let database = "postgres://nobody@nowhere/none";
    let refused = run(&["serve", "--data", &dir.path().join("data").display().to_string(), "--database", database]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("this hub's store is in its data directory: leave --database out"), "{said}");
}

#[test]
fn bad_settings_are_refused_before_anything_is_bound() {
    for args in [
        &["serve", "--agents", "8443"][..],
        &["serve", "--public-agents", "not a host"],
        &["serve", "--database", "mysql://x"],
        &["init", "--public-agents", "host:0"],
        &["init", "--data"],
    ] {
        let refused = run(args);
        assert!(!refused.status.success(), "{args:?}");
        assert!(!refused.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn the_hub_stops_on_sigterm_and_tells_its_health_until_then() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let mut hub = serve(dir.path());
    assert!(hub.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(hub.get("/readyz").ends_with("ready\n"));
    assert!(hub.get("/metrics").contains("\ntenwords_hub_versions_stored_total 0\n"));
    assert!(hub.get("/v1/boxes").starts_with("HTTP/1.1 404"));
    nix::sys::signal::kill(hub.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(hub.child.wait().unwrap().success());
    let log = fs::read_to_string(log(dir.path())).unwrap();
    assert!(log.contains("the hub is stopping"), "{log}");
}
