//! S06: whatever the client does at its terminal, the call ends, cleanly and by itself.

use pbs_driver::{Client, DriverError, Failure, Failure as F, key};

use crate::place::{Place, WORDS, all_words, rerun};

/// Asks for the passphrase as the real client does.
const HONEST: &str = r#"ask 'New Password: '; first=$answer; ask 'Verify Password: '
[ "$first" = "$answer" ] || { echo 'Error: Passwords do not match!'; exit 255; }
cp "$wrapped" "$3""#;

/// Wraps a copy with a client made of `body`.
fn wrap(place: &Place, body: &str) -> Result<(), DriverError> {
    wrap_with(place, &place.client(body))
}

fn wrap_with(place: &Place, client: &Client) -> Result<(), DriverError> {
    let (folder, path) = place.plain_copy();
    let result = key::wrap(client, &path, WORDS);
    drop(folder);
    if let Err(error) = &result {
        let words = all_words(error);
        for word in WORDS.split(' ') {
            assert!(!words.contains(word), "{words}");
        }
    }
    place.assert_clean();
    result
}

fn failure(body: &str) -> Failure {
    let place = Place::new();
    match wrap(&place, body) {
        Err(DriverError::Client { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

/// One that hangs: what was waited for in vain.
fn in_vain(body: &str) -> &'static str {
    let place = Place::new();
    match wrap_with(&place, &place.impatient(body)) {
        Err(DriverError::Client { failure: F::TimedOut { waiting_for }, .. }) => waiting_for,
        other => panic!("{other:?}"),
    }
}

fn works(body: &str) {
    let place = Place::new();
    wrap(&place, body).unwrap_or_else(|error| panic!("{}", all_words(&error)));
}

#[test]
fn s06_an_honest_client_is_answered() {
    works(HONEST);
}

#[test]
fn s06_no_controlling_terminal_is_needed() {
    rerun("hostile::s06_an_honest_client_is_answered", &["setsid", "--wait"], &[]);
}

#[test]
fn s06_an_extra_line_before_a_prompt_changes_nothing() {
    works(&format!("printf 'note: 4.2 is out\\r\\nwarning: x\\r\\n'\n{HONEST}"));
}

#[test]
fn s06_a_prompt_may_come_slowly_and_in_pieces() {
    works(
        r#"piecewise() { sleep 0.2; for piece in "$@"; do printf '%s' "$piece"; sleep 0.05; done; raw; IFS= read -r answer; stars; stty "$old"; }
piecewise N 'ew Pass' 'word' ':' ' '; piecewise 'Verify P' 'assword: '; cp "$wrapped" "$3""#,
    );
}

#[test]
fn s06_a_client_that_hangs_before_its_prompt_is_ended() {
    assert_eq!(in_vain("exec sleep 600"), "New Password:");
}

#[test]
fn s06_a_client_that_hangs_after_the_answers_is_ended() {
    let body = "ask 'New Password: '; ask 'Verify Password: '; exec sleep 600";
    assert_eq!(in_vain(body), "its end");
}

#[test]
fn s06_a_client_that_hangs_between_the_prompts_is_ended() {
    assert_eq!(in_vain("ask 'New Password: '; exec sleep 600"), "Verify Password:");
}

#[test]
fn s06_what_it_forked_dies_with_it() {
    // A hangup alone, which the end of a terminal's session brings, does not end these.
    let body = "trap '' HUP\nsleep 600 & echo $! >> \"$scratch/grandchildren\"\n(sleep 600 & echo $! >> \"$scratch/grandchildren\"; wait) &\nwait";
    assert_eq!(in_vain(body), "New Password:");
}

#[test]
fn s06_what_it_left_running_dies_after_a_good_end_too() {
    works(&format!("{HONEST}\ntrap '' HUP; sleep 600 & echo $! >> \"$scratch/grandchildren\""));
}

#[test]
fn s06_a_daemon_that_it_left_with_the_terminal_open_is_not_waited_for() {
    works(&format!("{HONEST}\nsetsid sleep 20 &"));
}

#[test]
fn s06_one_that_ignores_every_polite_signal_dies_all_the_same() {
    let body = "trap '' HUP TERM INT QUIT PIPE\n(trap '' HUP TERM; sleep 600 & echo $! >> \"$scratch/grandchildren\"; wait) &\nwhile :; do sleep 1; done";
    assert_eq!(in_vain(body), "New Password:");
}

#[test]
fn s06_one_that_asks_twice_gets_no_third_answer() {
    let body = format!("{HONEST}\nask 'New Password: '; echo \"$answer\" > \"$scratch/third\"");
    let place = Place::new();
    let result = wrap(&place, &body);
    assert!(
        matches!(&result, Err(DriverError::Client { failure: F::UnknownClient { why }, .. }) if why.contains("out of turn")),
        "{result:?}"
    );
    assert_eq!(place.left("third"), None);
}

#[test]
fn s06_one_that_asks_something_else_gets_no_answer() {
    let place = Place::new();
    let result = wrap(&place, "ask 'Encryption Key Password: '; echo \"$answer\" > \"$scratch/got\"");
    assert!(matches!(&result, Err(DriverError::Client { failure: F::UnknownClient { .. }, .. })), "{result:?}");
    assert_eq!(place.left("got"), None);
}

#[test]
fn s06_one_that_prints_for_ever_is_ended_at_a_limit() {
    let F::UnknownClient { why } = failure("while :; do echo 0123456789012345678901234567890123456789; done") else {
        panic!("another failure");
    };
    assert!(why.contains("far more"), "{why}");
    let F::UnknownClient { .. } = failure(&format!("{HONEST}\nexec yes")) else { panic!("another failure") };
}

#[test]
fn s06_other_words_than_the_known_ones_are_shown_and_not_answered() {
    let place = Place::new();
    let result = wrap_with(&place, &place.impatient("ask 'Neues Passwort: '; echo \"$answer\" > \"$scratch/got\""));
    let Err(DriverError::Client { failure: F::UnknownClient { why }, .. }) = result else { panic!("{result:?}") };
    assert!(why.contains("Neues Passwort:"), "{why}");
    assert_eq!(place.left("got"), None);
}

#[test]
fn s06_one_that_ends_at_once_is_believed_nothing() {
    assert_eq!(failure("exit 1"), F::Unknown { text: String::new() });
    assert!(matches!(failure("exit 0"), F::UnknownClient { .. }));
    assert!(matches!(failure("ask 'New Password: '; exit 0"), F::UnknownClient { .. }));
    assert_eq!(failure("kill -9 $$"), F::Interrupted);
    assert_eq!(failure("ask 'New Password: '; kill -TERM $$; sleep 600"), F::Interrupted);
}

#[test]
fn s06_one_that_closes_its_terminal_and_runs_on_is_ended() {
    let body = "ask 'New Password: '; ask 'Verify Password: '; exec </dev/null >/dev/null 2>&1; sleep 600";
    assert_eq!(in_vain(body), "its end");
}

#[test]
fn s06_nothing_is_typed_while_the_terminal_shows_it() {
    for flags in ["", "stty -echo", "stty -icanon"] {
        let place = Place::new();
        let body =
            format!("{flags}\nprintf 'New Password: '; IFS= read -r answer; echo \"$answer\" > \"$scratch/got\"");
        let result = wrap_with(&place, &place.impatient(&body));
        assert!(
            matches!(&result, Err(DriverError::Client { failure: F::UnknownClient { why }, .. }) if why.contains("shows") || why.contains("showing")),
            "{flags}: {result:?}"
        );
        assert_eq!(place.left("got"), None, "{flags}");
    }
}

#[test]
fn s06_one_that_finds_no_terminal_is_not_our_client() {
    let body = "echo 'Error: unable to change passphrase - no tty' >&2; exit 255";
    assert!(matches!(failure(body), F::UnknownClient { .. }));
}

#[test]
fn s06_a_program_that_is_none_is_named() {
    let place = Place::new();
    for program in ["/nonexistent/proxmox-backup-client", "/dev/null", "/etc/passwd", "/tmp"] {
        let client = Client::new(program, place.private.clone()).unwrap();
        let (_folder, path) = place.plain_copy();
        let error = key::wrap(&client, &path, WORDS).unwrap_err();
        assert_eq!(error.failure(), Some(&F::NoClient { program: program.into() }));
        assert!(error.next_step().unwrap().contains("package proxmox-backup-client"));
    }
}

#[test]
fn s06_a_program_that_cannot_be_executed_or_crashes_is_to_blame_itself() {
    let place = Place::new();
    let program = place.scratch().join("client");
    let (_folder, path) = place.plain_copy();
    for text in ["#!/nonexistent/interpreter\n", "\u{7f}ELF neither\n"] {
        crate::place::write_program(&program, text);
        let client = Client::new(&program, place.private.clone()).unwrap();
        let error = key::wrap(&client, &path, WORDS).unwrap_err();
        assert!(error.is_the_clients_own(), "{error:?}");
    }
    assert!(matches!(failure("kill -SEGV $$"), F::UnknownClient { .. }));
}

/// Descriptors, threads, children and files: as many after as before.
#[test]
fn s06_many_conversations_leave_nothing_behind() {
    rerun("hostile::inner_many_conversations", &[], &[("TENWORDS_ALONE", "1")]);
}

/// Counts what the whole process holds, so it must run alone; see the test above.
#[test]
fn inner_many_conversations() {
    if std::env::var_os("TENWORDS_ALONE").is_none() {
        return;
    }
    let place = Place::new();
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let once = || {
        wrap(&place, HONEST).unwrap();
        assert!(wrap(&place, "exit 3").is_err());
    };
    once();
    let before = (count("fd"), count("task"));
    for _ in 0..15 {
        once();
    }
    crate::place::until("the threads to be gone", || count("task") <= before.1);
    assert_eq!(count("fd"), before.0);
    let children =
        std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or_default();
    assert_eq!(children.trim(), "");
}
