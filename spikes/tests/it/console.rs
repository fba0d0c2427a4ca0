//! The console without rights, the service at the other end of its socket, and what comes between them.
//! The customer's process has a user of its own, as after a login; so these tests need root.
#![expect(clippy::disallowed_methods, reason = "a service that is told to end by its number is started by hand")]

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tenwords_spikes::{
    customer::{Customer, Kind},
    terminal::numbered_words,
    world::{Machine, token_secret},
};

use crate::{
    connect::with_secret,
    support::{BOX, GROUP, Scene, joined, protected, versions},
};

const LONG: Duration = Duration::from_secs(120);
/// Users that nobody is.
const CUSTOMER: u32 = 64_201;
const STRANGER: u32 = 64_202;

const ENGLISH: Kind = Kind { lang: "en_US.UTF-8", ..Kind::USUAL };
const GERMAN: Kind = Kind { lang: "de_DE.UTF-8", ..Kind::USUAL };
const DUMB: Kind = Kind { term: "dumb", lang: "de_DE", alternate: false, ..Kind::USUAL };

/// A place that everybody may enter, with the agent in it, and what attends the console there.
struct Desk {
    service: Child,
    place: TempDir,
    environment: Vec<(String, String)>,
}

impl Desk {
    /// The console of this machine is attended.
    fn of(scene: &Scene, machine: &Machine) -> Result<Self> {
        let place = place(&scene.world.programs().agent)?;
        let mut config = fs::read_to_string(machine.config())?;
        config.push_str("[operator]\nname = \"Marta Huber\"\nphone = \"+49 89 1234567\"\n");
        config.push_str(&console(place.path(), CUSTOMER));
        fs::write(machine.config(), config)?;
        let service = service(place.path(), &machine.config(), &scene.world.environment(), 0)?;
        Ok(Self { service, place, environment: scene.world.environment() })
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("run/console.sock")
    }

    fn sits_at(&self, kind: Kind, user: u32) -> Result<Customer> {
        let user_is = format!("--reuid={user}");
        let group_is = format!("--regid={user}");
        let agent = self.place.path().join("tenwords-agent").display().to_string();
        let socket = self.socket().display().to_string();
        let command = ["setpriv", &user_is, &group_is, "--clear-groups", "--", &agent, "console", "--socket", &socket];
        Customer::on_terminal_of(Some(user), kind, &command, &self.environment, Path::new("/"))
    }

    /// The processes that hold the flows.
    fn flows(&self) -> BTreeSet<u32> {
        children_of(self.service.id())
    }

    fn have_no_flow(&self) -> Result<()> {
        until("a flow goes on", || self.flows().is_empty())
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.place.path().join("log"))?)
    }

    /// Says this at the socket, as root.
    fn says(&self, bytes: &[u8]) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(LONG))?;
        match stream.write_all(bytes) {
            // Who has heard enough may hang up before all was said.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(stream),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ended_already = self.service.kill();
        let _reaped_already = self.service.wait();
    }
}

fn place(agent: &Path) -> Result<TempDir> {
    let place = tempfile::tempdir()?;
    fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
    let linked = place.path().join("tenwords-agent");
    if fs::hard_link(agent, &linked).is_err() {
        fs::copy(agent, &linked)?;
    }
    Ok(place)
}

fn console(place: &Path, user: u32) -> String {
    format!("[console]\nsocket = \"{}/run/console.sock\"\nuser = {user}\n", place.display())
}

fn service(place: &Path, config: &Path, environment: &[(String, String)], user: u32) -> Result<Child> {
    let mut command = Command::new(place.join("tenwords-agent"));
    command.arg("--config").arg(config).arg("attend").uid(user).gid(user);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(place.join("log"))?);
    let service = command.spawn()?;
    until("nobody attends the console", || place.join("run/console.sock").exists())?;
    Ok(service)
}

/// How often this prompt was shown.
fn shown(customer: &Customer, prompt: &str) -> usize {
    customer.transcript().windows(prompt.len()).filter(|window| *window == prompt.as_bytes()).count()
}

