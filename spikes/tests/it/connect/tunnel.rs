//! S60: a backup server that is reached through a tunnel of the escrow only.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{tree::Tree, world::Machine};

use super::{LONG, after_the_words};
use crate::support::{BOX, GROUP, Scene, as_shown, by_pipe, client, joined};

const START: &str = "Start the tunnel wg0 now? [y/n] ";

/// A box whose server is reached through a tunnel only, and what stands in for `wg-quick`: it looks at
/// the file that it is given as the real one does, and opens the way or closes it.
struct Tunnelled {
    scene: Scene,
    client: PathBuf,
    log: PathBuf,
    open: PathBuf,
    conf: PathBuf,
}

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

fn tunnelled() -> Result<Tunnelled> {
    let mut scene = joined()?;
    let conf = scene.box_1.folder().join("etc/wireguard/wg0.conf");
    fs::create_dir_all(conf.parent().context("a folder")?)?;
    let text = format!(
        "[Interface]\nPrivateKey = {KEY}\nAddress = 10.7.0.2/32\nPostUp = ip route add 10.9.0.0/24 dev %i\n\n[Peer]\n\
         PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nEndpoint = vpn.example.net:51820\nAllowedIPs = \
         10.9.0.0/24\n"
    );
    fs::write(&conf, text)?;
    let service = scene.box_1.folder().join("etc/openvpn/office.conf");
    fs::create_dir_all(service.parent().context("a folder")?)?;
    fs::write(&service, "client\n")?;
    let config = fs::read_to_string(scene.box_1.config())?;
    let files = format!("files = [\"{}\", \"{}\"]\n", conf.display(), service.display());
    fs::write(scene.box_1.config(), files + &config)?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let (log, open) = (scene.world.folder().join("wg-quick.log"), scene.world.folder().join("the-way-is-open"));
    let client = client(
        &scene.world,
        &scene.server,
        "far-client",
        &format!(
            "case \"$PBS_REPOSITORY\" in ?*) [ -e '{}' ] || {{ echo 'Error: error trying to connect: error connecting to \
             https://127.0.0.1:8007/ - tcp connect error: Connection refused (os error 111)' >&2; exit 255; }} ;; esac",
            open.display()
        ),
    )?;
    Ok(Tunnelled { scene, client, log, open, conf })
}

