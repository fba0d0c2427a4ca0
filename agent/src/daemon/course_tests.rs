use proptest::prelude::*;

use super::*;
use crate::daemon::chance;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DONE: End = End::Done { retry_after: None, changed: false };

fn even(seed: u64) -> impl FnMut() -> u64 {
    let mut chance = chance::Chance::new(seed);
    move || chance.bits()
}

/// One box: its course, its clock, and how its passes end.
struct Box1<C> {
    course: Course,
    now: Moment,
    chance: C,
    /// What is at work, and until when.
    at_work: Vec<(Kind, Moment)>,
    /// Every start, and every end.
    started: Vec<(Moment, Start)>,
    ended: Vec<(Moment, Kind)>,
}

impl<C: FnMut() -> u64> Box1<C> {
    fn new(known: &[Kind], mut chance: C) -> Self {
        let now = Moment(HOUR);
        let course = Course::new(known, now, &mut chance);
        Self { course, now, chance, at_work: Vec::new(), started: Vec::new(), ended: Vec::new() }
    }

    fn happens(&mut self, event: Event) {
        self.course.happened(event, self.now, &mut self.chance);
    }

    /// Goes on until `end`, waking when the course says so and when a pass ends; each takes `takes` and ends
    /// as `ends` says.
    fn until(&mut self, end: Moment, takes: Duration, mut ends: impl FnMut(Kind, Moment) -> End) {
        loop {
            while let Some(place) = self.at_work.iter().position(|(_, until)| *until <= self.now) {
                let (kind, _) = self.at_work.remove(place);
                self.ended.push((self.now, kind));
                let how = ends(kind, self.now);
                self.happens(Event::Ended(kind, how));
            }
            let next = self.course.next(self.now);
            if let Some(kind) = next.cut_short
                && let Some(place) = self.at_work.iter().position(|(at_work, _)| *at_work == kind)
            {
                self.at_work.remove(place);
                self.ended.push((self.now, kind));
                self.happens(Event::Ended(kind, End::CutShort));
                continue;
            }
            for start in next.starts {
                self.started.push((self.now, start));
                self.at_work.push((start.kind, self.now.plus(takes)));
            }
            let until = self.at_work.iter().map(|(_, until)| *until).chain([next.wake]).min().unwrap_or(next.wake);
            assert!(until > self.now, "it wakes without anything to do");
            if until > end {
                self.now = end;
                return;
            }
            self.now = until;
        }
    }

    fn starts_of(&self, kind: Kind) -> Vec<Moment> {
        self.started.iter().filter(|(_, start)| start.kind == kind).map(|(at, _)| *at).collect()
    }
}

#[test]
fn an_idle_box_does_each_thing_as_often_as_is_written() {
    let mut idle = Box1::new(&Kind::ALL, even(1));
    let begun = idle.now;
    idle.until(begun.plus(48 * HOUR), SECOND, |_, _| DONE);
    for (kind, least, most) in [
        (Kind::Keep, 43, 55),
        (Kind::Servers, 86, 110),
        (Kind::Report, 170, 216),
        (Kind::Renew, 2, 3),
        (Kind::SelfTest, 1, 1),
    ] {
        let count = idle.starts_of(kind).len();
        assert!((least..=most).contains(&count), "{} {count} times", kind.name());
    }
}

#[test]
fn a_changed_key_is_kept_at_once_and_reported_soon() {
    let mut changed = Box1::new(&Kind::ALL, even(2));
    changed.until(changed.now.plus(HOUR), SECOND, |_, _| DONE);
    let at = changed.now;
    changed.happens(Event::KeysChanged);
    changed.until(at.plus(2 * MINUTE), SECOND, |_, _| DONE);
    let first = |kind| changed.starts_of(kind).into_iter().find(|start| *start >= at);
    assert!(first(Kind::Keep).is_some_and(|keep| keep.since(at) < 15 * SECOND));
    let reported = first(Kind::Report);
    assert!(reported.is_some_and(|report| report.since(at) >= SECOND && report.since(at) < 2 * MINUTE));
}

