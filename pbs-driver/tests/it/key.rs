//! Wrapping and unwrapping copies, and what is refused before and after.

use std::fs;

use pbs_driver::{DriverError, Failure, key};

use crate::place::{KEYS, Place, WORDS};

const WRAPS: &str = "ask 'New Password: '; ask 'Verify Password: '; cp \"$wrapped\" \"$3\"";
const UNWRAPS: &str = "ask 'Encryption Key Password: '; cp \"$plain\" \"$3\"";

#[test]
fn a_copy_is_wrapped_and_unwrapped_and_both_copies_are_gone() {
    let place = Place::new();
    let wrapped = key::wrapped(&place.client(WRAPS), &KEYS.plain, WORDS).unwrap();
    assert_eq!(*wrapped, *KEYS.wrapped);
    let plain = key::unwrapped(&place.client(UNWRAPS), &wrapped, WORDS).unwrap();
    assert_eq!(*plain, *KEYS.plain);
    place.assert_clean();
}

#[test]
fn a_key_outside_the_private_folder_is_never_touched() {
    let place = Place::new();
    let client = place.client(WRAPS);
    let live = place.scratch().join("live.enc");
    fs::write(&live, &*KEYS.plain).unwrap();
    let through_dots = place.private.path().join("../../").join(live.strip_prefix("/").unwrap());
    for path in [&live, &through_dots, std::path::Path::new("k.enc")] {
        assert!(matches!(key::wrap(&client, path, WORDS), Err(DriverError::NotACopy { .. })), "{}", path.display());
    }
    assert_eq!(fs::read(&live).unwrap(), *KEYS.plain);
    assert_eq!(place.left("pids"), None, "the client was started");
}

#[test]
fn a_link_in_the_private_folder_is_not_followed_out_of_it() {
    let place = Place::new();
    let live = place.scratch().join("live.enc");
    fs::write(&live, &*KEYS.plain).unwrap();
    let folder = place.private.folder().unwrap();
    std::os::unix::fs::symlink(&live, folder.path().join("k.enc")).unwrap();
    assert!(matches!(
        key::wrap(&place.client(WRAPS), &folder.path().join("k.enc"), WORDS),
        Err(DriverError::Io { doing: "reading", .. })
    ));
    assert_eq!(fs::read(&live).unwrap(), *KEYS.plain);
    drop(folder);
    assert_eq!(fs::read(&live).unwrap(), *KEYS.plain, "the link's target was wiped");
}

#[test]
fn a_passphrase_that_the_terminal_would_change_is_refused_before_a_start() {
    let place = Place::new();
    let long = "x".repeat(1025);
    for bad in ["", "a\tb", "a\rb", "a\nb", "a\u{3}b", "a\u{4}b", "a\u{7f}b", "a\u{85}b", "a\0b", &long] {
        let result = key::wrapped(&place.client(WRAPS), &KEYS.plain, bad);
        assert!(matches!(result, Err(DriverError::Passphrase)), "{bad:?}");
    }
    assert_eq!(place.left("pids"), None, "the client was started");
    place.assert_clean();
}

#[test]
fn a_copy_that_is_protected_already_is_not_wrapped() {
    let place = Place::new();
    let result = key::wrapped(&place.client(WRAPS), &KEYS.wrapped, WORDS);
    assert!(matches!(result, Err(DriverError::KeyFile { when: "before", .. })));
    let result = key::unwrapped(&place.client(UNWRAPS), &KEYS.plain, WORDS);
    assert!(matches!(result, Err(DriverError::KeyFile { when: "before", .. })));
    let result = key::wrapped(&place.client(WRAPS), b"{\"kdf\":null}", WORDS);
    assert!(matches!(result, Err(DriverError::KeyFile { when: "before", .. })));
    assert_eq!(place.left("pids"), None, "the client was started");
    place.assert_clean();
}

