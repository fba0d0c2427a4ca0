//! Orders looked at, signed and sent: what is shown is the text's own word, and what is signed is what
//! was compared.

mod seen;

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use nix::pty::openpty;
use serde_json::{Value, json};
use tenwords_protocol::{
    bytes::Base64,
    hash::Sha256,
    order::{self, NAMESPACE, SignedOrder},
    time::Timestamp,
};

use crate::{
    desk::{Desk, ID, OTHER_ID, problem, ran},
    keys::Agent,
};

pub(crate) use self::seen::transcripts;

const NODE: &str = "b2a1c0d9-e8f7-4655-8443-322110ffeedd";
const HASH: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const FINGERPRINT: &str =
    "0e:1d:2c:3b:4a:59:68:77:86:95:a4:b3:c2:d1:e0:ff:0e:1d:2c:3b:4a:59:68:77:86:95:a4:b3:c2:d1:e0:ff";

const GUEST: &str = r#""guest":101,"snapshot":{"source":"pbs","snapshot":"ct/101/2026-03-03T02:30:00Z"},"destroys":["the container \"web\" with its volumes","local-zfs:subvol-101-disk-0, 8 GiB"],"found":"FOUND","#;
const PATH: &str = r#""path":"/srv/data","snapshot":{"source":"pbs","namespace":"site/lab","snapshot":"host/box1/2026-03-03T02:30:00Z","archive":"srv.pxar"},"destroys":["the folder /srv/data, 42 files"],"found":"FOUND","#;
const KEY: &str =
    r#""key_file":"/etc/pve/priv/storage/pbs.enc","key":"PRINT","destroys":["the key 11:22 in it"],"found":"FOUND","#;
const REPOINT: &str = r#""source":"pbs","place":{"server":"pbs2.example.net","port":8007,"datastore":"main","namespace":"site/lab","certificate":"PRINT"},"destroys":["pbs is at pbs.example.net:8007, datastore main"],"#;
const UNSIGNED: &str = r#""snapshot":{"source":"pbs","snapshot":"ct/101/2026-03-03T02:30:00Z"},"list_sha256":"FOUND","destroys":["nothing proves who wrote it: its list of files is not signed"],"#;

/// The moment from which a test counts.
struct Clock {
    now: Timestamp,
}

impl Clock {
    fn start() -> Self {
        Self { now: Timestamp::now() }
    }

    /// So many half hours from now.
    fn at(&self, half_hours: i64) -> Timestamp {
        Timestamp::from_unix(self.now.unix() + half_hours * 1800).unwrap()
    }

    /// The text of an order, issued and expiring so many half hours from now, as a box spells it.
    fn order(&self, op: &str, fields: &str, (issued, expires): (i64, i64)) -> String {
        let fields = fields.replace("FOUND", HASH).replace("PRINT", FINGERPRINT);
        format!(
            "{{\"v\":1,\"op\":\"{op}\",\"box_id\":\"{ID}\",\"node_id\":\"{NODE}\",\"recovery\":\"0e1d2c3b-4a59-4867-b706-f5e4d3c2b1a0\",\
             {fields}\"operators\":{{\"generation\":1,\"sha256\":\"{HASH}\"}},\"challenge\":\"000102030405060708090a0b0c0d0e0f\",\
             \"issued\":\"{}\",\"expires\":\"{}\"}}\n",
            self.at(issued),
            self.at(expires)
        )
    }

    /// One that may be signed.
    fn good(&self) -> String {
        self.order("restore-overwrite", GUEST, (-5, 7))
    }

    fn listed(&self, text: &str, id: &str, state: &str) -> Value {
        json!({"order": Sha256::of(text.as_bytes()), "box_id": id, "node_id": NODE, "text": Base64(text.into()),
            "asked_at": self.at(-5), "expires_at": self.at(7), "state": state, "answers": 0})
    }

    /// Times become those of one day, in March.
    fn settled(&self) -> Vec<(String, String)> {
        let day = Timestamp::from_unix(1_772_539_200).unwrap().unix();
        (-20..=20)
            .map(|n| (self.at(n).to_string(), Timestamp::from_unix(day + n * 1800).unwrap().to_string()))
            .collect()
    }
}

fn list(orders: &[Value]) -> (u16, String) {
    (200, json!({"v": 1, "orders": orders, "left_out": 0}).to_string())
}

fn code(text: &str) -> String {
    order::code(text.as_bytes()).to_string()
}

fn said(mut listed: Value, outcome: &str, said: &str) -> (u16, String) {
    listed["outcome"] = json!({"outcome": outcome, "said": said, "at": "2026-03-03T12:00:00Z"});
    list(&[listed])
}

fn stored() -> (u16, String) {
    (200, json!({"v": 1, "number": 7}).to_string())
}

