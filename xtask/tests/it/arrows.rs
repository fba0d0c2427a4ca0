//! The rooms and the arrows between them, as declared, unused ones included. Any new arrow shows up
//! here, so that it is decided and not drifted into.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};

use crate::{
    golden,
    graph::{Kind, built, workspace},
};

#[test]
fn golden_arrows_between_the_rooms() -> Result<()> {
    let (graph, members) = workspace()?;
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut text =
        String::from("# Each room and what it may name, as its manifest declares. See docs/architecture.md.\n");
    for (from, to, kind) in graph.edges_within(&names) {
        let suffix = match kind {
            Kind::Normal => "",
            Kind::Build => "   (build)",
            Kind::Dev => "   (dev)",
        };
        text.push_str(&format!("{from} -> {to}{suffix}\n"));
    }
    for name in names {
        text.push_str(&format!("{name}\n"));
    }
    golden::check("arrows.txt", &text)
}

#[test]
fn only_one_room_holds_age_and_only_one_the_pty() -> Result<()> {
    // What deny.toml says as `wrappers`, for machines without cargo-deny.
    let (graph, _) = workspace()?;
    let allowed: [(&str, &[&str]); 3] = [
        ("age", &["tenwords-escrow"]),
        ("eff-wordlist", &["tenwords-escrow"]),
        ("portable-pty", &["pbs-driver", "tenwords-spikes"]),
    ];
    for (held, holders) in allowed {
        for holder in graph.dependents(held) {
            assert!(holders.contains(&holder.as_str()), "{holder} depends on {held}; only {holders:?} may");
        }
    }
    Ok(())
}

#[test]
fn one_tls_provider_is_built() -> Result<()> {
    // What is built, and not cargo metadata's wider graph: rustls-webpki names ring there as an
    // optional dependency that no feature of ours switches on.
    let built = built()?;
    assert!(built.contains("aws-lc-rs") && built.contains("rustls"), "cargo tree was misread: {built:?}");
    for other in ["ring", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!built.contains(other), "{other} is built; `cargo tree --workspace -i {other}` says why");
    }
    Ok(())
}

#[test]
fn every_room_takes_the_workspaces_lints_and_licence() -> Result<()> {
    let (_, members) = workspace()?;
    assert!(members.len() >= 10, "{members:?}");
    for member in members {
        let text = fs::read_to_string(&member.manifest).with_context(|| member.manifest.display().to_string())?;
        for line in ["[lints]\nworkspace = true\n", "license.workspace = true\n", "rust-version.workspace = true\n"] {
            assert!(text.contains(line), "{} lacks {line:?}", member.name);
        }
    }
    Ok(())
}

#[test]
fn every_version_is_the_workspaces() -> Result<()> {
    let (_, members) = workspace()?;
    for member in members {
        let text = fs::read_to_string(&member.manifest).with_context(|| member.manifest.display().to_string())?;
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
                assert!(!line.contains("dependencies."), "{}: {line}", member.name);
            } else if in_dependencies && !line.trim().is_empty() && !line.starts_with('#') {
                assert!(line.contains("workspace = true"), "{}: {line}", member.name);
            }
        }
    }
    Ok(())
}