#[test]
fn s41_s42_s59_a_changed_key_is_kept_within_a_minute_also_while_a_server_hangs() {
    let mut hanging = Box1::new(&[Kind::Keep, Kind::Servers], even(3));
    // The first of both.
    hanging.until(hanging.now.plus(5 * MINUTE), SECOND, |_, _| DONE);
    hanging.until(hanging.now.plus(40 * MINUTE), 8 * HOUR, |_, _| DONE);
    while hanging.course.running() != Some(Kind::Servers) {
        hanging.until(hanging.now.plus(MINUTE), 8 * HOUR, |_, _| DONE);
    }
    let at = hanging.now;
    hanging.happens(Event::KeysChanged);
    hanging.until(at.plus(MINUTE), SECOND, |_, _| DONE);
    let kept = hanging.starts_of(Kind::Keep).into_iter().find(|start| *start >= at);
    let waited = kept.map(|kept| kept.since(at));
    assert!(waited.is_some_and(|waited| waited <= BRIEFLY + SECOND), "it waited for the server: {waited:?}");
    // Until it is seen at all a look may go by.
    assert!(waited.is_some_and(|waited| super::super::LOOK + waited < MINUTE));
    // And the server is not put off for ever by keys that go on changing.
    hanging.until(hanging.now.plus(10 * MINUTE), 30 * SECOND, |_, _| DONE);
    let again = hanging.starts_of(Kind::Servers).into_iter().find(|start| *start > at);
    assert!(again.is_some(), "what was cut short is not begun again");
}

#[test]
fn s13_what_the_hub_asks_for_is_waited_for_and_the_box_goes_on_by_itself() {
    let mut limited = Box1::new(&[Kind::Keep], even(4));
    let told = End::Done { retry_after: Some(3 * HOUR), changed: false };
    limited.until(limited.now.plus(MINUTE), SECOND, |_, _| told);
    let first = limited.starts_of(Kind::Keep)[0];
    for _ in 0..20 {
        limited.happens(Event::KeysChanged);
        limited.until(limited.now.plus(5 * MINUTE), SECOND, |_, _| DONE);
    }
    let (local, whole): (Vec<_>, Vec<_>) = limited.started.iter().skip(1).copied().partition(|(_, start)| start.local);
    assert_eq!(local.len(), 20, "each change is kept at home");
    assert!(whole.is_empty(), "the hub was asked before the time it gave");
    limited.until(limited.now.plus(4 * HOUR), SECOND, |_, _| DONE);
    let next = limited.started.iter().skip(1).find(|(_, start)| !start.local).map(|(at, _)| at.since(first));
    assert!(next.is_some_and(|next| next >= 3 * HOUR && next <= 4 * HOUR), "{next:?}");
}

#[test]
fn an_answer_of_any_length_keeps_nobody_waiting_for_longer_than_a_day() {
    let mut lied_to = Box1::new(&[Kind::Report], even(5));
    let told = End::Unreachable { retry_after: Some(Duration::MAX) };
    lied_to.until(lied_to.now.plus(HOUR), SECOND, |_, _| told);
    let before = lied_to.started.len();
    assert_eq!(before, 1);
    lied_to.until(lied_to.now.plus(31 * HOUR), SECOND, |_, _| DONE);
    assert!(lied_to.started.len() > before);
}