/// A desk with a box, a key and the file of one good order.
fn desk(clock: &Clock) -> Desk {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    desk.key("boss", &["ed25519"], "");
    fs::write(desk.path("lab-1.order"), clock.good()).unwrap();
    desk
}

fn signed(desk: &Desk, file: &str) -> SignedOrder {
    serde_json::from_slice(&fs::read(desk.path(file)).unwrap()).unwrap()
}

#[test]
fn what_is_signed_here_openssh_itself_verifies_for_each_kind_of_key() {
    let clock = Clock::start();
    let kinds: [&[&str]; 4] = [&["ed25519"], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"], &["rsa", "-b", "2048"]];
    for kind in kinds {
        let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
        let text = clock.good();
        fs::write(desk.path("lab-1.order"), &text).unwrap();
        desk.key("boss", kind, "");
        desk.signers("allowed", &[("boss", "operational")]);
        let code = code(&text);
        let ran = desk.run(&["order", "sign", "lab-1.order", "--key", "boss", "--code", &code, "--yes", "--json"]);
        assert_eq!(ran.code, 0, "{kind:?} {}", ran.stderr);
        let done = ran.json();
        assert_eq!(done["key"], desk.fingerprint("boss"));
        assert_eq!((done["code"].as_str(), done["file"].as_str()), (Some(code.as_str()), Some("lab-1.signed")));
        let signed = signed(&desk, "lab-1.signed");
        assert_eq!(signed.order.0, text.as_bytes());
        assert!(desk.verifies("allowed", "operational", NAMESPACE, text.as_bytes(), &signed.signature));
        assert!(!desk.verifies("allowed", "operational", NAMESPACE, b"another", &signed.signature));
        assert!(!desk.verifies("allowed", "operational", "tenwords-pins-v1", text.as_bytes(), &signed.signature));
        assert_eq!(fs::metadata(desk.path("lab-1.signed")).unwrap().permissions().mode() & 0o777, 0o644);
    }
}

#[test]
fn an_agent_signs_with_a_key_of_which_only_the_public_half_is_here() {
    let clock = Clock::start();
    let desk = desk(&clock);
    let agent = Agent::start(&desk);
    agent.add(&desk.path("boss"));
    fs::remove_file(desk.path("boss")).unwrap();
    desk.signers("allowed", &[("boss", "operational")]);
    let code = code(&clock.good());
    let sign = ["order", "sign", "lab-1.order", "--key", "boss.pub", "--code", &code, "--yes"];
    let without = desk.run(&sign);
    assert_eq!(without.code, 2, "{}", without.stderr);
    let with = ran(desk.program(&sign).env("SSH_AUTH_SOCK", &agent.socket).output().unwrap());
    assert_eq!(with.code, 0, "{}", with.stderr);
    let signature = signed(&desk, "lab-1.signed").signature;
    assert!(desk.verifies("allowed", "operational", NAMESPACE, clock.good().as_bytes(), &signature));
}

#[test]
fn the_program_that_asks_for_a_passphrase_is_reached() {
    let clock = Clock::start();
    let desk = desk(&clock);
    desk.key("locked", &["ed25519"], "open sesame");
    let askpass = desk.path("askpass");
    fs::write(&askpass, "#!/bin/sh\necho 'open sesame'\n").unwrap();
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
    let code = code(&clock.good());
    let mut command = desk.program(&["order", "sign", "lab-1.order", "--key", "locked", "--code", &code, "--yes"]);
    command.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force");
    let done = ran(command.output().unwrap());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(!done.stderr.contains("sesame") && !done.stdout.contains("sesame"));
}

/// What the operator types has to come from the box: this program does not show the code before.
#[test]
fn at_a_terminal_only_two_groups_of_the_orders_own_code_sign() {
    let clock = Clock::start();
    let code = code(&clock.good());
    let (first, last) = (&code[..4], &code[15..]);
    let other = if last == "0000" { "0001" } else { "0000" };
    for (typed, signs) in [
        (format!("{first} {last}"), true),
        (format!("{first}-{last}").to_lowercase(), true),
        (code.clone(), true),
        (first.to_owned(), false),
        (last.to_owned(), false),
        (format!("{first} {}", &last[..3]), false),
        (format!("{first} {other}"), false),
        (format!("{other} {last}"), first == other),
        (format!("{last} {first}"), first == last),
        (code[..14].to_owned(), false),
        (format!("{}-{other}", &code[..14]), false),
        (String::new(), false),
        ("y".to_owned(), false),
    ] {
        let desk = desk(&clock);
        let terminal = openpty(None, None).unwrap();
        File::from(terminal.master.try_clone().unwrap()).write_all(format!("{typed}\n").as_bytes()).unwrap();
        let mut command = desk.program(&["order", "sign", "lab-1.order", "--key", "boss"]);
        let ran = ran(command.stdin(Stdio::from(terminal.slave)).output().unwrap());
        assert_eq!(ran.code, if signs { 0 } else { 2 }, "{typed:?} {}", ran.stderr);
        assert_eq!(desk.path("lab-1.signed").exists(), signs, "{typed:?}");
        let asked = ran.stderr.split("Type the first").next().unwrap();
        assert!(!asked.contains(&code) && ran.stderr.contains("Type the first"), "{}", ran.stderr);
    }
}

#[test]
fn what_may_not_be_signed_is_refused_by_its_own_name_and_no_key_is_touched() {
    let clock = Clock::start();
    let good = clock.good();
    for (text, expected) in [
        (clock.order("restore-overwrite", GUEST, (-5, -1)), "order_expired"),
        (clock.order("restore-overwrite", GUEST, (1, 7)), "order_not_yet"),
        (clock.order("format-disk", GUEST, (-5, 7)), "order_unreadable"),
        (good.replace(ID, OTHER_ID), "unknown_box"),
        (format!(" {good}"), "order_unreadable"),
        (good.replace(":101,", ": 101,"), "order_unreadable"),
        (good.replace("the container", "the\\u202e container"), "order_unreadable"),
        (good.trim_end().to_owned(), "order_unreadable"),
        (String::new(), "order_unreadable"),
    ] {
        let desk = desk(&clock);
        fs::write(desk.path("x.order"), &text).unwrap();
        let code = code(&text);
        let ran = desk.run(&["order", "sign", "x.order", "--key", "none", "--code", &code, "--yes", "--json"]);
        let refusal = ran.stderr.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap()).unwrap();
        assert_eq!((ran.code, refusal["code"].as_str()), (2, Some(expected)), "{text} {}", ran.stderr);
        assert!(!desk.path("x.signed").exists());
    }
}

