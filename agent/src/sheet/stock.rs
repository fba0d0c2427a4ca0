//! The commands that open an escrow with stock tools alone: those of `docs/runbook-stock-tools.md`.

use super::language::COMMANDS;

/// As they are typed, each with the note of the same place in
/// [`Sentences::stock_notes`](super::language::Sentences).
pub(super) const LINES: [&str; COMMANDS] = [
    "sed -n 2p escrow.bundle > b.json",
    "jq -r '.parts[\"root.age\"]' b.json | base64 -d > root.age",
    "age -d root.age > root.txt",
    "jq -r '.parts | keys[]' b.json",
    "jq -r '.parts[\"key/…\"]' b.json | base64 -d > k.json",
    "jq .kdf k.json; sha256sum k.json",
    "proxmox-backup-client key change-passphrase k.json --kdf none",
    "export PBS_REPOSITORY='AUTH_ID@SERVER:PORT:DATASTORE' PBS_FINGERPRINT=PIN",
    "read -rs PBS_PASSWORD; export PBS_PASSWORD; proxmox-backup-client list",
    "proxmox-backup-client restore SNAPSHOT ARCHIVE TARGET --keyfile k.json",
];
