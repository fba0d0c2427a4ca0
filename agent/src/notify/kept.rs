//! What stands, what was told of it, and when it is told again.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{json, time::Timestamp, v1::V1};

use super::{Alarm, Found};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    settings::Configuration,
    show::harmless,
};

pub(super) const FILE: &str = "alarms.json";
const SEE_LOG: &str = "see the log of tenwords-agent";
const LIMIT: u64 = 1 << 20;
/// So many alarms of one pass are kept apart; more of them are counted.
const MOST: usize = 64;
const DAY: u64 = 24 * 60 * 60;
/// A pass that was begun so often, and over a day, and has not come to its end is one that does not. Once or twice it
/// may have been the machine that was switched off.
const OFTEN: u32 = 3;
/// A mailer that refused is tried again after this time.
const AGAIN: u64 = 10 * 60;

/// What is kept between passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    v: V1,
    /// By pass, code and subject.
    pub(super) alarms: BTreeMap<String, Raised>,
    /// The passes that have not come to their end.
    failing: BTreeMap<String, Failing>,
    /// When the mailer was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tried: Option<Timestamp>,
}

/// A pass that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    since: Timestamp,
    /// So often it was begun; not counted beyond [`OFTEN`].
    begun: u32,
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raised {
    pub(super) what: String,
    pub(super) remedy: String,
    pub(super) since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<Timestamp>,
    /// It is not told again while it stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    once: bool,
    /// It stands no more, and nobody has been told so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
}

// === impl Kept ===

impl Kept {
    fn none() -> Self {
        Self { v: V1, alarms: BTreeMap::new(), failing: BTreeMap::new(), tried: None }
    }

    pub(super) fn load(configuration: &Configuration) -> Self {
        let path = configuration.state(FILE);
        let read = match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::none()),
            Err(error) => Err(error.to_string()),
        };
        read.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), error, "what was told cannot be read, and is told again");
            Self::none()
        })
    }

    pub(super) fn keep(&self, configuration: &Configuration) -> Outcome<()> {
        let path = configuration.state(FILE);
        let cannot = || format!("{} cannot be written", path.display());
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        durable::folder(&configuration.settings.state, 0o700)
            .and_then(|()| durable::replace("alarms", &path, 0o600, &text))
            .or_stop(Code::Internal, cannot)
    }

    pub(super) fn take_in(&mut self, pass: &str, found: &Found<'_>, now: Timestamp) {
        let own = format!("{pass}/");
        let of_end = format!("{own}pass/{pass}");
        match found {
            Found::Begun => {
                let failing = self.failing.entry(pass.to_owned()).or_insert(Failing { since: now, begun: 0 });
                failing.begun = failing.begun.saturating_add(1).min(OFTEN);
                let Failing { since, begun } = *failing;
                // What it was stopped by says more, if it was.
                let is_said = self.alarms.get(&of_end).is_some_and(|alarm| !alarm.ended);
                if begun >= OFTEN && is_long(since, now) && !is_said {
                    let what = format!("`{pass}` is begun again and again, and has not come to its end since {since}");
                    self.stands(of_end, Words::each_day(what, SEE_LOG.to_owned()), now);
                }
            }
            Found::SoFar(alarms) => {
                for (name, words) in named(&own, alarms) {
                    let of_pass = self.alarms.keys().filter(|name| name.starts_with(&own)).count();
                    if of_pass <= 2 * MOST || self.alarms.contains_key(&name) {
                        self.stands(name, words, now);
                    }
                }
            }
            Found::All(alarms) => {
                self.failing.remove(pass);
                self.replace(&own, named(&own, alarms), now);
            }
            Found::Nothing => {
                self.failing.remove(pass);
                self.end(|name| name == of_end);
            }
            Found::Busy => {
                if is_long(self.failing_since(pass, now), now) {
                    let what = format!("`{pass}` does not come to its end: a command holds this box all the time");
                    let remedy =
                        "the file `lock` in the agent's state folder names the process that holds it".to_owned();
                    self.stands(of_end, Words::each_day(what, remedy), now);
                }
            }
            Found::Stopped(stop) => {
                let since = self.failing_since(pass, now);
                // What a gate refuses is wrong and stays so; everything else may pass by itself.
                let is_grave = stop.code == Code::GateRefused;
                if is_grave || is_long(since, now) {
                    let what = harmless(&format!("`{pass}` does not come to its end: {}", stop.in_one_line()), 400);
                    let remedy = harmless(stop.remedy.as_deref().unwrap_or(SEE_LOG), 300);
                    self.stands(of_end, Words::each_day(what, remedy), now);
                }
            }
        }
    }

    fn failing_since(&mut self, pass: &str, now: Timestamp) -> Timestamp {
        self.failing.entry(pass.to_owned()).or_insert(Failing { since: now, begun: 0 }).since
    }

    /// All of one pass: these stand, the others have ended.
    fn replace(&mut self, own: &str, stand: BTreeMap<String, Words>, now: Timestamp) {
        self.end(|name| name.starts_with(own) && !stand.contains_key(name));
        for (name, words) in stand {
            self.stands(name, words, now);
        }
    }

    fn stands(&mut self, name: String, words: Words, now: Timestamp) {
        let alarm = self.alarms.entry(name).or_insert_with(|| Raised {
            what: String::new(),
            remedy: String::new(),
            since: now,
            told: None,
            once: false,
            ended: false,
        });
        let Words { what, remedy, once } = words;
        (alarm.what, alarm.remedy, alarm.once, alarm.ended) = (what, remedy, once, false);
    }

    /// Those have ended. What nobody was told of needs no end.
    fn end(&mut self, has_ended: impl Fn(&str) -> bool) {
        self.alarms.retain(|name, alarm| !has_ended(name) || alarm.told.is_some());
        for (name, alarm) in &mut self.alarms {
            alarm.ended |= has_ended(name);
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let is_recent = |at: Option<Timestamp>, time| at.is_some_and(|at| at <= now && now.since(at).as_secs() < time);
        self.alarms.values().any(|alarm| alarm.is_due(now)) && !is_recent(self.tried, AGAIN)
    }

    /// What was due then was told; what has become of it since is told the next time.
    pub(super) fn is_told(&mut self, then: &Self, now: Timestamp) {
        let was_told = |name: &str, ended: bool| {
            then.alarms.get(name).is_some_and(|alarm| alarm.is_due(now) && alarm.ended == ended)
        };
        self.alarms.retain(|name, alarm| !(alarm.ended && was_told(name, true)));
        for (name, alarm) in &mut self.alarms {
            if !alarm.ended && was_told(name, false) {
                alarm.told = Some(now);
            }
        }
    }
}