#[test]
fn on_a_machine_without_a_map_the_box_is_stated_and_never_against_the_map() {
    let clock = Clock::start();
    let code = code(&clock.good());
    let stated = format!("lab-1={ID}");
    for (boxes, stated, exit) in [
        (&[][..], stated.as_str(), 0),
        (&[("lab-1", ID)], &stated, 0),
        (&[("lab-1", OTHER_ID)], &stated, 2),
        (&[("lab-9", ID)], &stated, 2),
        (&[], &format!("lab-1={OTHER_ID}"), 2),
    ] {
        let desk = Desk::new().with_boxes(boxes);
        desk.key("boss", &["ed25519"], "");
        fs::write(desk.path("lab-1.order"), clock.good()).unwrap();
        let sign = ["order", "sign", "lab-1.order", "--key", "boss", "--code", &code, "--yes", "--box", stated];
        let ran = desk.run(&sign);
        assert_eq!(ran.code, exit, "{boxes:?} {stated} {}", ran.stderr);
    }
}

#[test]
fn an_order_is_found_by_its_code_whatever_the_hub_calls_it() {
    let clock = Clock::start();
    let (good, other) = (clock.good(), clock.good().replace("101", "102"));
    let desk = desk(&clock);
    // The hub lists another order under the id of the one that was asked for.
    let mut wrong = clock.listed(&other, ID, "open");
    wrong["order"] = json!(Sha256::of(good.as_bytes()));
    let hub = desk.hub(vec![list(&[wrong.clone()]), list(&[wrong.clone()]), list(&[wrong.clone()]), list(&[wrong])]);
    let by_code = desk.run_at(&hub, &["order", "show", &code(&good), "--json"]);
    assert_eq!((by_code.code, by_code.refusal()["code"].as_str()), (2, Some("no_such_order")));
    let shown = desk.run_at(&hub, &["order", "show", &code(&other), "--json"]);
    assert_eq!(shown.json()["not_to_be_signed"]["code"], "order_differs");
    let sign = ["order", "sign", &code(&other), "--key", "boss", "--code", &code(&other), "--yes", "--json"];
    assert_eq!(desk.run_at(&hub, &sign).refusal()["code"], "order_differs");
}

