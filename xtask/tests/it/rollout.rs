//! The playbook of `docs/rollout.md` is one that Ansible takes.

use std::{fs, path::Path, process::Command};

/// What stands between the fences.
fn playbook() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rollout.md");
    let text = fs::read_to_string(page).expect("docs/rollout.md");
    let (_, rest) = text.split_once("```yaml\n").expect("a playbook");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_playbook_of_the_rollout_page_is_one_that_ansible_takes() {
    let text = playbook();
    // By standard input, so that no other user of the machine sees the ticket.
    assert!(text.contains("stdin:") && !text.contains("--ticket\n") && !text.contains("--ticket="), "{text}");
    // Without a package: the program, the unit that the last task starts, and the folder that the keys go to.
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("the playbook has no `{what}`"));
    let keys = at("dest: /etc/tenwords/operators");
    assert!(at("dest: /usr/bin/tenwords-agent") < keys && at("- /etc/tenwords\n") < keys, "{text}");
    assert!(at("dest: /usr/lib/systemd/system/tenwords-agent.service") < at("systemd_service:"), "{text}");
    let folder = std::env::temp_dir().join(format!("tenwords-rollout-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("play.yml"), &text).expect("the playbook");
    fs::write(folder.join("inventory"), "[proxmox]\nlocalhost\n").expect("the inventory");
    let checked = Command::new("ansible-playbook")
        .args(["--syntax-check", "-i", "inventory", "play.yml"])
        .env("HOME", &folder)
        .current_dir(&folder)
        .output();
    fs::remove_dir_all(&folder).expect("the folder");
    match checked {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        }
        Err(error) => eprintln!("*** SKIPPED: ansible-playbook cannot be started: {error} ***"),
    }
}