/// Waits until this prompt was shown so often: what is typed before it is forgotten.
fn asks(customer: &Customer, prompt: &str, times: usize) -> Result<()> {
    until(&format!("{prompt:?} was not shown {times} times"), || shown(customer, prompt) >= times)
}

fn until(or: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + LONG;
    while !holds() {
        ensure!(Instant::now() < end, "{or}");
        // No event tells of it that could be waited for with a deadline.
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn children_of(process: u32) -> BTreeSet<u32> {
    let is_child = |id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|id| id.trim() == process.to_string()))
    };
    let all =
        fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(is_child).collect()
}

/// That this process has been given none of the words.
fn was_given_none_of(words: &str, process: u32) -> Result<()> {
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{process}/{file}"))?;
        ensure!(!text.is_empty() || file == "environ", "process {process} has ended");
        let text = String::from_utf8_lossy(&text).into_owned();
        let has: BTreeSet<&str> = text.split(|c: char| !c.is_alphabetic() && c != '-').collect();
        let seen = words.split(' ').filter(|word| has.contains(word)).count();
        // One may be a word of an ordinary path as well.
        ensure!(seen < 2, "{seen} words in {file} of process {process}");
    }
    Ok(())
}

#[test]
fn planted_words_in_an_argument_or_variable_are_seen() -> Result<()> {
    const WORDS: &str = "abacus abdomen abdominal abide abiding ability ablaze able abnormal abrasion";
    let sleeping = |arguments: &[&str], variable: &str| {
        let mut command = Command::new("sleep");
        command.arg("600").args(arguments).env_clear().env("PLANTED", variable).stdout(Stdio::null());
        command.stderr(Stdio::null()).arg0(if arguments.is_empty() { "sleep" } else { WORDS }).spawn()
    };
    for (arguments, variable, is_clean) in [(&[][..], "none", true), (&["0"], "none", false), (&[], WORDS, false)] {
        let mut child = sleeping(arguments, variable)?;
        let seen = was_given_none_of(WORDS, child.id());
        child.kill()?;
        child.wait()?;
        ensure!(seen.is_ok() == is_clean, "{arguments:?} {variable}: {seen:?}");
    }
    Ok(())
}

fn frame(kind: u8, text: &str, secret: &[u8]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let lengths = [length(text.len()), length(secret.len()), [0; 4], [0; 4]].concat();
    [&[kind], &lengths[..], text.as_bytes(), secret].concat()
}

const MENU: &str = "Please type a number and press Enter: ";
const BACK: &str = "Press Enter to go back to the menu: ";
const GERMAN_MENU: &str = "Bitte tippen Sie eine Nummer und drücken Enter: ";
const GERMAN_BACK: &str = "Mit Enter geht es zurück zum Menü: ";
const GERMAN_MORE: &str = "Weiter mit Enter: ";
const TICKET: &str = "Das Ticket, wie es Ihnen vorgelesen wird: ";

const STATUS: &str = r#"{"v":1,"op":"status","language":"en"}"#;
const CEREMONY: &str = r#"{"v":1,"op":"ceremony","language":"en"}"#;

/// The words are tried, and a customer who has none is told what can be done.
fn tries_the_words(desk: &Desk, words: &str) -> Result<()> {
    let mut customer = desk.sits_at(GERMAN, CUSTOMER)?;
    asks(&customer, GERMAN_MENU, 1)?;
    customer.types("3\r")?;
    customer.sees(&["Die zehn Wörter: 1."])?;
    customer.types(format!("{words} "))?;
    customer.sees(&["Alle zehn sind da."])?;
    customer.types("\r")?;
    customer.sees(&["Gut so: Diese zehn Wörter öffnen, was für diese Box aufbewahrt wird."])?;
    // The report is longer than a screen: Enter turns its pages.
    let mut turned = 0;
    until("the report does not end", || {
        if shown(&customer, GERMAN_MORE) > turned && customer.types("\r").is_ok() {
            turned += 1;
        }
        shown(&customer, GERMAN_BACK) > 0
    })?;
    customer.types("\r")?;
    asks(&customer, GERMAN_MENU, 2)?;
    customer.types("5\r")?;
    customer.sees(&["Die zehn Wörter sind verloren, aber diese Box lebt"])?;
    drop(customer);
    Ok(())
}

