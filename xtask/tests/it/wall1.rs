//! Wall 1: nothing that can be reached from the hub opens an escrow. The operator's command line,
//! which talks to the hub and holds no words either, stands behind the same wall.

use anyhow::Result;

use crate::graph::{Graph, Kind, workspace};

/// Crates that open something, or that exist only to do so.
const OPENERS: [&str; 11] = [
    "tenwords-escrow",
    "tenwords-agent",
    "tenwords-spikes",
    "pbs-format",
    "pbs-driver",
    "pbs-local",
    "age",
    "age-core",
    "scrypt",
    "eff-wordlist",
    "portable-pty",
];

/// Openers that an innocent crate brings along: (way, reason). May only shrink.
const INNOCENT: [(&str, &str); 0] = [];

#[test]
fn nothing_within_reach_of_the_hub_or_the_operator_opens_an_escrow() -> Result<()> {
    let (graph, _) = workspace()?;
    for from in ["tenwords-hub", "tenwords-operator"] {
        let ways: Vec<String> = graph
            .forbidden(from, &OPENERS)?
            .into_iter()
            .filter(|way| !INNOCENT.iter().any(|(innocent, _)| innocent == way))
            .collect();
        assert!(ways.is_empty(), "wall 1 is broken:\n{}", ways.join("\n"));
    }
    Ok(())
}

#[test]
fn the_real_graph_does_lead_from_the_agent_to_the_openers() -> Result<()> {
    // The same walk, over the same metadata, from where openers are meant to be reachable: were the
    // graph empty or its names misread, the wall's test above would pass and this one would not.
    let (graph, _) = workspace()?;
    let ways = graph.forbidden("tenwords-agent", &OPENERS)?;
    for opener in ["age", "scrypt", "eff-wordlist", "portable-pty", "pbs-format", "tenwords-escrow", "pbs-driver"] {
        assert!(ways.iter().any(|way| way.ends_with(&format!(" {opener}"))), "{opener} is not seen in {ways:?}");
    }
    Ok(())
}

/// A name, the edges of a made-up graph, and the way that must be found in it.
type Case = (&'static str, &'static [Edge], Option<&'static str>);
type Edge = (&'static str, &'static str, Kind);

#[test]
fn each_kind_of_edge_near_and_far_is_noticed_and_its_way_is_named() -> Result<()> {
    let cases: [Case; 8] = [
        ("none", &[("hub", "axum", Kind::Normal)], None),
        ("backwards", &[("age", "hub", Kind::Normal)], None),
        ("direct", &[("hub", "age", Kind::Normal)], Some("hub → age")),
        ("direct build", &[("hub", "age", Kind::Build)], Some("hub →(build) age")),
        ("direct dev", &[("hub", "age", Kind::Dev)], Some("hub →(dev) age")),
        (
            "transitive",
            &[("hub", "axum", Kind::Normal), ("axum", "tower", Kind::Normal), ("tower", "age", Kind::Normal)],
            Some("hub → axum → tower → age"),
        ),
        (
            "far, by a build script of a dev-dependency",
            &[("hub", "axum", Kind::Dev), ("axum", "age", Kind::Build)],
            Some("hub →(dev) axum →(build) age"),
        ),
        (
            "round a ring, the shorter way",
            &[
                ("hub", "axum", Kind::Normal),
                ("axum", "hub", Kind::Dev),
                ("axum", "tower", Kind::Normal),
                ("tower", "age", Kind::Normal),
                ("axum", "age", Kind::Normal),
            ],
            Some("hub → axum → age"),
        ),
    ];
    for (name, edges, way) in cases {
        let graph = made_up(edges);
        assert_eq!(graph.forbidden("hub", &["age"])?.first().map(String::as_str), way, "{name}");
    }
    Ok(())
}

#[test]
fn a_second_version_of_an_opener_is_noticed_too() -> Result<()> {
    let mut graph = made_up(&[("hub", "axum", Kind::Normal)]);
    graph.package("registry+somewhere#age@0.11.0", "age");
    graph.package("registry+somewhere#age@0.12.0", "age");
    graph.edge("axum", "registry+somewhere#age@0.12.0", Kind::Normal);
    assert_eq!(graph.forbidden("hub", &["age"])?, ["hub → axum → age"]);
    Ok(())
}

#[test]
fn a_walk_from_nowhere_is_no_proof() {
    let graph = made_up(&[("hub", "axum", Kind::Normal)]);
    assert!(graph.forbidden("hbu", &["age"]).is_err());
    assert!(Graph::default().forbidden("hub", &["age"]).is_err());
}

fn made_up(edges: &[Edge]) -> Graph {
    let mut graph = Graph::default();
    for (from, to, kind) in edges {
        graph.package(from, from);
        graph.package(to, to);
        graph.edge(from, to, *kind);
    }
    graph
}