impl Tunnelled {
    /// A new machine with the stand-in.
    fn machine(&self, name: &str) -> Result<Machine> {
        let machine = Machine::new(&self.scene.world, name, &self.client)?;
        let program = machine.folder().join("usr/bin/wg-quick");
        fs::create_dir_all(program.parent().context("a folder")?)?;
        let script = format!(
            "#!/bin/sh\n\
             no() {{ echo '[#] ip link add wg0 type wireguard' >&2; echo \"wg-quick: $1\" >&2; exit 1; }}\n\
             echo \"$1 ${{2##*/}}\" >> '{log}'\n\
             [ \"$(stat -c %a \"$2\")\" = 600 ] || no 'the file can be read by others'\n\
             [ \"$(stat -c %a \"${{2%/*}}\")\" = 700 ] || no 'the folder can be read by others'\n\
             [ \"$(stat -f -c %T \"$2\")\" = tmpfs ] || no 'the file is on a disk'\n\
             cmp -s \"$2\" '{conf}' || no 'the file is another'\n\
             [ ! -e '{log}.broken' ] || no \"cannot use $(sed -n 's/^PrivateKey = //p' \"$2\")\"\n\
             case $1 in up) : > '{open}' ;; down) rm '{open}' ;; *) no usage ;; esac\n",
            log = self.log.display(),
            conf = self.conf.display(),
            open = self.open.display()
        );
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(machine)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

#[test]
fn s60_a_server_behind_the_escrows_tunnel_is_reached_after_the_words_and_a_yes() -> Result<()> {
    let tunnelled = tunnelled()?;
    let scene = &tunnelled.scene;
    let machine = tunnelled.machine("box2")?;
    let mut terminal = after_the_words(scene, &machine, &scene.hub.arm(BOX, &[])?, &[])?;
    let seen = terminal.expect(START, LONG)?;
    for sentence in [
        "Not reached: pbs. The escrow has the tunnel wg0",
        "Endpoint = vpn.example.net:51820",
        "PostUp = ip route add 10.9.0.0/24 dev %i",
        "usr/bin/wg-quick up wg0.conf`",
    ] {
        ensure!(seen.contains(sentence), "`{sentence}` is not told:\n{}", *seen);
    }
    // Until somebody has said yes, nothing was run and nothing is in place.
    ensure!(tunnelled.log().is_empty(), "it was run: {}", tunnelled.log());
    ensure!(!machine.installed_key().exists() && !machine.installed_token().exists(), "something is in place");
    terminal.type_line("y")?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0, "recover ended with {code}:\n{}", *shown);
    ensure!(shown.contains("6 The plan"), "no plan after it:\n{}", *shown);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    // It stays, since the new box needs it; how it goes is told.
    ensure!(tunnelled.log() == "up wg0.conf\n", "{}", tunnelled.log());
    ensure!(shown.contains("the tunnel wg0 stays up") && shown.contains("wg-quick down"), "{}", *shown);
    let transcript = terminal.transcript();
    ensure!(!String::from_utf8_lossy(&transcript).contains(KEY), "the tunnel's key is on the screen");
    machine.left_nothing_in_memory()?;
    ensure!(!machine.folder().join("etc/wireguard").exists(), "it was put where the system would start it");
    Ok(())
}

#[test]
fn s60_no_tunnel_is_started_unasked_and_none_stays_after_a_rehearsal_or_a_failure() -> Result<()> {
    let tunnelled = tunnelled()?;
    let scene = &tunnelled.scene;
    // Somebody says no.
    let machine = tunnelled.machine("box2")?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let mut terminal = after_the_words(scene, &machine, &ticket, &[])?;
    terminal.expect(START, LONG)?;
    terminal.type_line("n")?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 15, "recover ended with {code}:\n{}", *shown);
    let office = "openvpn --cd ";
    for sentence in ["was not started, as you said", "units that this agent does not start", office] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{}", *shown);
    }
    // Nobody is there to be asked.
    let ended = by_pipe(&scene.world, &machine, &ticket, &[], &scene.words)?;
    ensure!(ended.code == Some(15) && ended.said().contains("say --connect"), "{:?}: {}", ended.code, ended.said());
    ensure!(tunnelled.log().is_empty(), "it was run: {}", tunnelled.log());
    machine.nothing_installed()?;

    // It cannot be started: why is told, without the key that the program says.
    let broken = PathBuf::from(format!("{}.broken", tunnelled.log.display()));
    fs::write(&broken, "")?;
    let ended = by_pipe(&scene.world, &machine, &ticket, &["--connect"], &scene.words)?;
    let said = ended.said();
    ensure!(ended.code == Some(15) && said.contains("could not be started"), "{:?}: {said}", ended.code);
    ensure!(!said.contains(KEY) && !said.contains("[#]"), "{said}");
    fs::remove_file(&broken)?;
    fs::remove_file(&tunnelled.log)?;
    machine.nothing_installed()?;

    // Started by the switch; the recovery fails after that, and the way is closed again.
    let store = scene.server.folder.as_deref().context("a folder")?;
    fs::rename(store.join("ct"), store.with_extension("away"))?;
    let ended = by_pipe(&scene.world, &machine, &ticket, &["--connect"], &scene.words)?;
    fs::rename(store.with_extension("away"), store.join("ct"))?;
    ensure!(ended.code == Some(10), "recover ended with {:?}:\n{}", ended.code, ended.said());
    ensure!(tunnelled.log() == "up wg0.conf\ndown wg0.conf\n", "{}", tunnelled.log());
    ensure!(!tunnelled.open.exists(), "the way is still open");

    // A rehearsal closes it when it is done.
    fs::remove_file(&tunnelled.log)?;
    let spare = tunnelled.machine("spare")?;
    let ticket = scene.hub.arm(BOX, &["--rehearsal"])?;
    let ended = by_pipe(&scene.world, &spare, &ticket, &["--connect"], &scene.words)?;
    ensure!(ended.code == Some(0), "the rehearsal ended with {:?}:\n{}", ended.code, ended.said());
    ensure!(tunnelled.log() == "up wg0.conf\ndown wg0.conf\n", "{}", tunnelled.log());
    ensure!(!tunnelled.open.exists(), "the way is still open");
    spare.left_nothing_in_memory()?;

    // Where the server answers, nobody is asked about a way to it.
    fs::write(&tunnelled.open, "")?;
    fs::remove_file(&tunnelled.log)?;
    let near = tunnelled.machine("near")?;
    let recovery = scene.recovers(&near, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    ensure!(!recovery.shown.contains("tunnel wg0") && tunnelled.log().is_empty(), "{}", *recovery.shown);
    Ok(())
}
