//! What ceremony, drills and recovery say around the ten words: one table of sentences, one column per
//! language, in the form of [`super::Sentences`].

mod english;
mod german;

use std::path::Path;

use tenwords_escrow::select::NoneOpened;
use tenwords_protocol::time::Timestamp;

use super::Language;

/// All of it. A moment in a sentence is shown as its day.
pub(crate) struct Talk {
    // === the ceremony ===
    pub(crate) looking: &'static str,
    /// Above what is escrowed.
    pub(crate) to_be_escrowed: &'static str,
    /// A source by its name, its server and its key.
    pub(crate) source: fn(&str, &str, &str) -> String,
    /// A key that nothing backs up with now.
    pub(crate) unused_key: fn(&str) -> String,
    /// A file and its bytes.
    pub(crate) file: fn(&str, usize) -> String,
    /// How many operator keys are pinned.
    pub(crate) operators: fn(usize) -> String,
    /// Before something that is to be heeded.
    pub(crate) warning: &'static str,
    /// Asks whether the code that the box has is kept; the letters are those of [`Self::keep`] and
    /// [`Self::draw`].
    pub(crate) keep_or_draw: fn(u64, Timestamp) -> String,
    pub(crate) keep: &'static [&'static str],
    pub(crate) draw: &'static [&'static str],
    /// Neither letter was typed.
    pub(crate) one_of_both: &'static str,
    /// Above the entry of a code that is kept.
    pub(crate) to_be_kept: fn(u64) -> String,
    /// The words are those of a former code: asks whether that one is to be the box's again.
    pub(crate) keep_former: fn(u64, u64) -> String,
    /// A new code, where there was another before.
    pub(crate) new_code: fn(u64, u64) -> String,
    /// So many keys are on no file of this box, and under the former code.
    pub(crate) only_former: fn(usize, u64, Timestamp) -> String,
    pub(crate) working: &'static str,
    /// The one sentence.
    pub(crate) protected: fn(&Protected<'_>) -> String,
    /// Code, sequence, check line.
    pub(crate) numbers: fn(u64, u64, &str) -> String,
    /// The former sheet is of no use any more.
    pub(crate) destroy_former: fn(u64) -> String,
    /// The former sheet is still needed.
    pub(crate) need_former: fn(u64) -> String,

    // === the words open something, or nothing ===
    /// Which sheet is asked for.
    pub(crate) take_sheet: fn(u64, Timestamp) -> String,
    /// The codes that were tried, by their lowest and highest number.
    pub(crate) opens_none: fn(u64, u64) -> String,
    pub(crate) not_tried: fn(usize) -> String,
    /// These versions are no escrow.
    pub(crate) passed_over: fn(&str) -> String,
    /// The words are those of this code and day; the newest is another.
    pub(crate) older_code: fn(u64, Timestamp, u64) -> String,
    pub(crate) fresh: fn(&Fresh<'_>) -> String,
    pub(crate) older_would_show: &'static str,
    pub(crate) does_it_fit: &'static str,

    // === the steps of a recovery ===
    pub(crate) step_look: &'static str,
    pub(crate) step_claim: &'static str,
    pub(crate) step_fetch: &'static str,
    /// The box, and whether it only practises.
    pub(crate) step_words: fn(&str, bool) -> String,
    pub(crate) step_connect: &'static str,
    pub(crate) step_plan: &'static str,
    pub(crate) step_install: &'static str,
    pub(crate) step_restore: &'static str,
    pub(crate) step_close: &'static str,
    /// A backup job of the lost box: its name, and what it does.
    pub(crate) job_of_lost: fn(&str, &str) -> String,
    pub(crate) put_job: &'static str,
    /// A version of this number, where the hub keeps it.
    pub(crate) at_hub: fn(u64) -> String,
    /// The words are not those of this code.
    pub(crate) not_of_code: fn(u64) -> String,
    /// A code was kept: the sheet has an earlier date.
    pub(crate) sheet_stays: &'static str,

    // === connecting ===
    /// A tunnel of this name, for sources that cannot be reached.
    pub(crate) tunnel: fn(&str, &str) -> String,
    /// The command that would be run.
    pub(crate) tunnel_command: fn(&str) -> String,
    pub(crate) start_tunnel: fn(&str) -> String,
    /// A token, its server and the server's certificate.
    pub(crate) secret_needed: fn(&str, &str, &str) -> String,
    /// The command on the server.
    pub(crate) secret_command: fn(&str) -> String,
    pub(crate) secret_asked: fn(&str) -> String,
    /// By this server.
    pub(crate) secret_refused: fn(&str) -> String,

    // === former codes ===
    /// A snapshot whose key lies under this code.
    pub(crate) needs_former: fn(&str, u64, Timestamp) -> String,
    pub(crate) have_former: &'static str,
    pub(crate) former_words: fn(u64) -> String,

    // === drills ===
    /// Above the entry of the words, with the box's name.
    pub(crate) to_be_drilled: fn(&str) -> String,
    /// A drill that was killed has left something, which is gone now.
    pub(crate) drill_swept: &'static str,
    /// The hub does not answer, and why.
    pub(crate) own_copy: fn(&str) -> String,
    pub(crate) own_copy_proves: &'static str,
    pub(crate) drill_good: &'static str,
    pub(crate) drill_not_good: &'static str,
    pub(crate) drill_interrupted: &'static str,
    /// The code, its escrow's day, its keys, and where it lay.
    pub(crate) words_opened: fn(u64, Timestamp, usize, &str) -> String,
    pub(crate) words_prove: fn(u64) -> String,
    pub(crate) words_do_not_prove: &'static str,
    /// The words are those of a code, and the newest is another.
    pub(crate) not_newest_code: fn(u64, u64) -> String,
    pub(crate) take_newest: &'static str,
    /// The sequence that was opened, and the one that this box made last.
    pub(crate) not_newest: fn(u64, u64) -> String,
    pub(crate) ask_about_newest: &'static str,
    /// A key, and whose it is.
    pub(crate) key_lacking: fn(&str, &str) -> String,
    pub(crate) source_lacking: fn(&str) -> String,
    pub(crate) token_lacking: fn(&str) -> String,
    pub(crate) hold_ceremony: &'static str,
    pub(crate) came_back: fn(&CameBack<'_>) -> String,
    /// The live tree, how much is the same, how much differs.
    pub(crate) beside_live: fn(&str, u64, u64) -> String,
    pub(crate) archive_proves: &'static str,
    /// The same where the bytes could not be held against the signed entry.
    pub(crate) archive_proves_less: &'static str,
    pub(crate) archive_does_not_prove: &'static str,
    /// A folder that could not be removed.
    pub(crate) drill_left: fn(&str) -> String,
    pub(crate) drill_reported: fn(Timestamp) -> String,
    /// And why.
    pub(crate) drill_not_reported: fn(&str) -> String,
    pub(crate) drill_without_hub: &'static str,
    /// It did not end well.
    pub(crate) drill_not_to_report: &'static str,
    /// Before a remedy.
    pub(crate) what_to_do: &'static str,
    /// Before a note.
    pub(crate) note: &'static str,

    // === the words are lost ===
    pub(crate) lost_alive: &'static [&'static str],
    pub(crate) lost_dead: &'static [&'static str],
}

