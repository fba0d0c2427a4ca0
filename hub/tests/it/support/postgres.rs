//! A PostgreSQL of the test process's own: Debian's programs, an unprivileged user, a unix socket in
//! a temporary directory. A shell watches over it and clears everything away when this process ends,
//! however it ends.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _};

/// Debian's place for them; another one may be named.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PROGRAMS_VARIABLE: &str = "TENWORDS_POSTGRES_BIN";
const WATCH: &str = r#"
"$@" >"$DIR/log" 2>&1 &
server=$!
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$DIR"
"#;

struct Cluster {
    dir: PathBuf,
    /// The shell's standard input: it ends with this process.
    _lifeline: ChildStdin,
}

/// The URL of a new, empty database; `None` if there is no PostgreSQL, said by name.
pub(crate) async fn new_database(test: &str) -> Option<String> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    match CLUSTER.get_or_init(start) {
        Ok(cluster) => {
            let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
            sqlx::any::install_default_drivers();
            let mut admin = admin(&url(&cluster.dir, "postgres")).await;
            sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
            admin.close().await.unwrap();
            Some(url(&cluster.dir, &name))
        }
        Err(why) => {
            let required =
                std::env::var_os("TENWORDS_REQUIRE_POSTGRES").is_some_and(|value| !value.is_empty() && value != "0");
            assert!(!required, "{test}: PostgreSQL is required here, and {why}");
            // Past the harness's capture, which would swallow it.
            let line = format!("\n*** SKIPPED {test}: {why} ***\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
    }
}

/// It listens before it serves, and says so.
async fn admin(url: &str) -> sqlx::AnyConnection {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match sqlx::AnyConnection::connect(url).await {
            Ok(admin) => return admin,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57P03") => {
                assert!(Instant::now() < deadline, "{error}");
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn url(dir: &Path, database: &str) -> String {
    format!("postgres:///{database}?host={}&user=tester", dir.display())
}

fn start() -> Result<Cluster, String> {
    let programs = std::env::var(PROGRAMS_VARIABLE).unwrap_or_else(|_| PROGRAMS.to_owned());
    if !Path::new(&programs).join("postgres").exists() {
        return Err(format!("there is no PostgreSQL in {programs}"));
    }
    let dir = tempfile::Builder::new().prefix("twpg").tempdir_in("/tmp").map_err(|e| e.to_string())?.keep();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
    let data = dir.join("data");
    let run = |program: &str, args: &[&str]| {
        let mut command = unprivileged();
        command.push(format!("{programs}/{program}"));
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        command
    };
    let data = data.display().to_string();
    let init = run("initdb", &["-D", &data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    let made = Command::new(&init[0]).args(&init[1..]).current_dir(&dir).output().map_err(|e| e.to_string())?;
    if !made.status.success() {
        let mut why = String::from("initdb failed: ");
        let _ = write!(why, "{}", String::from_utf8_lossy(&made.stderr));
        return Err(why);
    }
    let socket = dir.display().to_string();
    let server = run(
        "postgres",
        &["-D", &data, "-k", &socket, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"],
    );
    let mut shell = Command::new("sh")
        .args(["-c", WATCH, "watch"])
        .args(&server)
        .env("DIR", &dir)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let lifeline = shell.stdin.take().ok_or("no lifeline")?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::os::unix::net::UnixStream::connect(dir.join(".s.PGSQL.5432")).is_err() {
        if Instant::now() > deadline {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(format!("PostgreSQL does not listen: {log}"));
        }
        std::thread::yield_now();
    }
    Ok(Cluster { dir, _lifeline: lifeline })
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Vec<String> {
    if !nix::unistd::geteuid().is_root() {
        return Vec::new();
    }
    let known = |user: &str| nix::unistd::User::from_name(user).is_ok_and(|found| found.is_some());
    let user = if known("postgres") { "postgres" } else { "nobody" };
    ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
        .map(|word| if word == "nobody" && !known("nobody") { "65534" } else { word }.to_owned())
        .to_vec()
}
