//! A ticket leads to its hub and to nobody else: whoever answers there with another authority does
//! not hear the ticket's secret.

use anyhow::{Result, ensure};
use tenwords_spikes::world::{Hub, World};

use super::{
    liar::{Liar, Shown, authority},
    refused,
};
use crate::support::{BOX, protected};

#[test]
fn a_stranger_at_the_tickets_address_hears_nothing() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let machine = scene.fresh("box2")?;
    let secret = ticket.rsplit(':').next().unwrap_or_default()[..16].to_owned();
    for (what, shown) in [
        ("another authority", Shown::strange(Vec::new())?),
        ("another authority, with the hub's beside it", Shown::strange(vec![authority(&scene.hub)?])?),
    ] {
        let liar = Liar::with(&scene.hub, shown)?;
        let said =
            refused(&scene, &machine, &liar.ticket(&ticket)?, &scene.words, 12, "not the hub that was expected")?;
        ensure!(liar.met() > 0, "{what}: nobody came");
        ensure!(liar.heard().is_empty(), "{what}: it was told {:?}", liar.heard());
        ensure!(!said.contains(&secret), "{what}: the ticket's secret is on the screen");
    }
    // The liar does hear the secret where the authority is the hub's own: it could have heard it above.
    let liar = Liar::with(&scene.hub, Shown::genuine(&scene.hub)?)?;
    refused(&scene, &machine, &liar.ticket(&ticket)?, &scene.words, 15, "does not answer")?;
    let heard = liar.heard();
    ensure!(heard.iter().any(|asked| String::from_utf8_lossy(&asked.body).contains(&secret)), "{heard:?}");
    drop(liar);

    // Another hub, with an authority of its own.
    let base = tempfile::tempdir()?;
    let elsewhere = World::new(base.path())?;
    let other = Hub::start(&elsewhere)?;
    let misled = ticket.replacen(&scene.hub.agents().to_string(), &other.agents().to_string(), 1);
    refused(&scene, &machine, &misled, &scene.words, 12, "not the hub that was expected")?;
    Ok(())
}
