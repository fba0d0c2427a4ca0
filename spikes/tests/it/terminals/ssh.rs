//! A real ssh to a real sshd on loopback, with keys that are thrown away.
#![expect(clippy::disallowed_methods, reason = "an sshd is no child of the product's")]

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Uid, User};
use tenwords_spikes::{
    customer::{Customer, Kind},
    process::Run,
    terminal::numbered_words,
};

use super::{OVER_SSH, WRITTEN, command, types_and_sees};
use crate::support::{Scene, joined};

const SSHD: &str = "/usr/sbin/sshd";
const SSH: &str = "/usr/bin/ssh";
/// Where sshd wants an empty folder that is root's.
const SEPARATION: &str = "/run/sshd";
const SOON: Duration = Duration::from_secs(60);

/// A running sshd and what a client needs. Dropping it ends it.
struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
    user: String,
}

impl Server {
    fn start(scene: &Scene) -> Result<Self> {
        let folder = scene.world.make("ssh")?;
        let inside = |name: &str| folder.join(name).display().to_string();
        for name in ["host", "user"] {
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &inside(name)];
            Run::new("/usr/bin/ssh-keygen".as_ref(), &folder).args(arguments).to_end(SOON)?.with_code(0)?;
        }
        let user = User::from_uid(Uid::current())?.context("who runs this has no name")?.name;
        // Nobody holds the port between these two; should somebody be faster, it does not start.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let host = fs::read_to_string(inside("host.pub"))?;
        fs::write(inside("known"), format!("[127.0.0.1]:{port} {host}"))?;
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitUserRC no\nPrintMotd no\nPrintLastLog no\nUseDNS no\n",
            inside("host"),
            inside("user.pub")
        );
        fs::write(inside("sshd_config"), text)?;
        let log = fs::File::create(inside("log"))?;
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f", &inside("sshd_config")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting sshd")?;
        let mut server = Self { child, port, folder, user };
        server.listens()?;
        Ok(server)
    }

    fn listens(&mut self) -> Result<()> {
        let until = Instant::now() + SOON;
        loop {
            if let Ok(mut there) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                let mut hello = [0; 4];
                there.read_exact(&mut hello)?;
                ensure!(&hello == b"SSH-", "somebody else listens there");
                return Ok(());
            }
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            ensure!(self.child.try_wait()?.is_none(), "sshd ended:\n{}", log());
            ensure!(Instant::now() < until, "sshd does not listen:\n{}", log());
            // It tells nobody when it does.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Somebody who has logged in from a terminal and runs this.
    fn customer(&self, scene: &Scene, run: &[String]) -> Result<Customer> {
        let quoted = |text: &String| format!("'{}'", text.replace('\'', r"'\''"));
        let environment: Vec<String> = scene
            .world
            .environment()
            .into_iter()
            .filter(|(name, _)| name != "TERM")
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let words: Vec<String> = environment.iter().chain(run).map(quoted).collect();
        // The world's environment, and what sshd alone knows.
        let remote = format!(
            "exec env -i TERM=\"$TERM\" SSH_CONNECTION=\"$SSH_CONNECTION\" SSH_TTY=\"$SSH_TTY\" {}",
            words.join(" ")
        );
        let [known, key] = ["known", "user"].map(|name| self.folder.join(name).display().to_string());
        let port = self.port.to_string();
        let known = format!("UserKnownHostsFile={known}");
        let login = format!("{}@127.0.0.1", self.user);
        let mut all = vec![SSH, "-F", "/dev/null", "-tt", "-q", "-p", &port, "-i", &key, "-o", &known];
        for option in ["StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "EscapeChar=none"] {
            all.extend(["-o", option]);
        }
        all.extend([login.as_str(), remote.as_str()]);
        Customer::at(Kind::USUAL, &all, &scene.world.environment(), &self.folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

#[test]
fn over_a_real_ssh_the_prompt_says_who_carries_the_words_and_none_is_left() -> Result<()> {
    if ![SSHD, SSH].iter().all(|program| Path::new(program).is_file()) || !Uid::current().is_root() {
        eprintln!("skipped: the words over a real ssh (Debian's package openssh-server is not installed, or not root)");
        return Ok(());
    }
    fs::create_dir_all(SEPARATION)?;
    let scene = joined()?;
    let server = Server::start(&scene)?;
    let mut customer = server.customer(&scene, &command(&scene, &scene.box_1, &["escrow", "create", "--new-code"]))?;
    let shown = customer.sees(&[WRITTEN, "10."])?;
    let words = numbered_words(&shown, 10).context("ten numbered words")?.to_string();
    customer.types("\r")?;
    customer.sees(&["Now type the ten words back", OVER_SSH, "The ten words: 1."])?;
    types_and_sees(&mut customer, &words)?;
    ensure!(customer.ends()? == 0, "the ceremony did not end well");
    let left = customer.keeps_none_drawn(&words)?;
    ensure!(left.contains("Protected: "), "{left}");
    Ok(())
}