#[test]
fn s04_a_ceremony_without_rights_shows_the_words_once_and_leaves_them_nowhere() -> Result<()> {
    let scene = joined()?;
    let desk = Desk::of(&scene, &scene.box_1)?;
    let mut customer = desk.sits_at(ENGLISH, CUSTOMER)?;
    customer.sees(&["The console of this box", "2 New ten words (ceremony)", "Please type a number"])?;
    customer.types("9\r")?;
    asks(&customer, MENU, 2)?;
    customer.types("1\r")?;
    customer.sees(&["This box is NOT protected.", "Marta Huber, +49 89 1234567", "no ceremony has been held"])?;
    asks(&customer, BACK, 1)?;
    customer.types("\r")?;
    asks(&customer, MENU, 3)?;

    customer.types("2\r")?;
    let shown = customer.sees(&["Press Enter when they are written down:", "10."])?;
    ensure!(!customer.echoes()?, "the kernel would show what is typed");
    let words = numbered_words(&shown, 10).context("ten numbered words")?.to_string();
    let flows = desk.flows();
    ensure!(flows.len() == 1, "one process holds the ceremony: {flows:?}");
    let console = customer.process_id()?;
    let status = fs::read_to_string(format!("/proc/{console}/status"))?;
    ensure!(status.contains(&format!("Uid:\t{CUSTOMER}\t{CUSTOMER}\t{CUSTOMER}\t{CUSTOMER}")), "{status}");
    for process in flows.iter().copied().chain([console, desk.service.id()]) {
        was_given_none_of(&words, process)?;
    }
    customer.types("\r")?;
    customer.sees(&["Now type the ten words back"])?;
    customer.types(format!("{words}\r"))?;
    customer.sees(&["Done: these ten words protect this box now.", "Protected: box bakery"])?;
    asks(&customer, BACK, 2)?;
    ensure!(versions(&scene.hub)? == 1 && scene.box_1.is_protected()?);
    scene.box_1.left_nothing_in_memory()?;
    customer.types("\r")?;

    asks(&customer, MENU, 4)?;
    customer.types("1\r")?;
    customer.sees(&[
        "This box is protected: the ten words of code 1 (",
        "bring it back.",
        "The check line on their sheet",
    ])?;
    asks(&customer, BACK, 3)?;
    customer.types("\r")?;
    asks(&customer, MENU, 5)?;
    customer.types("6\r")?;
    customer.sees(&["Die Konsole dieser Box", "6 English"])?;
    asks(&customer, GERMAN_MENU, 1)?;
    customer.types("1\r")?;
    customer.sees(&["Diese Box ist geschützt: Die zehn Wörter von Code 1 (", "bringen sie zurück."])?;
    asks(&customer, GERMAN_BACK, 1)?;
    customer.types("\r")?;
    asks(&customer, GERMAN_MENU, 2)?;
    customer.types("0\r")?;
    ensure!(customer.ends()? == 0, "the console did not end well");
    customer.keeps_none_drawn(&words)?;
    desk.have_no_flow()?;

    tries_the_words(&desk, &words)?;
    let log = desk.log()?;
    ensure!(words.split(' ').filter(|word| log.contains(word)).count() < 2, "words in the service's log");
    Ok(())
}

#[test]
fn a_terminal_that_can_nothing_shows_menu_and_status_in_ascii() -> Result<()> {
    let scene = joined()?;
    let desk = Desk::of(&scene, &scene.box_1)?;
    let mut customer = desk.sits_at(DUMB, CUSTOMER)?;
    customer.sees(&["2 Neue zehn Woerter (Zeremonie)", "Bitte tippen Sie eine Nummer"])?;
    customer.types("1\r")?;
    let shown = customer.sees(&["Diese Box ist NICHT geschuetzt.", "Wer Ihnen hilft: Marta Huber"])?;
    ensure!(shown.is_ascii(), "{shown}");
    asks(&customer, "Mit Enter geht es zurueck zum Menue: ", 1)?;
    customer.types("\r")?;
    let menu = "Bitte tippen Sie eine Nummer und druecken Enter: ";
    asks(&customer, menu, 2)?;
    // What is given up at a prompt ends what was asked there, and the console only at its own.
    customer.types("2\r")?;
    customer.sees(&["aufgeschrieben? Enter:"])?;
    customer.types("\x03")?;
    customer.sees(&["Es wurde vor dem Ende abgebrochen.", "vernichten Sie das Blatt"])?;
    asks(&customer, "Mit Enter geht es zurueck zum Menue: ", 2)?;
    customer.types("\r")?;
    asks(&customer, menu, 3)?;
    customer.types("\x03")?;
    ensure!(customer.ends()? == 0, "the console did not end well");
    ensure!(versions(&scene.hub)? == 0, "something was stored");
    desk.have_no_flow()
}

