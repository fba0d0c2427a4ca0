//! What a server refuses: us, them, or everybody for now. And servers that are none.

use std::{io::Read as _, net::TcpListener, thread, time::Duration};

use pbs_driver::{
    Certificate, Failure, Limits,
    failure::{Refusal, Silence, Thing, classify},
    pruning::{self, Pruning},
    restore::{self, Request},
    snapshot, status, version,
};
use tenwords_protocol::fingerprint::Fingerprint;

use super::{
    data::{Made, failure, on},
    hand::{Maintenance, Standing},
    mount::{Mount, access},
};

pub(super) fn refusals(mount: &Mount) {
    let made = Made::new(mount, "refusals");
    not_us(mount, &made);
    not_to_remove(mount, &made);
    not_them(mount, &made);
    not_now(mount, &made);
    mount.place.assert_clean();
}

/// Wrong secret, token unknown, disabled, expired; a role missing on the token, on its user.
fn not_us(mount: &Mount, made: &Made) {
    let (client, server, nowhere) = (&mount.client, mount.server(), mount.place.scratch().join("nowhere"));
    let stranger = mount.access("00000000-0000-0000-0000-000000000000", server.certificate, "");
    let refused = Failure::NotAuthorised { why: Refusal::WrongSecret };
    assert_eq!(failure(status::probe(client, &stranger)), refused);
    assert_eq!(version::both(client, &stranger).unwrap().server, Err(refused.clone()));
    let request = Request { access: &stranger, ..made.request(&made.pxar) };
    assert_eq!(failure(restore::tree(client, &request, &nowhere, &mut on)), refused);

    // A datastore that this token may not see, or that is not there: the server does not tell which.
    let repository = mount.repository(None, None, Some("no-such-store"));
    let elsewhere = access(&repository, &server.token, server.certificate, "");
    for failure in [
        failure(status::probe(client, &elsewhere)),
        failure(snapshot::list(client, &elsewhere, None)),
        failure(restore::tree(client, &Request { access: &elsewhere, ..made.request(&made.pxar) }, &nowhere, &mut on)),
    ] {
        let known = matches!(
            failure,
            Failure::NotAuthorised { why: Refusal::Role { .. } } | Failure::NotFound { what: Thing::Datastore }
        );
        assert!(known, "{failure:?}");
    }

    let Some(hand) = mount.hand("tokens that may not") else { return };
    for standing in [
        Standing::Unknown,
        Standing::Disabled,
        Standing::Expired,
        Standing::RoleMissingOnToken,
        Standing::RoleMissingOnUser,
    ] {
        let (id, secret) = hand.token(standing);
        let access = access(&mount.repository(Some(&id), None, None), &secret, server.certificate, "");
        let request = Request { access: &access, ..made.request(&made.pxar) };
        for failure in [
            failure(status::probe(client, &access)),
            failure(snapshot::list(client, &access, None)),
            failure(snapshot::files(client, &access, &made.info.snapshot)),
            failure(restore::tree(client, &request, &nowhere, &mut on)),
        ] {
            let right = match standing {
                Standing::Unknown | Standing::Disabled | Standing::Expired => {
                    failure == Failure::NotAuthorised { why: Refusal::Disabled }
                }
                Standing::RoleMissingOnToken | Standing::RoleMissingOnUser => {
                    matches!(failure, Failure::NotAuthorised { why: Refusal::Role { .. } })
                }
                Standing::PowerUser | Standing::Administrator => false,
            };
            assert!(right, "{standing:?}: {failure:?}");
        }
        assert!(!nowhere.exists(), "{standing:?}");
    }
}

/// A token for backups cannot remove any, a power user's and an administrator's can; and by asking none goes.
fn not_to_remove(mount: &Mount, made: &Made) {
    let (client, group) = (&mount.client, made.info.snapshot.group());
    let said = pruning::ask(client, &made.access, group);
    assert!(matches!(said, Pruning::Cannot), "{said:?}");
    let there = || snapshot::list(client, &made.access, Some(group)).unwrap();
    assert_eq!(there().len(), 1);
    let Some(hand) = mount.hand("tokens that may remove backups") else { return };
    // The group is another token's: who may remove his own alone is refused this one, and by that is known.
    for standing in [Standing::PowerUser, Standing::Administrator] {
        let (id, secret) = hand.token(standing);
        let access = access(&mount.repository(Some(&id), None, None), &secret, mount.server().certificate, "");
        let said = pruning::ask(client, &access, group);
        assert!(matches!(said, Pruning::May), "{standing:?}: {said:?}");
    }
    assert_eq!(there().len(), 1);
}

