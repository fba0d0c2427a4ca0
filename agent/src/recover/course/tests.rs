//! A shell that performs in memory, killed wherever it can be, as often as it can be.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tenwords_protocol::{hash::Sha256, time::Timestamp, v1::V1};

use super::*;
use crate::recover::report::{GuestKind, Restored};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// The world: what lies at each item's place, and what it cost.
#[derive(Default)]
struct World {
    /// Items' places, with what lies there.
    places: BTreeMap<ItemId, Lies>,
    /// How often each item came to be whole in its place.
    made: BTreeMap<ItemId, u32>,
    ceremonies: u32,
    journal: Vec<Event>,
    /// Steps until the next kill.
    fuse: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    Half,
    Whole,
    /// An administrator's, put there between two runs.
    Theirs,
}

struct Killed;

/// What every step of the shell comes through: it may be the last.
fn step(world: &mut World) -> Result<(), Killed> {
    match world.fuse.checked_sub(1) {
        Some(left) => {
            world.fuse = left;
            Ok(())
        }
        None => Err(Killed),
    }
}

fn note(world: &mut World, course: &mut Course, event: Event) -> Result<(), Killed> {
    step(world)?;
    assert_eq!(course.check(&event), Ok(()));
    world.journal.push(event.clone());
    step(world)?;
    assert_eq!(course.apply(event), Ok(()));
    Ok(())
}

fn at() -> Timestamp {
    Timestamp::from_unix(1_772_539_200).unwrap_or_else(|_| Timestamp::now())
}

fn begun() -> Event {
    let id = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";
    let (Ok(recovery), Ok(box_id)) = (id.parse(), id.parse()) else { return Event::Ended { at: at() } };
    Event::Begun(Begun {
        v: V1,
        at: at(),
        recovery,
        box_id,
        box_name: "bakery".into(),
        version: None,
        root_sha256: Sha256::of(b"root"),
        rehearsal: false,
        lost_at: None,
        into: "/into".into(),
    })
}

fn what(item: ItemId) -> What {
    What::Archive(Restored {
        unproven: Vec::new(),
        source: "pbs".into(),
        snapshot: "host/bakery/2026-03-03T12:00:00Z".into(),
        archive: format!("{item}.pxar"),
        target: format!("/into/{item}").into(),
        bytes: 1,
        milliseconds: 1,
        said: Vec::new(),
    })
}

/// Odd items are guests, even ones are staged.
fn mark(item: ItemId) -> Mark {
    if item.0 % 2 == 1 {
        Mark::Guest {
            guest: GuestKind::Ct,
            vmid: 100 + item.0,
            volumes_before: BTreeSet::new(),
            storages_before: BTreeSet::new(),
            replaces: None,
            replaced_meaning: None,
            replaced_volumes: BTreeSet::new(),
        }
    } else {
        let stage = format!("/into/.tenwords-{item}").into();
        Mark::Stage { stage, target: format!("/into/{item}").into(), replaces: None }
    }
}

/// One run of the command, as the shell performs it; `count` items are planned.
fn run(world: &mut World, count: u32) -> Result<Course, Killed> {
    let Ok(mut course) = Course::of(world.journal.clone()) else { panic!("the journal is impossible") };
    if course.begun().is_none() {
        note(world, &mut course, begun())?;
    } else if !course.is_ended() {
        note(world, &mut course, Event::Resumed { at: at() })?;
    }
    let mut run = Run::default();
    loop {
        match course.next(&run) {
            Effect::Settle(item) => {
                run.looked_at.insert(item);
                let standing = course.standing(item).clone();
                let lies = world.places.get(&item).copied();
                let event = match (standing, lies) {
                    (Standing::Staged { what, .. }, Some(Lies::Whole)) => {
                        Event::Restored { at: at(), item, what: *what }
                    }
                    (_, Some(Lies::Theirs)) => Event::NotOurs { at: at(), item, why: "no mark".into() },
                    _ => {
                        step(world)?;
                        if world.places.remove(&item) == Some(Lies::Whole) {
                            // It was whole, and nobody could tell: it is taken away, and made again.
                            *world.made.entry(item).or_default() -= 1;
                        }
                        Event::Cleared { at: at(), item }
                    }
                };
                note(world, &mut course, event)?;
            }
            Effect::Plan => {
                let items = (1..=count).map(ItemId).collect();
                note(world, &mut course, Event::Planned { at: at(), plan_sha256: Sha256::of(b"plan"), items })?;
                run.planned = true;
            }
            Effect::Install => {
                note(world, &mut course, Event::Installing { at: at() })?;
                note(world, &mut course, Event::Installed { at: at() })?;
                run.installed = true;
            }
            Effect::Restore(items) => {
                for item in items {
                    run.tried.insert(item);
                    if world.places.contains_key(&item) {
                        // Somebody's: refused before anything.
                        run.is_missing_something = true;
                        continue;
                    }
                    let mark = mark(item);
                    note(world, &mut course, Event::Started { at: at(), item, mark: mark.clone() })?;
                    world.places.insert(item, Lies::Half);
                    step(world)?;
                    if let Mark::Stage { .. } = mark {
                        let staged = Event::Staged { at: at(), item, inode: u64::from(item.0), what: what(item) };
                        note(world, &mut course, staged)?;
                    }
                    world.places.insert(item, Lies::Whole);
                    *world.made.entry(item).or_default() += 1;
                    note(world, &mut course, Event::Restored { at: at(), item, what: what(item) })?;
                }
            }
            Effect::Close => {
                run.closing_tried = true;
                note(world, &mut course, Event::Closing { at: at() })?;
                world.ceremonies += 1;
                note(world, &mut course, Event::Closed { at: at(), version: None })?;
            }
            Effect::End => note(world, &mut course, Event::Ended { at: at() })?,
            Effect::Report => return Ok(course),
        }
    }
}