#[test]
fn s02_a_recovery_at_the_console_takes_ticket_words_and_a_search_for_the_slip() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let machine = scene.fresh("box2")?;
    let desk = Desk::of(&scene, &machine)?;
    let mut customer = desk.sits_at(GERMAN, CUSTOMER)?;
    customer.sees(&["4 Diese Box ging verloren", "Bitte tippen Sie eine Nummer"])?;
    customer.types("4\r")?;
    customer.sees(&["Das Ticket, wie es Ihnen vorgelesen wird:"])?;
    customer.types("no ticket\r")?;
    customer.sees(&["Das ist kein Ticket."])?;
    asks(&customer, TICKET, 2)?;
    customer.types(format!("{ticket}\r"))?;
    customer.sees(&["soll wiederhergestellt werden.", "Die zehn Wörter: 1."])?;
    let mut words: Vec<&str> = scene.words.split(' ').collect();
    words.swap(3, 4);
    customer.types(format!("{} xyzzyq ", words[0]))?;
    customer.sees(&["Wort 2 steht nicht in der Liste."])?;
    customer.types(format!("{} 2\r{}\r", words[2..].join(" "), words[1]))?;
    customer.sees(&["diese Wörter öffnen keine Version dieser Box", "drücken Sie ? (oder Strg-T)"])?;
    for process in desk.flows().into_iter().chain([customer.process_id()?]) {
        was_given_none_of(&scene.words, process)?;
    }
    customer.types("?")?;
    customer.sees(&["Gefunden: Die Wörter 4 und 5 sind miteinander vertauscht."])?;
    customer.types("\r")?;
    customer.sees(&["Passt das?"])?;
    customer.types("y\r")?;
    customer.sees(&["Geschafft: Diese Box ist wieder da, mit Daten"])?;
    // The report is longer than the screen.
    let mut turned = 0;
    until("the report has no end", || {
        if shown(&customer, GERMAN_MORE) > turned && customer.types("\r").is_ok() {
            turned += 1;
        }
        shown(&customer, GERMAN_BACK) == 1
    })?;
    ensure!(turned > 0, "what was to be read has scrolled away");
    customer.types("\r")?;
    asks(&customer, GERMAN_MENU, 2)?;
    // It is back, and what the lost one had is not dead yet.
    let mut turned = shown(&customer, GERMAN_MORE);
    customer.types("1\r")?;
    customer.sees(&["Diese Box ist geschützt", "Diese Box wurde wiederhergestellt"])?;
    until("the list has no end", || {
        if shown(&customer, GERMAN_MORE) > turned && customer.types("\r").is_ok() {
            turned += 1;
        }
        shown(&customer, GERMAN_BACK) == 2
    })?;
    customer.types("\r")?;
    asks(&customer, GERMAN_MENU, 3)?;
    customer.types("0\r")?;
    ensure!(customer.ends()? == 0, "the console did not end well");
    customer.keeps_none_drawn(&scene.words)?;
    ensure!(machine.installed_key().exists() && machine.restored(GROUP, "root.pxar").exists(), "nothing came back");
    ensure!(machine.is_protected()?, "the closing ceremony was not held");
    Ok(())
}