#[test]
fn an_open_recovery_keeps_a_box_from_others_and_not_from_its_keys() {
    let mut held = Box1::new(&Kind::ALL, even(6));
    held.until(held.now.plus(HOUR), SECOND, |_, _| DONE);
    held.happens(Event::Held(true));
    let before = held.started.len();
    let listening = held.at_work.iter().any(|(kind, _)| *kind == Kind::Listen);
    held.happens(Event::KeysChanged);
    held.happens(Event::Called);
    held.until(held.now.plus(48 * HOUR), SECOND, |_, _| DONE);
    let meanwhile: Vec<Start> = held.started[before..].iter().map(|(_, start)| *start).collect();
    let count = |kind| meanwhile.iter().filter(|start| start.kind == kind).count();
    assert!((43..=60).contains(&count(Kind::Keep)), "keys are kept {} times", count(Kind::Keep));
    assert!(meanwhile.iter().all(|start| start.kind != Kind::Keep || start.local), "the hub was spoken to");
    assert!(count(Kind::Renew) >= 1, "the certificate is let end");
    for kind in [Kind::Servers, Kind::Report, Kind::Listen] {
        assert_eq!(count(kind), 0, "{} while a recovery is open (listening before: {listening})", kind.name());
    }
    let over = held.now;
    held.happens(Event::Held(false));
    held.until(held.now.plus(2 * MINUTE), SECOND, |_, _| DONE);
    for kind in [Kind::Keep, Kind::Servers, Kind::Report, Kind::Listen] {
        let again = held.started.iter().any(|(at, start)| *at >= over && start.kind == kind && !start.local);
        assert!(again, "{} does not go on", kind.name());
    }
}

/// A call of the operator's is no news that is gathered first: only the rest after the last report comes before it.
#[test]
fn a_call_begins_a_report_at_once_but_for_the_rest_after_the_last_one() {
    for seed in 20..30 {
        let mut called = Box1::new(&Kind::ALL, even(seed));
        called.until(called.now.plus(2 * HOUR), SECOND, |_, _| DONE);
        // One that has just ended: the next waits for its rest and for nothing else.
        let count = called.starts_of(Kind::Report).len();
        while called.starts_of(Kind::Report).len() == count {
            called.until(called.now.plus(SECOND), SECOND, |_, _| DONE);
        }
        called.until(called.now.plus(5 * SECOND), SECOND, |_, _| DONE);
        let least = Kind::Report.pace().least;
        for rested in [false, true] {
            if rested {
                called.until(called.now.plus(least), SECOND, |_, _| DONE);
            }
            let at = called.now;
            called.happens(Event::Called);
            called.until(at.plus(least), SECOND, |_, _| DONE);
            let begun = called.starts_of(Kind::Report).into_iter().find(|start| *start >= at);
            let waited = begun.map(|begun| begun.since(at));
            // A pass of a second may be at work, and one that goes first may follow it.
            let most = if rested { 3 * SECOND } else { least };
            assert!(waited.is_some_and(|waited| waited <= most), "{seed}, rested {rested}: {waited:?}");
        }
    }
}

/// What `docs/daemon.md` promises: the server has settled, and boxes whose backups end together do not come together.
#[test]
fn a_backup_that_has_ended_has_its_server_asked_one_to_two_minutes_later() {
    let mut waits = Vec::new();
    for seed in 30..60 {
        let mut ended = Box1::new(&[Kind::Servers], even(seed));
        // The first, and its rest.
        ended.until(ended.now.plus(11 * MINUTE), SECOND, |_, _| DONE);
        let at = ended.now;
        ended.happens(Event::TaskEnded);
        ended.until(at.plus(2 * MINUTE), SECOND, |_, _| DONE);
        let asked = ended.starts_of(Kind::Servers).into_iter().find(|start| *start >= at);
        let waited = asked.map(|asked| asked.since(at)).unwrap_or_default();
        assert!((MINUTE..=2 * MINUTE).contains(&waited), "{seed}: {waited:?}");
        waits.push(waited);
    }
    assert!(
        waits.iter().max() > waits.iter().min().map(|least| *least + 30 * SECOND).as_ref(),
        "all together: {waits:?}"
    );
}

