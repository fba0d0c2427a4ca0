//! S05, S63, S67: what a child finds in its environment is what this crate put there.

use std::collections::BTreeMap;

use pbs_driver::{Access, Certificate, key, status};
use tenwords_protocol::fingerprint::Fingerprint;

use crate::place::{KEYS, Place, TOKEN, WORDS, access, rerun};

/// What an administrator's shell, a unit or an attacker's login might hold.
const FOREIGN: &[(&str, &str)] = &[
    ("PBS_ENCRYPTION_PASSWORD", "one two three"),
    ("PBS_ENCRYPTION_PASSWORD_FILE", "/etc/hostname"),
    ("PBS_ENCRYPTION_PASSWORD_FD", "0"),
    ("PBS_ENCRYPTION_PASSWORD_CMD", "echo words"),
    ("PBS_PASSWORD", "other"),
    ("PBS_PASSWORD_CMD", "echo other"),
    ("PBS_REPOSITORY", "evil@pbs@example.org:store"),
    ("PBS_FINGERPRINT", "00"),
    ("PBS_LOG", "debug"),
    ("RUST_BACKTRACE", "1"),
    ("RUST_LOG", "trace"),
    ("XDG_CONFIG_HOME", "/etc"),
    ("XDG_CONFIG_DIRS", "/etc/xdg"),
    ("ALL_PROXY", "http://127.0.0.1:1"),
    ("https_proxy", "http://127.0.0.1:1"),
    ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
    ("SSL_CERT_DIR", "/etc/ssl/certs"),
    ("LD_PRELOAD", ""),
    ("LC_ALL", "hu_HU.UTF-8"),
    ("LANGUAGE", "de"),
    ("TMPDIR", "/tmp"),
    ("PROXMOX_OUTPUT_FORMAT", "text"),
    ("CREDENTIALS_DIRECTORY", "/run/credentials/x"),
    ("TENWORDS_SECRET", "abc"),
];

#[test]
fn s05_s63_nothing_of_our_own_environment_reaches_a_child() {
    rerun("environment::children_get_what_we_made", &[], FOREIGN);
}

/// Also run by the test above, in a process whose environment is full of traps.
#[test]
fn children_get_what_we_made() {
    let place = Place::new();
    let dump = "cp /proc/$$/environ \"$scratch/environ\"; pwd > \"$scratch/pwd\"; readlink /proc/$$/fd/0 > \"$scratch/stdin\"\n";
    let common =
        ["HOME", "LC_ALL", "PATH", "SHELL", "XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];

    let wraps = format!("{dump}ask 'New Password: '; ask 'Verify Password: '; cp \"$wrapped\" \"$3\"");
    key::wrapped(&place.client(&wraps), &KEYS.plain, WORDS).unwrap();
    let on_pty = dumped(&place);
    assert_eq!(on_pty.keys().map(String::as_str).collect::<Vec<_>>(), common);

    let connecting = |certificate| {
        let asks = format!("{dump}printf '{{\"avail\":1,\"total\":2,\"used\":1}}\\n'");
        status::probe(&place.client(&asks), &access(certificate)).unwrap();
        assert_eq!(place.left("stdin").unwrap().trim(), "/dev/null");
        dumped(&place)
    };
    let names = |more: &[&'static str]| {
        let mut names: Vec<&str> = common.into_iter().chain(more.iter().copied()).collect();
        names.sort_unstable();
        names
    };
    let pinned = connecting(Certificate::Pinned(Fingerprint::from_bytes([0xaa; 32])));
    assert_eq!(
        pinned.keys().map(String::as_str).collect::<Vec<_>>(),
        names(&["PBS_FINGERPRINT", "PBS_PASSWORD_FILE", "PBS_REPOSITORY", "SSL_CERT_DIR", "SSL_CERT_FILE"])
    );
    assert_eq!(pinned["PBS_REPOSITORY"], "backup@pbs!box1@127.0.0.1:1:store");
    assert_eq!(pinned["PBS_FINGERPRINT"], vec!["aa"; 32].join(":"));
    let open = connecting(Certificate::WebPki);
    assert_eq!(open.keys().map(String::as_str).collect::<Vec<_>>(), names(&["PBS_PASSWORD_FILE", "PBS_REPOSITORY"]));

    for environment in [on_pty, pinned, open] {
        assert_eq!(environment["PATH"], "/usr/sbin:/usr/bin:/sbin:/bin");
        assert_eq!(environment["LC_ALL"], "C.UTF-8");
        let inside = place.private.path().to_str().unwrap();
        for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            assert!(environment[name].starts_with(inside), "{name}={}", environment[name]);
        }
    }
    assert!(place.left("pwd").unwrap().starts_with(place.private.path().to_str().unwrap()));
    place.assert_clean();
}

#[test]
fn s67_a_pinned_source_trusts_no_certificate_of_the_system() {
    let place = Place::new();
    let body = "[ -f \"$SSL_CERT_FILE\" ] && [ ! -s \"$SSL_CERT_FILE\" ] && [ -d \"$SSL_CERT_DIR\" ] && [ -z \"$(ls -A \"$SSL_CERT_DIR\")\" ] || exit 9
printf '{\"avail\":1,\"total\":2,\"used\":1}\\n'";
    status::probe(&place.client(body), &place.access()).unwrap();
    place.assert_clean();
}

#[test]
fn s67_another_certificate_is_named_with_the_pin() {
    let place = Place::new();
    let pin = vec!["aa"; 32].join(":");
    let body = format!(
        "cat >&2 <<END
WARNING: certificate fingerprint does not match expected fingerprint!
expected:    {pin}
certificate validation failed - Certificate fingerprint was not confirmed.
Error: error trying to connect: error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889:
END
exit 255"
    );
    let error = status::probe(&place.client(&body), &place.access()).unwrap_err();
    assert_eq!(
        error.failure(),
        Some(&pbs_driver::Failure::Certificate { expected: pin.parse().ok(), presented: None })
    );
    place.assert_clean();
}

#[test]
fn a_namespace_goes_by_its_option_and_the_root_by_none() {
    let place = Place::new();
    let client = place.client("printf '%s\\n' \"$@\" > \"$scratch/args\"; echo '[]'");
    for (namespace, args) in
        [("", "snapshot\nlist\n--output-format\njson\n"), ("a/b", "snapshot\nlist\n--ns\na/b\n--output-format\njson\n")]
    {
        let access = Access::new(
            "u@pbs!t@h:store".parse().unwrap(),
            namespace.parse().unwrap(),
            zeroize::Zeroizing::new(TOKEN.to_owned()),
            Certificate::WebPki,
        )
        .unwrap();
        assert_eq!(pbs_driver::snapshot::list(&client, &access, None).unwrap(), []);
        assert_eq!(place.left("args").unwrap(), args);
    }
}

fn dumped(place: &Place) -> BTreeMap<String, String> {
    let environ = place.left("environ").unwrap();
    environ
        .split('\0')
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