#[test]
fn s57_a_tokens_new_secret_is_asked_for_at_the_console_and_not_shown() -> Result<()> {
    let scene = protected()?;
    let new = token_secret();
    let machine = Machine::new(&scene.world, "box2", &with_secret(&scene, "rotated-client", &new)?)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let desk = Desk::of(&scene, &machine)?;
    let mut customer = desk.sits_at(GERMAN, CUSTOMER)?;
    customer.sees(&["Bitte tippen Sie eine Nummer"])?;
    customer.types("4\r")?;
    asks(&customer, TICKET, 1)?;
    customer.types(format!("{ticket}\r"))?;
    customer.sees(&["Die zehn Wörter: 1."])?;
    customer.types(format!("{}\r", *scene.words))?;
    customer.sees(&["Passt das?"])?;
    customer.types("y\r")?;
    customer.sees(&["Es geht nur an diesen Server, nie an den Hub.", "Das Geheimnis von backup@pbs!box1"])?;
    customer.types(format!("{new}\r"))?;
    customer.sees(&["Geschafft: Diese Box ist wieder da, mit Daten"])?;
    ensure!(!String::from_utf8_lossy(&customer.transcript()).contains(&new), "the secret was shown");
    ensure!(fs::read_to_string(machine.installed_token())?.trim_end() == new, "another secret was put in place");
    Ok(())
}

#[test]
fn another_user_is_not_let_in_even_where_the_socket_is_open_to_all() -> Result<()> {
    let scene = joined()?;
    let desk = Desk::of(&scene, &scene.box_1)?;
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    // It has its mode a moment after its name.
    until("the socket is not its group's", || mode(&desk.socket()).is_ok_and(|mode| mode == 0o660))?;
    ensure!(mode(&desk.place.path().join("run"))? == 0o750);
    let mut stranger = desk.sits_at(ENGLISH, STRANGER)?;
    stranger.sees(&["Please type a number"])?;
    stranger.types("1\r")?;
    stranger.sees(&["The agent of this box does not answer."])?;
    asks(&stranger, BACK, 1)?;
    stranger.types("\r")?;
    asks(&stranger, MENU, 2)?;

    fs::set_permissions(desk.place.path().join("run"), Permissions::from_mode(0o755))?;
    fs::set_permissions(desk.socket(), Permissions::from_mode(0o666))?;
    stranger.types("2\r")?;
    stranger.sees(&["The agent of this box has closed the connection."])?;
    asks(&stranger, BACK, 2)?;
    ensure!(desk.flows().is_empty(), "a flow was begun for a stranger");
    ensure!(desk.log()?.contains(&format!("user {STRANGER} ")), "{}", desk.log()?);
    Ok(())
}

#[test]
fn a_server_that_is_not_roots_is_told_nothing() -> Result<()> {
    let scene = joined()?;
    let place = place(&scene.world.programs().agent)?;
    let run = place.path().join("run");
    fs::create_dir(&run)?;
    std::os::unix::fs::chown(&run, Some(STRANGER), Some(STRANGER))?;
    let config = place.path().join("agent.toml");
    fs::write(&config, console(place.path(), STRANGER))?;
    let environment = scene.world.environment();
    let service = service(place.path(), &config, &environment, STRANGER)?;
    let desk = Desk { service, place, environment };
    fs::set_permissions(desk.socket(), Permissions::from_mode(0o666))?;
    let mut customer = desk.sits_at(ENGLISH, CUSTOMER)?;
    customer.sees(&["Please type a number"])?;
    customer.types("4\r")?;
    customer.sees(&["What answers here is not the agent of this box, so it was told nothing."])?;
    Ok(())
}