/// The jobs are news of the report alone, and one that is written in several steps is reported once.
#[test]
fn changed_jobs_are_reported_soon_and_ask_no_server() {
    let mut changed = Box1::new(&[Kind::Servers, Kind::Report], even(13));
    // The first of both are over with their rest, and the next are far.
    changed.until(changed.now.plus(6 * MINUTE), SECOND, |_, _| DONE);
    while changed.starts_of(Kind::Report).is_empty() {
        changed.until(changed.now.plus(MINUTE), SECOND, |_, _| DONE);
    }
    changed.until(changed.now.plus(2 * MINUTE), SECOND, |_, _| DONE);
    let (at, before) = (changed.now, changed.started.len());
    for _ in 0..3 {
        changed.happens(Event::JobsChanged);
        changed.until(changed.now.plus(5 * SECOND), SECOND, |_, _| DONE);
    }
    changed.until(at.plus(2 * MINUTE), SECOND, |_, _| DONE);
    let begun: Vec<_> = changed.started[before..].iter().map(|(begun, start)| (start.kind, begun.since(at))).collect();
    let [(Kind::Report, waited)] = begun[..] else { panic!("{begun:?}") };
    assert!((GATHER..=2 * GATHER).contains(&waited), "{waited:?}");
}

/// What the hub has asked for holds while a recovery is open too, and its end makes no storm.
#[test]
fn a_patience_that_ends_while_a_recovery_is_open_is_no_storm() {
    let mut held = Box1::new(&[Kind::Keep], even(11));
    let told = End::Unreachable { retry_after: Some(HOUR) };
    held.until(held.now.plus(MINUTE), SECOND, |_, _| told);
    held.happens(Event::Held(true));
    let before = held.started.len();
    held.until(held.now.plus(24 * HOUR), SECOND, |_, _| DONE);
    assert!((20..=26).contains(&(held.started.len() - before)), "{} times", held.started.len() - before);
}

#[test]
fn the_first_report_after_an_enrolment_is_soon() {
    let mut enrolled = Box1::new(&[Kind::Report], even(12));
    let alone = End::Done { retry_after: Some(HOUR), changed: false };
    enrolled.until(enrolled.now.plus(20 * MINUTE), SECOND, |_, _| alone);
    let at = enrolled.now;
    enrolled.happens(Event::RecordChanged);
    enrolled.until(at.plus(2 * MINUTE), SECOND, |_, _| DONE);
    assert!(enrolled.starts_of(Kind::Report).last() >= Some(&at), "it waits for an hour that was meant for a stranger");
}

#[test]
fn a_command_at_work_is_waited_for_and_counts_as_no_failure() {
    let mut busy = Box1::new(&[Kind::Keep], even(7));
    busy.until(busy.now.plus(10 * MINUTE), SECOND, |_, _| End::Busy);
    let tries = busy.started.len();
    assert!((20..=60).contains(&tries), "{tries} tries in ten minutes");
    let at = busy.now;
    busy.until(at.plus(MINUTE), SECOND, |_, _| DONE);
    assert!(busy.started.last().is_some_and(|(last, _)| last.since(at) <= 30 * SECOND));
}

#[test]
fn another_client_is_tried_although_the_last_one_failed_long() {
    let mut broken = Box1::new(&[Kind::SelfTest], even(8));
    broken.until(broken.now.plus(100 * HOUR), SECOND, |_, _| End::Failed);
    let at = broken.now;
    broken.happens(Event::ClientChanged);
    broken.until(at.plus(11 * MINUTE), SECOND, |_, _| DONE);
    assert!(broken.started.last().is_some_and(|(last, _)| *last >= at), "the upgrade was not tried");
}