/// What is told of an alarm.
struct Words {
    what: String,
    remedy: String,
    /// Not again while it stands.
    once: bool,
}

impl Words {
    fn each_day(what: String, remedy: String) -> Self {
        Self { what, remedy, once: false }
    }
}

/// Each by its name, so many of them; more are counted.
fn named(own: &str, alarms: &[Alarm]) -> BTreeMap<String, Words> {
    let mut stand: BTreeMap<String, Words> = BTreeMap::new();
    for alarm in alarms {
        let name = format!("{own}{}/{}", alarm.code, harmless(&alarm.subject, 100));
        if stand.len() < MOST || stand.contains_key(&name) {
            let (what, remedy) = (harmless(&alarm.what, 300), harmless(&alarm.remedy, 300));
            stand.insert(name, Words { what, remedy, once: alarm.is_told_once() });
        }
    }
    if alarms.len() > MOST {
        let what = format!("there are more: {} in all", alarms.len());
        let remedy = "`tenwords-agent status` shows them".to_owned();
        stand.insert(format!("{own}more/"), Words::each_day(what, remedy));
    }
    stand
}

/// A day, or a clock that may have jumped.
fn is_long(since: Timestamp, now: Timestamp) -> bool {
    now < since || now.since(since).as_secs() >= DAY
}

impl Raised {
    /// Nobody knows of it, or of its end; or it was told a day ago, by a clock that may have jumped.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.ended || self.told.is_none_or(|told| !self.once && is_long(told, now))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::message::message, *};
    use crate::exit::Stop;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn alarm(subject: &str) -> Alarm {
        Alarm {
            code: "key-lost",
            subject: subject.to_owned(),
            what: format!("the key of {subject} is gone"),
            remedy: "put it back".to_owned(),
        }
    }

    fn at(hours: i64) -> Result<Timestamp, Box<dyn std::error::Error>> {
        Ok(Timestamp::from_unix(1_800_000_000 + hours * 3600)?)
    }

    /// What is told at this time, if anything is.
    fn told(kept: &mut Kept, pass: &str, found: &Found<'_>, now: Timestamp) -> Option<String> {
        kept.take_in(pass, found, now);
        if !kept.is_due(now) {
            return None;
        }
        kept.tried = Some(now);
        let message = message(kept, "root", "bakery", now);
        let then = kept.clone();
        kept.is_told(&then, now);
        Some(message)
    }

