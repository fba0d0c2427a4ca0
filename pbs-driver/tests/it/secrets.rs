//! S04, S05: the words and the token are nowhere but where they are typed or read.

use pbs_driver::{Certificate, DriverError, key, status};

use crate::place::{KEYS, Place, TOKEN, WORDS, access, all_words};

fn holds_a_word(text: &str) -> bool {
    WORDS.split(' ').any(|word| text.contains(word))
}

#[test]
fn s04_nothing_is_typed_before_the_terminal_is_quiet() {
    let place = Place::new();
    // After the prompt it looks for half a second whether something was typed already, with ECHO on
    // and line editing off; only then does it do what the real client does.
    let body = "early() { printf '%s' \"$1\"; old=$(stty -g); stty -icanon min 0 time 5
dd bs=4096 count=1 2>/dev/null >> \"$scratch/early\"; stty -echo min 1 time 0; IFS= read -r answer; stars; stty \"$old\"; }
early 'New Password: '; early 'Verify Password: '; cp \"$wrapped\" \"$3\"";
    key::wrapped(&place.client(body), &KEYS.plain, WORDS).unwrap();
    assert_eq!(place.left("early").unwrap(), "");
    place.assert_clean();
}

#[test]
fn s04_a_client_that_shows_the_words_cannot_get_them_into_an_error() {
    let asks = "ask 'New Password: '; ask 'Verify Password: '; ";
    for after in [
        "printf 'Error: %s is bad\\r\\n' \"$answer\"; exit 255",
        "printf 'Error: bad\\r\\n%s\\r\\n' \"$answer\"; exit 255",
        "printf '%s\\r\\nError: bad\\r\\n' \"$answer\"; exit 255",
        "printf '%s' \"$answer\" | tr ' a-z' '\\nA-Z'; exit 1",
        "printf 'Error: %s\\r\\n' \"$(printf '%s' \"$answer\" | od -An -tx1 | tr -d ' \\n')\"; exit 255",
        "printf '%s' \"$answer\"; exit 1",
        "printf '%s' \"$answer\"; sleep 600",
        "printf '%s' \"$answer\"; kill -9 $$",
        "printf '%s ' \"$answer\"; ask 'New Password: '",
    ] {
        let place = Place::new();
        let error = key::wrapped(&place.impatient(&format!("{asks}{after}")), &KEYS.plain, WORDS).unwrap_err();
        let words = all_words(&error);
        assert!(!holds_a_word(&words.to_lowercase()), "{after}: {words}");
        let hex: String = WORDS.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!words.contains(&hex[..24]), "{after}: {words}");
        place.assert_clean();
    }
    // Echo on for the answer's line: what the terminal itself showed is thrown away.
    let place = Place::new();
    let shows = "printf 'New Password: '; stty -echo -icanon; IFS= read -r answer; printf '%s\\r\\nError: x\\r\\n' \"$answer\"; exit 255";
    let error = key::wrapped(&place.client(shows), &KEYS.plain, WORDS).unwrap_err();
    assert!(!holds_a_word(&all_words(&error)), "{error:?}");
}

#[test]
fn s04_the_words_are_in_no_argument_and_no_environment() {
    let place = Place::new();
    let body = "cat /proc/$$/environ /proc/$$/cmdline > \"$scratch/seen\"
ask 'New Password: '; ask 'Verify Password: '; cat /proc/$$/environ /proc/$$/cmdline >> \"$scratch/seen\"
find \"$HOME/..\" -type f -exec cat {} + > \"$scratch/files\"; cp \"$wrapped\" \"$3\"";
    key::wrapped(&place.client(body), &KEYS.plain, WORDS).unwrap();
    let seen = place.left("seen").unwrap();
    assert!(seen.contains("change-passphrase"), "the search does not work: {seen:?}");
    assert!(!holds_a_word(&seen), "{seen:?}");
    assert!(!holds_a_word(&place.left("files").unwrap()));
    place.assert_clean();
}

#[test]
fn s05_a_token_is_in_one_closed_file_and_gone_afterwards() {
    let place = Place::new();
    let body = "cat /proc/$$/environ /proc/$$/cmdline > \"$scratch/seen\"
cat \"$PBS_PASSWORD_FILE\" > \"$scratch/secret\"; stat -c %a \"$PBS_PASSWORD_FILE\" > \"$scratch/mode\"; ls -l /proc/$$/fd > \"$scratch/fd\"
printf '{\"avail\":1,\"total\":2,\"used\":1}\\n'";
    status::probe(&place.client(body), &place.access()).unwrap();
    assert_eq!(place.left("secret").unwrap(), TOKEN);
    assert_eq!(place.left("mode").unwrap().trim(), "600");
    assert!(!place.left("seen").unwrap().contains(TOKEN));
    assert!(!place.left("fd").unwrap().contains("secret"));
    place.assert_clean();
}

#[test]
fn s05_a_token_that_the_client_prints_is_withheld() {
    let place = Place::new();
    let client = place.client("echo \"Error: bad secret $(cat \"$PBS_PASSWORD_FILE\")\" >&2; exit 255");
    let access = place.access();
    let error = status::probe(&client, &access).unwrap_err();
    assert!(!all_words(&error).contains(&TOKEN[..8]), "{error:?}");
    assert!(!format!("{access:?} {client:?}").contains(&TOKEN[..8]));
    place.assert_clean();
}

#[test]
fn a_secret_of_two_lines_is_refused() {
    for bad in ["", "a\nb", "a\r", "\u{1b}", &"x".repeat(2000)] {
        let access = pbs_driver::Access::new(
            "store".parse().unwrap(),
            "".parse().unwrap(),
            zeroize::Zeroizing::new(bad.to_owned()),
            Certificate::WebPki,
        );
        assert!(matches!(access, Err(DriverError::Secret)), "{bad:?}");
    }
    assert!(!format!("{:?}", access(Certificate::WebPki)).contains(&TOKEN[..4]));
}