/// What S17 asks of the agent: the machine sees the wall clock only as an event, so nothing of it can move a timer.
#[test]
fn s17_a_clock_that_jumps_by_years_moves_no_timer_and_is_reported() {
    let run = |jumps: bool| {
        let mut jumped = Box1::new(&[Kind::Keep, Kind::Servers], even(9));
        for _ in 0..50 {
            if jumps {
                jumped.happens(Event::ClockJumped);
            }
            jumped.until(jumped.now.plus(10 * MINUTE), SECOND, |_, _| DONE);
        }
        (jumped.starts_of(Kind::Keep).len(), jumped.starts_of(Kind::Servers).len())
    };
    let (quiet, jumping) = (run(false), run(true));
    assert!(quiet.0.abs_diff(jumping.0) <= 1 && quiet.1.abs_diff(jumping.1) <= 2, "{quiet:?} {jumping:?}");
    let mut reporting = Box1::new(&[Kind::Report, Kind::Renew], even(10));
    reporting.until(reporting.now.plus(2 * HOUR), SECOND, |_, _| DONE);
    let at = reporting.now;
    reporting.happens(Event::ClockJumped);
    reporting.until(at.plus(2 * MINUTE), SECOND, |_, _| DONE);
    assert!(reporting.starts_of(Kind::Report).last() >= Some(&at), "nobody is told of the jump");
    assert!(reporting.starts_of(Kind::Renew).last() >= Some(&at), "the certificate was not looked at");
}

/// Of what happens in each second, how much the worst ten seconds have.
fn worst_ten_seconds(moments: &[Moment], begin: Moment) -> usize {
    let mut seconds: Vec<usize> = Vec::new();
    for moment in moments.iter().filter(|moment| **moment >= begin) {
        let second = usize::try_from(moment.since(begin).as_secs()).unwrap_or(usize::MAX);
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        seconds[second] += 1;
    }
    seconds.windows(10).map(|window| window.iter().sum()).max().unwrap_or_else(|| seconds.iter().sum())
}

#[test]
fn s48_ten_thousand_boxes_that_come_back_at_once_do_not_come_together() {
    const BOXES: u64 = 10_000;
    let (mut reports, mut calls) = (Vec::new(), Vec::new());
    let begun = Moment(HOUR);
    let back = begun.plus(3 * HOUR);
    for seed in 0..BOXES {
        let mut one = Box1::new(&[Kind::Keep, Kind::Report, Kind::Listen], even(seed));
        let hub = |_, now: Moment| if now < back { End::Unreachable { retry_after: None } } else { DONE };
        one.until(back, SECOND, hub);
        one.until(back.plus(HOUR), 50 * SECOND, hub);
        let first = |kind| one.ended.iter().find(|(at, ended)| *ended == kind && *at >= back).map(|(at, _)| *at);
        let kept = first(Kind::Keep).map(|at| at.since(back));
        assert!(kept.is_some_and(|kept| kept <= 20 * MINUTE), "box {seed} does not come back: {kept:?}");
        assert!(first(Kind::Report).is_some_and(|at| at.since(back) <= 40 * MINUTE), "box {seed} does not report");
        reports.extend(first(Kind::Keep).into_iter().chain(first(Kind::Report)));
        calls.extend(first(Kind::Listen));
    }
    // Whoever looks in at a random moment of such waits is twice as likely to be near their end: of a quarter of an
    // hour for one and half an hour for the other, 333 of both in the worst ten seconds, where a herd would be 20 000.
    assert!(worst_ten_seconds(&reports, back) < 450, "{}", worst_ten_seconds(&reports, back));
    assert!(worst_ten_seconds(&calls, back) < 350, "{}", worst_ten_seconds(&calls, back));
}