#[test]
fn a_console_that_vanishes_at_the_typing_back_leaves_nothing_half_done() -> Result<()> {
    let scene = joined()?;
    let mut desk = Desk::of(&scene, &scene.box_1)?;
    let mut customer = desk.sits_at(ENGLISH, CUSTOMER)?;
    customer.sees(&["Please type a number"])?;
    customer.types("2\r")?;
    customer.sees(&["Press Enter when they are written down:", "10."])?;
    customer.types("\r")?;
    customer.sees(&["Now type the ten words back"])?;
    customer.signals(Signal::SIGKILL)?;
    desk.have_no_flow()?;
    ensure!(versions(&scene.hub)? == 0 && !scene.box_1.is_protected()?, "something was stored");
    scene.box_1.left_nothing_in_memory()?;
    drop(customer);

    let mut customer = desk.sits_at(ENGLISH, CUSTOMER)?;
    customer.sees(&["Please type a number"])?;
    customer.types("2\r")?;
    let shown = customer.sees(&["Press Enter when they are written down:", "10."])?;
    let words = numbered_words(&shown, 10).context("ten numbered words")?.to_string();
    customer.types("\r")?;
    customer.sees(&["Now type the ten words back"])?;
    customer.types(format!("{words}\r"))?;
    customer.sees(&["Done: these ten words protect this box now."])?;
    asks(&customer, BACK, 1)?;
    ensure!(versions(&scene.hub)? == 1, "it was not stored once");

    // The service is told to end while a third one shows its words.
    customer.types("\r")?;
    asks(&customer, MENU, 2)?;
    customer.types("2\r")?;
    customer.sees(&["or draw a new one (n)?"])?;
    customer.types("n\r")?;
    customer.sees(&["Press Enter when they are written down:", "10."])?;
    kill(Pid::from_raw(i32::try_from(desk.service.id())?), Signal::SIGTERM)?;
    let mut code = None;
    until("the service does not end", || {
        code = desk.service.try_wait().ok().flatten();
        code.is_some()
    })?;
    ensure!(code.and_then(|code| code.code()) == Some(0), "it ended with {code:?}");
    ensure!(!desk.socket().exists(), "the socket stays behind");
    ensure!(versions(&scene.hub)? == 1, "something was stored");
    scene.box_1.left_nothing_in_memory()?;
    customer.types("\x03")?;
    customer.sees(&["It was broken off before its end.", "please destroy the sheet"])?;
    Ok(())
}

#[test]
fn garbage_at_the_socket_ends_its_own_connection_and_no_other() -> Result<()> {
    let scene = joined()?;
    let desk = Desk::of(&scene, &scene.box_1)?;
    let ends = |mut stream: UnixStream| -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
            _ => Ok(rest),
        }
    };
    // Two that say half a frame and no more, for as long as they are let.
    let slow = [desk.says(&[1])?, desk.says(&frame(1, STATUS, b"")[..30])?];
    let huge = |at: usize| {
        let mut bytes = frame(1, STATUS, b"");
        bytes[at..at + 4].fill(0xff);
        bytes
    };
    let request = |text: &str| frame(1, text, b"");
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xa5; 4096],
        huge(1),
        huge(5),
        huge(9),
        frame(2, STATUS, b""),
        frame(1, STATUS, b"words that nobody asked for"),
        request(r#"{"v":1,"op":"enroll","language":"en"}"#),
        request(r#"{"v":1,"op":"status","language":"en","config":"/x"}"#),
    ] {
        let rest = ends(desk.says(&bytes)?)?;
        ensure!(rest.is_empty(), "{bytes:?} was answered");
    }
    ensure!(desk.flows().is_empty(), "garbage began a flow");

    // A console that answers a question with what was not asked for.
    let mut liar = desk.says(&request(CEREMONY))?;
    let mut asked = 0;
    while asked != 7 {
        let mut head = [0; 17];
        liar.read_exact(&mut head)?;
        asked = head[0];
        let length = |at: usize| u64::from(u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        std::io::copy(&mut (&liar).take(length(1) + length(5)), &mut std::io::sink())?;
    }
    liar.write_all(&frame(2, r#"{"answered":"line"}"#, b"y"))?;
    let rest = ends(liar)?;
    ensure!(String::from_utf8_lossy(&rest).contains("is not one that was due"), "{}", String::from_utf8_lossy(&rest));
    ensure!(versions(&scene.hub)? == 0, "something was stored");

    // All the while, others are attended.
    let rest = ends(desk.says(&request(STATUS))?)?;
    ensure!(String::from_utf8_lossy(&rest).contains("This box is NOT protected."), "the next one was not attended");
    for stream in slow {
        ensure!(ends(stream)?.is_empty(), "half a request was answered");
    }
    Ok(())
}
