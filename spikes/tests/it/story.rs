//! The demo, at small size.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result};
use tenwords_spikes::{
    demo::{Telling, tell},
    world::{BackupServer, Real, World},
};

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics while holding it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn told(telling: &Telling) -> (Result<()>, String) {
    let heard = Heard::default();
    let end = tell(telling, Box::new(heard.clone()));
    let text = String::from_utf8_lossy(&heard.0.lock().expect("nobody panics while holding it")).into_owned();
    (end, text)
}

#[test]
fn the_story_is_as_told() -> Result<()> {
    let base = tempfile::tempdir()?;
    let (end, text) = told(&Telling { bytes: 4 << 20, base: base.path().to_owned(), real: None });
    end.with_context(|| format!("the story so far:\n{text}"))?;
    for sentence in [
        "Error: missing key - manifest was created with key ",
        "Three times refused, exit code 11.",
        "SIGKILL, with the container back and the machine begun.",
        "Recovered: box bakery",
        "the container was not touched again.",
        "entries are the same",
        "8388608 bytes of the disk are the same.",
        "had the token from Proxmox VE's programs",
        "Words that were planted for the purpose were found.",
        "All as told, in ",
    ] {
        assert!(text.contains(sentence), "`{sentence}` is not told:\n{text}");
    }
    assert_eq!(std::fs::read_dir(base.path())?.count(), 0, "something is left");
    Ok(())
}

/// The search bites: a client that keeps what it is given ends the story.
#[test]
fn a_client_that_keeps_a_copy_of_the_key_ends_the_story() -> Result<()> {
    let base = tempfile::tempdir()?;
    let elsewhere = World::new(base.path())?;
    let honest = BackupServer::local(&elsewhere)?;
    let leaking = elsewhere.folder().join("bin/leaking-client");
    let text = std::fs::read_to_string(&honest.client)?;
    std::fs::write(
        &leaking,
        text.replace(
            "#!/bin/sh\n",
            "#!/bin/sh\n[ \"$1$2\" = keychange-passphrase ] && cp \"$3\" \"$(mktemp -p \"$LEAK\")\"\n",
        )
        .replace("$LEAK", &base.path().display().to_string()),
    )?;
    std::fs::set_permissions(&leaking, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let real = Real {
        client: leaking,
        repository: honest.repository.clone(),
        namespace: None,
        certificate: honest.certificate.clone(),
        secret: honest.expose_secret().to_owned(),
    };
    let (end, text) = told(&Telling { bytes: 1 << 20, base: base.path().to_owned(), real: Some(real) });
    let error = end.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("the key (") && error.contains("in /"), "the leak went unnoticed: {error}\n{text}");
    Ok(())
}