#[test]
fn a_client_that_says_it_did_and_did_not_is_found_out() {
    let asks = "ask 'New Password: '; ask 'Verify Password: '; ";
    for after in [
        "true",
        "echo nothing > \"$3\"",
        "rm \"$3\"",
        // Another birth, another name: another key.
        "sed 's/2026-11-2/2025-11-2/' \"$wrapped\" > \"$3\"",
        "sed 's/\"fingerprint\":\"../\"fingerprint\":\"zz/' \"$wrapped\" > \"$3\"",
        "sed 's/,\"fingerprint\":\"[^\"]*\"//' \"$wrapped\" > \"$3\"",
        "mv \"$3\" \"$3.real\"; ln -s \"$wrapped\" \"$3\"",
    ] {
        let place = Place::new();
        let result = key::wrapped(&place.client(&format!("{asks}{after}")), &KEYS.plain, WORDS);
        assert!(
            matches!(
                result,
                Err(DriverError::KeyFile { when: "after", .. } | DriverError::Io { doing: "reading", .. })
            ),
            "{after}: {result:?}"
        );
        place.assert_clean();
    }
}

#[test]
fn s07_whenever_the_client_dies_the_live_key_is_whole_and_no_copy_stays() {
    for body in [
        "kill -9 $$",
        "ask 'New Password: '; kill -9 $$",
        "ask 'New Password: '; ask 'Verify Password: '; kill -9 $$",
        "ask 'New Password: '; ask 'Verify Password: '; head -c 100 \"$wrapped\" > \"$3.tmp_x\"; kill -9 $$",
        "ask 'New Password: '; ask 'Verify Password: '; head -c 100 \"$wrapped\" > \"$3\"; kill -9 $$",
        "ask 'New Password: '; ask 'Verify Password: '; echo 'Error: No space left on device (os error 28)'; exit 255",
    ] {
        let place = Place::new();
        let live = place.scratch().join("live.enc");
        fs::write(&live, &*KEYS.plain).unwrap();
        assert!(key::wrapped(&place.client(body), &fs::read(&live).unwrap(), WORDS).is_err(), "{body}");
        assert_eq!(fs::read(&live).unwrap(), *KEYS.plain);
        place.assert_clean();
    }
}

#[test]
fn s08_a_byte_lost_on_the_way_is_noticed_and_tried_again() {
    let place = Place::new();
    // The first run says that the answers differ, the second takes them.
    let body = "ask 'New Password: '; ask 'Verify Password: '
echo x >> \"$scratch/runs\"; [ $(wc -l < \"$scratch/runs\") -ge 2 ] || { printf 'Error: Passwords do not match!\\r\\n'; exit 255; }
cp \"$wrapped\" \"$3\"";
    key::wrapped(&place.client(body), &KEYS.plain, WORDS).unwrap();
    place.assert_clean();
}

#[test]
fn s08_answers_that_always_differ_end_in_an_error_and_no_file() {
    let place = Place::new();
    let body = "ask 'New Password: '; ask 'Verify Password: '; echo x >> \"$scratch/runs\"
printf 'Error: Passwords do not match!\\r\\n'; exit 255";
    let error = key::wrapped(&place.client(body), &KEYS.plain, WORDS).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::PassphrasesDiffer));
    assert_eq!(place.left("runs").unwrap().lines().count(), 3);
    place.assert_clean();
}

#[test]
fn s01_the_answer_is_the_words_and_one_cr() {
    let place = Place::new();
    // ICRNL off, so that the CR is seen; one byte more would be the LF of a CRLF.
    let body = format!(
        "ask1() {{ printf '%s' \"$1\"; old=$(stty -g); stty raw -echo; dd bs=1 count={} 2>/dev/null >> \"$scratch/typed\"; printf '\\r\\n'; stty \"$old\"; }}
ask1 'New Password: '; ask1 'Verify Password: '; cp \"$wrapped\" \"$3\"",
        WORDS.len() + 1
    );
    key::wrapped(&place.client(&body), &KEYS.plain, WORDS).unwrap();
    assert_eq!(place.left("typed").unwrap(), format!("{WORDS}\r{WORDS}\r"));
    place.assert_clean();
}

#[test]
fn wrong_words_are_wrong_words() {
    for text in
        ["Unable to decrypt key (wrong password?) - OpenSSL error", "Unable to decrypt key (password hint: the usual)"]
    {
        let place = Place::new();
        let client = place.client(&format!("ask 'Encryption Key Password: '; printf 'Error: {text}\\r\\n'; exit 255"));
        let error = key::unwrapped(&client, &KEYS.wrapped, WORDS).unwrap_err();
        assert_eq!(error.failure(), Some(&Failure::WrongPassphrase));
        assert!(!error.is_the_clients_own());
        place.assert_clean();
    }
}