/// Which escrow was opened.
pub(crate) struct Fresh<'a> {
    pub(crate) made_at: Timestamp,
    pub(crate) code: u64,
    pub(crate) sequence: u64,
    /// Where it lay.
    pub(crate) place: &'a str,
    pub(crate) check_line: &'a str,
}

/// An archive that a drill has brought back.
pub(crate) struct CameBack<'a> {
    pub(crate) archive: &'a str,
    pub(crate) snapshot: &'a str,
    pub(crate) source: &'a str,
    pub(crate) files: u64,
    pub(crate) size: &'a str,
}

/// What a ceremony has come to.
pub(crate) struct Protected<'a> {
    pub(crate) box_name: &'a str,
    pub(crate) box_id: &'a str,
    pub(crate) keys: usize,
    /// The hub's number, unless it is a kit.
    pub(crate) number: u64,
    pub(crate) kit: Option<&'a Path>,
}

impl Language {
    /// Its sentences around the words.
    pub(crate) const fn talk(self) -> &'static Talk {
        match self {
            Self::English => &english::TALK,
            Self::German => &german::TALK,
        }
    }
}

impl Talk {
    /// Never "wrong password": what the words were tried on.
    pub(crate) fn none_opened(&self, none: &NoneOpened) -> String {
        let (lowest, highest) = none.codes;
        let mut text = (self.opens_none)(lowest.get(), highest.get());
        if none.left_out > 0 {
            text.push_str(&format!("; {}", (self.not_tried)(none.left_out)));
        }
        if !none.refused.is_empty() {
            let numbers: Vec<_> = none.refused.iter().map(|(number, _)| number.to_string()).collect();
            text.push_str(&format!("; {}", (self.passed_over)(&numbers.join(", "))));
        }
        text
    }