#[test]
fn s48_those_that_were_all_told_the_same_time_do_not_keep_it_to_the_second() {
    let mut second = Vec::new();
    for seed in 0..10_000 {
        let mut one = Box1::new(&[Kind::Report], even(seed));
        let told = End::Unreachable { retry_after: Some(10 * MINUTE) };
        // All at one moment: as if the hub had turned them away together.
        one.course = Course::new(&[], one.now, &mut even(seed));
        one.course.timers[Kind::Report.index()].is_known = true;
        one.course.timers[Kind::Report.index()].due = Some(one.now);
        let begun = one.now;
        one.until(begun.plus(HOUR), SECOND, |_, now| if now.since(begun) < MINUTE { told } else { DONE });
        second.extend(one.starts_of(Kind::Report).get(1).copied());
    }
    let begin = second.iter().min().copied().unwrap_or(Moment(Duration::ZERO));
    assert_eq!(second.len(), 10_000);
    assert!(worst_ten_seconds(&second, begin) < 1200, "{}", worst_ten_seconds(&second, begin));
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::KeysChanged),
        Just(Event::JobsChanged),
        Just(Event::RecordChanged),
        Just(Event::ClientChanged),
        Just(Event::TaskEnded),
        Just(Event::Called),
        Just(Event::Reloaded),
        Just(Event::ClockJumped),
    ]
}

fn ends() -> impl Strategy<Value = End> {
    let retry = prop_oneof![Just(None), (0_u64..100_000).prop_map(|seconds| Some(Duration::from_secs(seconds)))];
    prop_oneof![
        4 => (retry.clone(), any::<bool>()).prop_map(|(retry_after, changed)| End::Done { retry_after, changed }),
        1 => retry.prop_map(|retry_after| End::Unreachable { retry_after }),
        1 => Just(End::Busy),
        1 => Just(End::Failed),
        1 => Just(End::Refused),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_nothing_runs_twice_or_too_often_and_nobody_starves(
        seed in any::<u64>(),
        happenings in prop::collection::vec((events(), 0_u64..600, 1_u64..400), 1..150),
        how in prop::collection::vec(ends(), 1..40),
    ) {
        let mut any = Box1::new(&Kind::ALL, even(seed));
        let mut how = how.into_iter().cycle();
        for (event, after, takes) in happenings {
            any.happens(event);
            let until = any.now.plus(Duration::from_secs(after));
            any.until(until, Duration::from_secs(takes), |_, _| how.next().unwrap_or(DONE));
        }
        for kind in Kind::ALL {
            let starts = any.starts_of(kind);
            let ended: Vec<Moment> = any.ended.iter().filter(|(_, ended)| *ended == kind).map(|(at, _)| *at).collect();
            for (end, next) in ended.iter().zip(starts.iter().skip(1)) {
                prop_assert!(next.since(*end) >= kind.pace().least, "{} too often", kind.name());
            }
            prop_assert!(starts.len() <= ended.len() + 1, "{} twice at once", kind.name());
        }
        let work: Vec<_> = any.started.iter().filter(|(_, start)| start.kind != Kind::Listen).collect();
        let ends = any.ended.iter().filter(|(_, kind)| *kind != Kind::Listen).count();
        prop_assert!(work.len() <= ends + 1, "two at once");
        // Once all goes well again, each kind that time asks for comes within its time.
        let calm = any.now;
        any.until(calm.plus(60 * HOUR), 50 * SECOND, |_, _| DONE);
        for kind in [Kind::Keep, Kind::Renew, Kind::Servers, Kind::Report, Kind::Listen] {
            prop_assert!(any.starts_of(kind).last() >= Some(&calm), "{} starves", kind.name());
        }
    }

    /// Keys that change all the time and passes that take long: everybody has a turn all the same.
    #[test]
    fn a_storm_of_changes_starves_nobody(seed in any::<u64>(), takes in 1_u64..120) {
        let mut storm = Box1::new(&Kind::ALL, even(seed));
        let begun = storm.now;
        while storm.now < begun.plus(6 * HOUR) {
            for event in [Event::KeysChanged, Event::Called, Event::TaskEnded, Event::ClientChanged] {
                storm.happens(event);
            }
            storm.until(storm.now.plus(20 * SECOND), Duration::from_secs(takes), |_, _| DONE);
        }
        for kind in Kind::ALL {
            let starts = storm.starts_of(kind);
            let turns = if kind == Kind::Renew { 1 } else { 6 };
            prop_assert!(starts.len() >= turns, "{} {} times", kind.name(), starts.len());
        }
    }
}