/// Runs until it is not killed any more.
fn to_the_end(world: &mut World, count: u32, mut fuse: impl FnMut(usize) -> usize) -> (Course, usize) {
    let mut kills = 0;
    loop {
        world.fuse = fuse(kills);
        match run(world, count) {
            Ok(course) => return (course, kills),
            Err(Killed) => kills += 1,
        }
    }
}

fn is_as_never_killed(world: &World, course: &Course, count: u32) {
    assert!(course.is_ended() && course.is_closed() && course.is_installed());
    for item in (1..=count).map(ItemId) {
        assert_eq!(world.places.get(&item), Some(&Lies::Whole), "item {item}");
        assert_eq!(world.made.get(&item), Some(&1), "item {item}");
    }
    // A ceremony whose end nobody noted is held again; it adds a version, and no more.
    assert!((1..=2).contains(&world.ceremonies), "{} ceremonies", world.ceremonies);
}

#[test]
fn killed_at_every_step_once_it_ends_as_one_that_never_was() {
    let count = 4;
    let mut calm = World::default();
    let (course, _) = to_the_end(&mut calm, count, |_| usize::MAX);
    is_as_never_killed(&calm, &course, count);
    let mut steps = 0;
    loop {
        let mut world = World::default();
        let (course, kills) = to_the_end(&mut world, count, |kills| if kills == 0 { steps } else { usize::MAX });
        is_as_never_killed(&world, &course, count);
        if kills == 0 {
            break;
        }
        steps += 1;
    }
    assert!(steps > 30, "only {steps} steps");
}

#[test]
fn killed_again_and_again_it_still_comes_to_its_end() {
    for seed in 0..2000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(1..6);
        let mut world = World::default();
        // Each run gets a little further than the shortest that could.
        let (course, _) = to_the_end(&mut world, count, |_| rng.random_range(8..40));
        assert!(course.is_ended(), "seed {seed}");
        for item in (1..=count).map(ItemId) {
            assert_eq!(world.made.get(&item), Some(&1), "seed {seed}, item {item}");
        }
    }
}

#[test]
fn what_somebody_else_put_in_an_unfinished_items_place_is_not_touched() -> Tested {
    let mut world = World { fuse: usize::MAX, ..World::default() };
    let started = |item: ItemId| Event::Started { at: at(), item, mark: mark(item) };
    world.journal = vec![
        begun(),
        Event::Planned { at: at(), plan_sha256: Sha256::of(b"plan"), items: vec![ItemId(1), ItemId(2)] },
        started(ItemId(1)),
    ];
    world.places.insert(ItemId(1), Lies::Theirs);
    let Ok(course) = run(&mut world, 2) else { return Err("killed".into()) };
    assert_eq!(world.places.get(&ItemId(1)), Some(&Lies::Theirs));
    assert_eq!(world.made.get(&ItemId(2)), Some(&1));
    assert!(!course.is_ended() && course.is_closed());
    // Once it is gone, the same command goes on with what is missing, and holds no second ceremony.
    world.places.remove(&ItemId(1));
    let Ok(course) = run(&mut world, 2) else { return Err("killed".into()) };
    assert!(course.is_ended());
    assert_eq!((world.made.get(&ItemId(1)), world.ceremonies), (Some(&1), 1));
    Ok(())
}

#[test]
fn what_cannot_follow_is_refused() -> Tested {
    let planned = Event::Planned { at: at(), plan_sha256: Sha256::of(b"plan"), items: vec![ItemId(1), ItemId(2)] };
    let started = |item| Event::Started { at: at(), item: ItemId(item), mark: mark(ItemId(item)) };
    let restored = |item| Event::Restored { at: at(), item: ItemId(item), what: what(ItemId(item)) };
    let staged = |item| Event::Staged { at: at(), item: ItemId(item), inode: 1, what: what(ItemId(item)) };
    let cleared = |item| Event::Cleared { at: at(), item: ItemId(item) };
    for (events, why) in [
        (vec![planned.clone()], "before it has begun"),
        (vec![begun(), begun()], "begun twice"),
        (vec![begun(), started(1)], "no plan has it"),
        (vec![begun(), planned.clone(), restored(1)], "not begun"),
        (vec![begun(), planned.clone(), started(2), restored(2)], "staged is not in its place"),
        (vec![begun(), planned.clone(), started(1), staged(1)], "a guest has no stage"),
        (vec![begun(), planned.clone(), started(1), started(1)], "begun twice"),
        (vec![begun(), planned.clone(), started(1), restored(1), started(1)], "restored twice"),
        (vec![begun(), planned.clone(), cleared(1)], "nothing to clear"),
        (vec![begun(), planned.clone(), started(1), restored(1), cleared(1)], "what is there is not cleared"),
        (vec![begun(), Event::Ended { at: at() }, planned.clone()], "after the end"),
        (
            vec![begun(), Event::Closed { at: at(), version: None }, Event::Closing { at: at() }],
            "two closing ceremonies",
        ),
    ] {
        assert!(Course::of(events).is_err(), "{why}");
    }
    let course = Course::of([begun(), planned, started(1), cleared(1), started(1), restored(1)])?;
    assert_eq!(course.next_item(), ItemId(3));
    Ok(())
}