    #[test]
    fn an_alarm_is_told_once_each_day_and_when_it_ends() -> Tested {
        let mut kept = Kept::none();
        let one = [alarm("pbs")];
        let first = told(&mut kept, "servers", &Found::All(&one), at(0)?).ok_or("nobody was told")?;
        assert!(first.contains("Subject: [tenwords] bakery: 1 alarm\n") && first.contains("- the key of pbs is gone"));
        for hour in 1..24 {
            assert_eq!(told(&mut kept, "servers", &Found::All(&one), at(hour)?), None, "told again after {hour} h");
        }
        let again = told(&mut kept, "servers", &Found::All(&one), at(24)?).ok_or("it was not repeated")?;
        assert!(again.contains("since 2027-01-15T08:00:00Z"), "{again}");
        let both = [alarm("pbs"), alarm("other")];
        let second = told(&mut kept, "servers", &Found::All(&both), at(25)?).ok_or("the second was not told")?;
        assert!(second.contains("of other") && !second.contains("of pbs") && second.contains("2 alarms"), "{second}");
        let over = told(&mut kept, "servers", &Found::All(&[]), at(26)?).ok_or("the end was not told")?;
        assert!(over.contains("OVER: the key of pbs") && over.contains("no alarm stands"), "{over}");
        assert_eq!(told(&mut kept, "servers", &Found::All(&[]), at(60)?), None);
        Ok(())
    }

    #[test]
    fn what_is_no_more_than_a_note_is_told_once_and_when_it_ends() -> Tested {
        let mut kept = Kept::none();
        let note = Alarm { code: super::super::TOKEN_MAY_PRUNE, ..alarm("pbs") };
        let one = [note.clone()];
        assert!(told(&mut kept, "servers", &Found::All(&one), at(0)?).is_some());
        for hours in [1, 24, 720, 87_600, -87_600] {
            assert_eq!(told(&mut kept, "servers", &Found::All(&one), at(hours)?), None, "told again after {hours} h");
        }
        // Beside one that is told each day it stays silent.
        let both = [note, alarm("other")];
        let text = told(&mut kept, "servers", &Found::All(&both), at(1000)?).ok_or("the other was not told")?;
        assert!(text.contains("of other") && !text.contains("of pbs") && text.contains("2 alarms"), "{text}");
        let text = told(&mut kept, "servers", &Found::All(&[]), at(1001)?).ok_or("the end was not told")?;
        assert!(text.contains("OVER: the key of pbs"), "{text}");
        assert_eq!(told(&mut kept, "servers", &Found::All(&[]), at(1026)?), None);
        Ok(())
    }

    #[test]
    fn what_a_pass_did_not_look_at_stands_on() -> Tested {
        let mut kept = Kept::none();
        told(&mut kept, "servers", &Found::All(&[alarm("pbs")]), at(0)?).ok_or("nobody was told")?;
        let stop = Stop::new(Code::Unreachable, "no answer");
        assert_eq!(told(&mut kept, "servers", &Found::Stopped(&stop), at(1)?), None);
        assert_eq!(told(&mut kept, "keep", &Found::All(&[]), at(2)?), None);
        assert_eq!(kept.alarms.len(), 1, "another pass has ended it");
        Ok(())
    }

    #[test]
    fn a_pass_that_fails_for_a_day_is_an_alarm_and_a_gate_that_refuses_is_one_at_once() -> Tested {
        let mut kept = Kept::none();
        let away = Stop::new(Code::Unreachable, "the hub does not answer").remedy("check the network");
        for hour in 0..24 {
            assert_eq!(told(&mut kept, "report", &Found::Stopped(&away), at(hour)?), None);
        }
        let long = told(&mut kept, "report", &Found::Stopped(&away), at(24)?).ok_or("a day is long enough")?;
        assert!(long.contains("`report` does not come to its end: the hub does not answer"), "{long}");
        let over = told(&mut kept, "report", &Found::Nothing, at(25)?).ok_or("its end was not told")?;
        assert!(over.contains("OVER"));
        let wrong = Stop::new(Code::GateRefused, "the two openings do not agree");
        assert!(told(&mut kept, "self-test", &Found::Stopped(&wrong), at(26)?).is_some());
        Ok(())
    }