#[test]
fn the_json_of_show_has_every_field_of_the_text() {
    let clock = Clock::start();
    let desk = desk(&clock);
    let shown = desk.run(&["order", "show", "lab-1.order", "--json"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let text: Value = serde_json::from_str(&clock.good()).unwrap();
    let warning = "you keep no list of operator keys to compare with the box's: `tenwords pins init FILE` begins one";
    assert_eq!(
        shown.json(),
        json!({"v": 1, "order": Sha256::of(clock.good().as_bytes()), "code": code(&clock.good()), "name": "lab-1",
            "act": "replace guest 101 by the snapshot ct/101/2026-03-03T02:30:00Z of source pbs", "text": text,
            "operators": "not-compared", "warnings": [warning]})
    );
}

#[test]
fn the_json_of_the_list_hides_none() {
    let clock = Clock::start();
    let desk = desk(&clock);
    let unknown = clock.order("format-disk", GUEST, (-5, 7));
    let good = clock.good();
    let orders =
        [clock.listed(&good, ID, "open"), clock.listed(&unknown, ID, "open"), clock.listed(&good, OTHER_ID, "open")];
    let hub = desk.hub(vec![list(&orders)]);
    let listed = desk.run_at(&hub, &["order", "list", "--json"]).json();
    assert_eq!(hub.asked()[0].line, "GET /v1/orders HTTP/1.1");
    let first = json!({"order": Sha256::of(good.as_bytes()), "code": code(&good), "box_id": ID, "name": "lab-1",
        "op": "restore-overwrite", "act": "replace guest 101 by the snapshot ct/101/2026-03-03T02:30:00Z of source pbs",
        "destroys": ["the container \"web\" with its volumes", "local-zfs:subvol-101-disk-0, 8 GiB"],
        "asked_at": clock.at(-5), "expires_at": clock.at(7), "state": "open", "answers": 0});
    assert_eq!((&listed["orders"][0], &listed["left_out"]), (&first, &json!(0)));
    assert_eq!(listed["orders"][1]["not_to_be_signed"]["code"], "order_unreadable");
    assert_eq!(listed["orders"][2]["not_to_be_signed"]["code"], "box_differs");
}

#[test]
fn a_signature_goes_to_the_box_of_the_signed_text() {
    let clock = Clock::start();
    let desk = desk(&clock);
    let (good, code) = (clock.good(), code(&clock.good()));
    assert_eq!(desk.run(&["order", "sign", "lab-1.order", "--key", "boss", "--code", &code, "--yes"]).code, 0);
    let hub = desk.hub(vec![stored(), stored(), problem(409, "conflict", "it has ended")]);
    let sent = desk.run_at(&hub, &["order", "send", "lab-1.signed", "--json"]);
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    let order = Sha256::of(good.as_bytes());
    assert_eq!(sent.json(), json!({"v": 1, "order": order, "box_id": ID, "answer": 7}));
    assert_eq!(hub.asked()[0].line, format!("POST /v1/boxes/{ID}/orders/{order}/answers HTTP/1.1"));
    assert_eq!(hub.asked()[0].body, Some(json!({"v": 1, "signature": signed(&desk, "lab-1.signed").signature})));
    // As plain ssh-keygen leaves it.
    let mut by_hand = Command::new("ssh-keygen");
    by_hand.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(desk.path("boss")).arg(desk.path("lab-1.order"));
    assert!(by_hand.stderr(Stdio::null()).status().unwrap().success());
    let bare = desk.run_at(&hub, &["order", "send", "lab-1.order.sig", "--order", "lab-1.order"]);
    assert_eq!((bare.code, hub.asked().len()), (0, 2), "{}", bare.stderr);
    let ended = desk.run_at(&hub, &["order", "send", "lab-1.signed", "--json"]);
    assert_eq!((ended.code, ended.refusal()["code"].as_str()), (2, Some("conflict")));
}

#[test]
fn what_no_box_would_take_is_not_sent() {
    let clock = Clock::start();
    let desk = desk(&clock);
    let code = code(&clock.good());
    assert_eq!(desk.run(&["order", "sign", "lab-1.order", "--key", "boss", "--code", &code, "--yes"]).code, 0);
    let good = signed(&desk, "lab-1.signed");
    let mut by_hand = Command::new("ssh-keygen");
    by_hand.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(desk.path("boss")).arg(desk.path("lab-1.order"));
    assert!(by_hand.stderr(Stdio::null()).status().unwrap().success());
    let git = fs::read_to_string(desk.path("lab-1.order.sig")).unwrap();
    let other = clock.good().replace(":101,", ":102,");
    for (signed, expected) in [
        (SignedOrder { order: Base64(other.into_bytes()), ..good.clone() }, "signature"),
        (SignedOrder { signature: git, ..good.clone() }, "signature"),
        (SignedOrder { signature: "x".to_owned(), ..good.clone() }, "signature"),
        (SignedOrder { order: Base64(b"{}".to_vec()), ..good }, "order_unreadable"),
    ] {
        fs::write(desk.path("bad.signed"), serde_json::to_vec(&signed).unwrap()).unwrap();
        let hub = desk.hub(vec![stored()]);
        let ran = desk.run_at(&hub, &["order", "send", "bad.signed", "--json"]);
        assert_eq!((ran.code, ran.refusal()["code"].as_str()), (2, Some(expected)), "{}", ran.stderr);
        assert!(hub.asked().is_empty());
    }
}
