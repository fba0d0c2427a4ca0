//! A hub in trouble, and boxes that ask for what is not theirs.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use reqwest::StatusCode;
use tenwords_hub::Limits;
use tenwords_protocol::{fingerprint::Fingerprint, part::PartName, problem::ProblemCode};

use crate::support::{
    Machine, Operator, Place, TestHub, Words, bundle, ceremony, enrolled_box, expect_problem, on_both_databases,
};

on_both_databases![
    s15_what_a_box_does_to_another_is_refused_written_down_and_counted,
    s17_a_clock_that_jumps_deletes_nothing_and_what_it_refuses_it_says,
];

const TEN_YEARS: u64 = 3652 * 86_400;

async fn counted(hub: &TestHub, what: &str) -> u64 {
    let response = hub.client(None).get(format!("http://{}/metrics", hub.health)).send().await.unwrap();
    let text = response.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("tenwords_hub_{what}_total "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn s15_what_a_box_does_to_another_is_refused_written_down_and_counted(hub: &mut TestHub) {
    let (alpha_id, alpha) = enrolled_box(hub, "alpha", Words(1)).await;
    let (beta_id, _) = enrolled_box(hub, "beta", Words(2)).await;
    let path = format!("/v1/boxes/{beta_id}/versions");
    let text = ceremony(beta_id, 2, Words(1)).to_text().unwrap();
    expect_problem(alpha.try_push_text(&path, text.clone()).await, ProblemCode::Forbidden).await;
    // On its own path, with the other's header.
    let own = format!("/v1/boxes/{alpha_id}/versions");
    expect_problem(alpha.try_push_text(&own, text).await, ProblemCode::Forbidden).await;
    let shown = Operator::of(hub).show(beta_id).await;
    assert_eq!(shown.versions, 1);
    assert_eq!(hub.audited("request.forbidden").await.len(), 2);
    assert_eq!((counted(hub, "foreign").await, counted(hub, "forbidden").await), (2, 2));
}

async fn s17_a_clock_that_jumps_deletes_nothing_and_what_it_refuses_it_says(hub: &mut TestHub) {
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // How a box stands follows from the time; what the hub has of it does not.
    let kept = async |hub: &TestHub| {
        let mut boxes = Operator::of(hub).boxes().await;
        boxes.iter_mut().for_each(|found| (found.readiness, found.in_state_since) = (None, None));
        boxes
    };
    let before = kept(hub).await;
    hub.clock.forward(TEN_YEARS);
    hub.restart().await;
    machine.again(hub);
    assert_eq!(kept(hub).await, before);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    // Set right again, and then as far the other way: nobody is locked out by a certificate that seems not to have
    // begun.
    for _ in 0..2 {
        hub.clock.back(TEN_YEARS);
        hub.restart().await;
        machine.again(hub);
        assert!(machine.reads().await);
        assert_eq!(machine.get(&machine.of_box("/versions/1/parts/root.age")).await.status(), StatusCode::OK);
        assert_eq!(Operator::of(hub).show(box_id).await.versions, 1);
    }
    hub.clock.forward(TEN_YEARS);
    hub.restart().await;
    let mut new = Machine::new(hub);
    new.claim(hub, &Operator::of(hub).arm(box_id, |_| ()).await).await;
    assert!(new.prove(hub, Words(1), 1).await.is_box);
    let store = hub.store().await;
    assert!(store.verify_audit().await.unwrap().is_ok());
}

/// A file system of a few MiB in memory.
struct Small(PathBuf);

impl Small {
    /// Nothing where this may not be done.
    fn at(path: &Path) -> Option<Self> {
        match mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("size=6m,mode=700")) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(error) => {
                eprintln!("*** SKIPPED: no small file system can be mounted: {error} ***");
                None
            }
        }
    }

    /// Leaves no room at all, and tells what takes it.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
        let _removed_already = fs::remove_dir(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_full_disk_refuses_what_it_cannot_keep_and_serves_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Small::at(dir.path()) else { return };
    let hub = TestHub::start_in(dir, Place::sqlite(), Limits::default()).await;
    let (box_id, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let key = PartName::Key(Fingerprint::from_bytes([7; 32]));
    let large = |fill: u8| {
        let parts = BTreeMap::from([(PartName::Root, vec![fill; 900 << 10]), (key, b"a key file".to_vec())]);
        bundle(box_id, u64::from(fill), parts)
    };
    let filler = small.fill();
    for fill in 2..5 {
        expect_problem(machine.try_push(&large(fill)).await, ProblemCode::Unavailable).await;
        hub.clock.forward(120);
        assert!(machine.reads().await);
        assert_eq!(machine.get(&machine.of_box("/versions/1/parts/root.age")).await.status(), StatusCode::OK);
        assert_eq!(Operator::of(&hub).show(box_id).await.versions, 1);
    }
    fs::remove_file(filler).unwrap();
    assert_eq!(machine.push(&large(9)).await.number.get(), 2);
    let store = hub.store().await;
    assert!(store.verify_audit().await.unwrap().is_ok());
    drop(store);
    drop(hub);
}