    #[test]
    fn a_pass_that_is_ended_each_time_or_finds_a_command_at_work_is_an_alarm_after_a_day() -> Tested {
        for found in [&Found::Begun, &Found::Busy] {
            let mut kept = Kept::none();
            for hour in 0..24 {
                assert_eq!(told(&mut kept, "servers", found, at(hour)?), None);
            }
            let text = told(&mut kept, "servers", found, at(24)?).ok_or("nobody was told")?;
            assert!(text.contains("`servers` "), "{text}");
            // Another pass's end is not its own.
            assert_eq!(told(&mut kept, "keep", &Found::Nothing, at(25)?), None);
            let over = told(&mut kept, "servers", &Found::All(&[]), at(26)?).ok_or("its end was not told")?;
            assert!(over.contains("OVER") && kept.failing.is_empty(), "{over}");
        }
        // A machine that was off for a month in the midst of one.
        let mut kept = Kept::none();
        for hours in [0, 720] {
            assert_eq!(told(&mut kept, "listen", &Found::Begun, at(hours)?), None);
        }
        assert_eq!(told(&mut kept, "listen", &Found::Nothing, at(721)?), None);
        Ok(())
    }

    #[test]
    fn what_is_found_so_far_is_raised_and_ends_nothing() -> Tested {
        let mut kept = Kept::none();
        told(&mut kept, "servers", &Found::Begun, at(0)?);
        let first = [alarm("ct/1")];
        assert!(told(&mut kept, "servers", &Found::SoFar(&first), at(0)?).is_some());
        let second = [alarm("ct/2")];
        let text = told(&mut kept, "servers", &Found::SoFar(&second), at(1)?).ok_or("the second was not told")?;
        assert!(text.contains("2 alarms") && !kept.failing.is_empty(), "{text}");
        for number in 0..1000 {
            let one = [alarm(&format!("vm/{number}"))];
            kept.take_in("servers", &Found::SoFar(&one), at(2)?);
        }
        assert!(kept.alarms.len() <= 2 * MOST + 2, "{}", kept.alarms.len());
        let text = told(&mut kept, "servers", &Found::All(&second), at(3)?).ok_or("the end was not told")?;
        assert!(text.contains("OVER: the key of ct/1") && kept.failing.is_empty(), "{text}");
        Ok(())
    }

    /// The mailer takes its time, and another pass goes on meanwhile.
    #[test]
    fn what_changes_while_the_mailer_is_at_work_is_told_the_next_time() -> Tested {
        let mut kept = Kept::none();
        kept.take_in("servers", &Found::All(&[alarm("pbs"), alarm("other")]), at(0)?);
        let then = kept.clone();
        kept.take_in("keep", &Found::All(&[alarm("third")]), at(0)?);
        kept.is_told(&then, at(0)?);
        let told: Vec<bool> = kept.alarms.values().map(|alarm| alarm.told.is_some()).collect();
        assert_eq!(told, [false, true, true], "{:?}", kept.alarms.keys());
        Ok(())
    }

    #[test]
    fn what_was_never_told_needs_no_end_and_a_mailer_is_not_tried_all_the_time() -> Tested {
        let mut kept = Kept::none();
        kept.take_in("servers", &Found::All(&[alarm("pbs")]), at(0)?);
        assert!(kept.is_due(at(0)?));
        kept.tried = Some(at(0)?);
        assert!(!kept.is_due(at(0)?), "the mailer refused right now");
        assert!(kept.is_due(at(1)?));
        kept.take_in("servers", &Found::All(&[]), at(1)?);
        assert_eq!((kept.alarms.len(), kept.is_due(at(1)?)), (0, false));
        Ok(())
    }

    #[test]
    fn a_clock_that_jumps_repeats_an_alarm_and_loses_none() -> Tested {
        let mut kept = Kept::none();
        let one = [alarm("pbs")];
        for hours in [0, 87_600, -87_600, 0] {
            assert!(told(&mut kept, "servers", &Found::All(&one), at(hours)?).is_some(), "{hours}");
        }
        Ok(())
    }

    #[test]
    fn a_flood_is_counted_and_hostile_text_is_harmless() -> Tested {
        let mut kept = Kept::none();
        let flood: Vec<Alarm> = (0..1000).map(|number| alarm(&format!("ct/{number}"))).collect();
        let text = told(&mut kept, "servers", &Found::All(&flood), at(0)?).ok_or("nobody was told")?;
        assert!(kept.alarms.len() == MOST + 1 && text.contains("1000 in all") && text.len() < 64 << 10);
        let mut hostile = alarm("a\r\nBcc: everybody\u{202e}\u{1b}[2J");
        hostile.what = "line\n.\nTo: everybody".to_owned();
        let text = told(&mut kept, "keep", &Found::All(&[hostile]), at(1)?).ok_or("nobody was told")?;
        assert!(!text.contains("\nBcc:") && !text.contains("\n.\n") && !text.contains('\u{1b}'), "{text}");
        let named = message(&kept, "root", "box\r\nBcc: everybody\n\nbody", at(100)?);
        assert!(!named.contains("\nBcc:"), "{named}");
        Ok(())
    }
}