/// Another certificate, nobody, something else, and a server that never says a word.
fn not_them(mount: &Mount, made: &Made) {
    let (client, server, nowhere) = (&mount.client, mount.server(), mount.place.scratch().join("nowhere"));
    if let Certificate::Pinned(_) = server.certificate {
        let pin = Fingerprint::from_bytes([0xbb; 32]);
        let not_them = mount.access(&server.token, Certificate::Pinned(pin), "");
        let certificate = |failure: &Failure| matches!(failure, Failure::Certificate { expected: Some(expected), .. } if *expected == pin);
        let probed = failure(status::probe(client, &not_them));
        assert!(certificate(&probed), "{probed:?}");
        let versions = version::both(client, &not_them).unwrap().server;
        assert!(versions.as_ref().is_err_and(certificate), "{versions:?}");
        let request = Request { access: &not_them, ..made.request(&made.pxar) };
        let restored = failure(restore::tree(client, &request, &nowhere, &mut on));
        assert!(certificate(&restored), "{restored:?}");
    }
    if !mount.connects {
        println!("SKIPPED (servers that are none): this client opens no connection");
        return;
    }

    let at =
        |address: &str| access(&mount.repository(None, Some(address), None), &server.token, server.certificate, "");
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (address, why) in [(free.as_str(), Silence::Refused), ("no-such-host.invalid:8007", Silence::NoSuchHost)] {
        let access = at(address);
        let unreachable = Failure::Unreachable { why };
        assert_eq!(failure(status::probe(client, &access)), unreachable, "{address}");
        assert_eq!(version::both(client, &access).unwrap().server, Err(unreachable.clone()), "{address}");
        let request = Request { access: &access, ..made.request(&made.pxar) };
        assert_eq!(failure(restore::tree(client, &request, &nowhere, &mut on)), unreachable, "{address}");
    }

    // Something else listens there: it hears a greeting in TLS and answers in clear, or hangs up.
    for answer in ["SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let other = thread::spawn(move || {
            // Two: the driver's own look at the certificate, and the client.
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
                let _ = stream.read(&mut [0; 1024]);
            }
        });
        let failure = failure(status::probe(client, &at(&address)));
        assert_eq!(failure, Failure::Unreachable { why: Silence::NotPbs }, "{answer}");
        drop(other);
    }

    // It takes the connection and is silent: no time of the client's ends that soon enough, ours does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = at(&listener.local_addr().unwrap().to_string());
    let soon = Duration::from_secs(2);
    let impatient = client.clone().with_limits(Limits { answer: soon, stall: soon, ..*client.limits() });
    assert!(matches!(failure(snapshot::list(&impatient, &mute, None)), Failure::TimedOut { .. }));
    let request = Request { access: &mute, ..made.request(&made.pxar) };
    assert!(matches!(failure(restore::tree(&impatient, &request, &nowhere, &mut on)), Failure::TimedOut { .. }));
    drop(listener);
    assert!(!nowhere.exists());
}

/// The datastore is in maintenance: closed, or only to be read.
fn not_now(mount: &Mount, made: &Made) {
    let Some(hand) = mount.hand("maintenance") else { return };
    let (client, scratch) = (&mount.client, mount.place.scratch());
    let nowhere = scratch.join("nowhere");
    let message = "disks are being moved";
    hand.maintain(Some(Maintenance::Offline), message);
    for (failure, what) in [
        (failure(status::probe(client, &made.access)), "status"),
        (failure(snapshot::list(client, &made.access, None)), "snapshot list"),
        (failure(snapshot::groups(client, &made.access)), "list"),
        (failure(snapshot::files(client, &made.access, &made.info.snapshot)), "snapshot files"),
        (failure(restore::tree(client, &made.request(&made.pxar), &nowhere, &mut on)), "restore"),
    ] {
        let Failure::Maintenance { what: words } = &failure else { panic!("{what}: {failure:?}") };
        assert!(words.contains(Maintenance::Offline.word()) && words.contains(message), "{what}: {words}");
    }
    assert!(!nowhere.exists());

    // Reading is what a recovery does: it must not notice.
    hand.maintain(Some(Maintenance::ReadOnly), message);
    assert!(status::probe(client, &made.access).unwrap().total > 0);
    assert_eq!(snapshot::list(client, &made.access, Some(made.info.snapshot.group())).unwrap().len(), 1);
    let back = scratch.join("back");
    restore::file(client, &made.request(&made.conf), &back, &mut on).unwrap();
    let conf = format!("box.conf:{}", scratch.join("box.conf").display());
    let said = mount.refused_by_hand(&["backup", &conf, "--backup-id", &format!("{}-late", made.id)]);
    let failure = classify(&said, &[]);
    let Failure::Maintenance { what: words } = &failure else { panic!("{failure:?}") };
    assert!(words.contains(Maintenance::ReadOnly.word()) && words.contains(message), "{words}");

    hand.maintain(None, "");
    assert!(status::probe(client, &made.access).unwrap().total > 0);
}
