//! The message that is handed to the machine's mailer.

use tenwords_protocol::time::Timestamp;

use super::kept::{Kept, Raised};
use crate::show::{ascii, harmless};

/// What is due, for a person. Nothing in it comes unchanged from elsewhere.
pub(super) fn message(kept: &Kept, to: &str, box_name: &str, now: Timestamp) -> String {
    let due: Vec<&Raised> = kept.alarms.values().filter(|alarm| alarm.is_due(now)).collect();
    let standing = kept.alarms.values().filter(|alarm| !alarm.ended).count();
    let box_name = &harmless(box_name, 64);
    let said = match standing {
        0 => "no alarm stands any more".to_owned(),
        1 => "1 alarm".to_owned(),
        more => format!("{more} alarms"),
    };
    let header = |text: &str| ascii(&harmless(text, 200)).replace(['\r', '\n'], " ");
    let mut text = format!(
        "To: {}\nSubject: [tenwords] {}: {said}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\nThe tenwords agent of {box_name} says, at {now}:\n",
        header(to),
        header(box_name),
    );
    for alarm in due {
        let Raised { what, remedy, since, told, ended, .. } = alarm;
        let line = match (ended, told) {
            (true, _) => format!("\n- OVER: {what}\n"),
            (false, None) => format!("\n- {what}\n  what to do: {remedy}\n"),
            (false, Some(_)) => format!("\n- since {since}: {what}\n  what to do: {remedy}\n"),
        };
        text.push_str(&line);
    }
    text.push_str("\n`tenwords-agent status` on that machine says how it stands now.\n");
    text
}