    /// Every sentence once, with examples in it.
    #[cfg(test)]
    fn all(&self, at: Timestamp) -> Vec<String> {
        // Taken apart, so that a sentence which is missing here does not compile.
        let Self {
            looking,
            to_be_escrowed,
            source,
            unused_key,
            file,
            operators,
            warning,
            keep_or_draw,
            keep: _,
            draw: _,
            one_of_both,
            to_be_kept,
            keep_former,
            new_code,
            only_former,
            working,
            protected,
            numbers,
            destroy_former,
            need_former,
            take_sheet,
            opens_none,
            not_tried,
            passed_over,
            older_code,
            fresh,
            older_would_show,
            does_it_fit,
            step_look,
            step_claim,
            step_fetch,
            step_words,
            step_connect,
            step_plan,
            step_install,
            step_restore,
            step_close,
            job_of_lost,
            put_job,
            at_hub,
            not_of_code,
            sheet_stays,
            tunnel,
            tunnel_command,
            start_tunnel,
            secret_needed,
            secret_command,
            secret_asked,
            secret_refused,
            needs_former,
            have_former,
            former_words,
            to_be_drilled,
            drill_swept,
            own_copy,
            own_copy_proves,
            drill_good,
            drill_not_good,
            drill_interrupted,
            words_opened,
            words_prove,
            words_do_not_prove,
            not_newest_code,
            take_newest,
            not_newest,
            ask_about_newest,
            key_lacking,
            source_lacking,
            token_lacking,
            hold_ceremony,
            came_back,
            beside_live,
            archive_proves,
            archive_proves_less,
            archive_does_not_prove,
            drill_left,
            drill_reported,
            drill_not_reported,
            drill_without_hub,
            drill_not_to_report,
            what_to_do,
            note,
            lost_alive,
            lost_dead,
        } = self;
        let plain = [
            looking,
            to_be_escrowed,
            warning,
            one_of_both,
            working,
            older_would_show,
            does_it_fit,
            have_former,
            step_look,
            step_claim,
            step_fetch,
            step_connect,
            step_plan,
            step_install,
            step_restore,
            step_close,
            put_job,
            sheet_stays,
            drill_swept,
            own_copy_proves,
            drill_good,
            drill_not_good,
            drill_interrupted,
            words_do_not_prove,
            take_newest,
            ask_about_newest,
            hold_ceremony,
            archive_proves,
            archive_proves_less,
            archive_does_not_prove,
            drill_without_hub,
            drill_not_to_report,
            what_to_do,
            note,
        ];
        let done = |kit| Protected { box_name: "mill", box_id: "3f2b", keys: 2, number: 7, kit };
        let made = [
            source("pbs", "pbs.example", "0e:ab"),
            unused_key("0e:ab"),
            file("/etc/hosts", 120),
            operators(2),
            keep_or_draw(2, at),
            to_be_kept(2),
            keep_former(1, 2),
            new_code(2, 1),
            only_former(2, 1, at),
            protected(&done(None)),
            protected(&done(Some(Path::new("/media/box.kit")))),
            numbers(2, 41, "7K3M"),
            destroy_former(1),
            need_former(1),
            take_sheet(2, at),
            opens_none(1, 1),
            opens_none(1, 3),
            not_tried(4),
            passed_over("3, 4"),
            older_code(1, at, 2),
            fresh(&Fresh { made_at: at, code: 2, sequence: 41, place: "x", check_line: "7K3M" }),
            tunnel("wg0", "pbs"),
            tunnel_command("x"),
            start_tunnel("wg0"),
            secret_needed("a", "b", "c"),
            secret_command("x"),
            secret_asked("a"),
            secret_refused("b"),
            needs_former("ct/101", 1, at),
            former_words(1),
            step_words("mill", false),
            step_words("mill", true),
            job_of_lost("backup-1", "all guests to pbs at 21:00"),
            at_hub(7),
            not_of_code(2),
            to_be_drilled("mill"),
            own_copy("x"),
            words_opened(2, at, 1, "x"),
            words_opened(2, at, 3, "x"),
            words_prove(2),
            not_newest_code(1, 2),
            not_newest(1, 2),
            key_lacking("0e:ab", "pbs"),
            source_lacking("pbs"),
            token_lacking("pbs"),
            came_back(&CameBack {
                archive: "root.pxar",
                snapshot: "ct/101",
                source: "pbs",
                files: 12,
                size: "1.20 MiB",
            }),
            beside_live("/srv", 12, 0),
            beside_live("/srv", 12, 3),
            drill_left("/x"),
            drill_reported(at),
            drill_not_reported("x"),
        ];
        let pages = lost_alive.iter().chain(*lost_dead).filter(|line| !line.is_empty());
        plain.iter().map(|text| (**text).to_owned()).chain(made).chain(pages.map(|line| (*line).to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Charset;

    #[test]
    fn no_language_leaves_a_sentence_empty_or_in_english() -> Result<(), Box<dyn std::error::Error>> {
        let at: Timestamp = "2026-03-03T12:00:00Z".parse()?;
        let english = Language::English.talk().all(at);
        for language in Language::ALL {
            let said = language.talk().all(at);
            assert!(said.len() + 4 > english.len());
            for sentence in &said {
                assert!(!sentence.trim().is_empty());
                assert!(language == Language::English || !english.contains(sentence), "{language:?}: {sentence}");
                let fitted = Charset::Ascii.fit(sentence);
                assert_eq!(fitted.matches('?').count(), sentence.matches('?').count(), "{language:?}: {fitted}");
            }
        }
        Ok(())
    }

    #[test]
    fn s45_no_line_of_the_honest_answer_is_wider_than_a_console() {
        for language in Language::ALL {
            let Talk { lost_alive, lost_dead, .. } = language.talk();
            for page in [lost_alive, lost_dead] {
                assert!(page.len() <= 22, "{language:?}: it does not fit one screen");
                for line in *page {
                    let width = Charset::Ascii.fit(line).chars().count();
                    assert!(width <= 78, "{language:?}: {line}");
                }
            }
        }
    }
}
