//! A dependency graph and the one question that is asked of it: is this reachable from there?
//!
//! Every kind of edge counts: normal, build and development. A wall that the tests' own
//! dependencies cross is a wall with a door.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// Package ids, their names, and the edges between them.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<(String, Kind)>>,
}

/// What an edge is for. Cargo's word for a normal one is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
}

impl Graph {
    /// A package. Two versions of one crate are two packages with one name.
    pub(crate) fn package(&mut self, id: &str, name: &str) {
        self.names.insert(id.to_owned(), name.to_owned());
    }

    pub(crate) fn edge(&mut self, from: &str, to: &str, kind: Kind) {
        self.edges.entry(from.to_owned()).or_default().insert((to.to_owned(), kind));
    }

    /// For each forbidden name that can be reached from the package named `from`, a shortest way
    /// there, as text.
    ///
    /// An unknown starting point is an error: a walk from nowhere finds nothing and proves nothing.
    pub(crate) fn forbidden(&self, from: &str, forbidden: &[&str]) -> Result<Vec<String>> {
        let Some(start) = self.names.iter().find(|(_, name)| *name == from).map(|(id, _)| id.as_str()) else {
            bail!("no package is named {from}");
        };
        let mut came_from: BTreeMap<&str, (&str, Kind)> = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        let mut found = Vec::new();
        while let Some(here) = waiting.pop_front() {
            for (next, kind) in self.edges.get(here).into_iter().flatten() {
                if next == start || came_from.contains_key(next.as_str()) {
                    continue;
                }
                came_from.insert(next, (here, *kind));
                waiting.push_back(next);
                if self.names.get(next).is_some_and(|name| forbidden.contains(&name.as_str())) {
                    found.push(self.way(next, &came_from));
                }
            }
        }
        Ok(found)
    }

    /// The packages with an edge of any kind to one of this name.
    pub(crate) fn dependents(&self, name: &str) -> BTreeSet<String> {
        let targets = |to: &String| self.names.get(to).is_some_and(|target| target == name);
        let holders = self.edges.iter().filter(|(_, edges)| edges.iter().any(|(to, _)| targets(to)));
        holders.filter_map(|(from, _)| self.names.get(from).cloned()).collect()
    }

    /// Edges between packages of one set, by name.
    pub(crate) fn edges_within(&self, names: &BTreeSet<&str>) -> BTreeSet<(String, String, Kind)> {
        let mut within = BTreeSet::new();
        let member = |id: &String| self.names.get(id).filter(|name| names.contains(name.as_str()));
        for (from, targets) in &self.edges {
            for (to, kind) in targets {
                if let (Some(from), Some(to)) = (member(from), member(to)) {
                    within.insert((from.clone(), to.clone(), *kind));
                }
            }
        }
        within
    }

    fn way(&self, to: &str, came_from: &BTreeMap<&str, (&str, Kind)>) -> String {
        let name = |id: &str| self.names.get(id).cloned().unwrap_or_else(|| id.to_owned());
        let mut text = name(to);
        let mut here = to;
        while let Some((previous, kind)) = came_from.get(here) {
            let arrow = match kind {
                Kind::Normal => "→",
                Kind::Build => "→(build)",
                Kind::Dev => "→(dev)",
            };
            text = format!("{} {arrow} {text}", name(previous));
            here = previous;
        }
        text
    }
}

/// The workspace as cargo resolves it for this platform, all features that any room asks for
/// unified, which is the widest graph that a build of the workspace can have.
pub(crate) fn workspace() -> Result<(Graph, Vec<Member>)> {
    let host = host()?;
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
    let metadata: Metadata = serde_json::from_slice(&offline_first(&arguments)?).context("reading cargo metadata")?;
    let mut graph = Graph::default();
    for package in &metadata.packages {
        graph.package(&package.id, &package.name);
    }
    for node in &metadata.resolve.nodes {
        for dependency in &node.deps {
            for kind in &dependency.dep_kinds {
                graph.edge(&node.id, &dependency.pkg, kind_of(kind.kind.as_deref())?);
            }
        }
    }
    let members = metadata
        .packages
        .into_iter()
        .filter(|package| metadata.workspace_members.contains(&package.id))
        .map(|package| Member { name: package.name, manifest: package.manifest_path })
        .collect();
    Ok((graph, members))
}

/// The names of all packages that a build of the workspace and its tests compiles.
pub(crate) fn built() -> Result<BTreeSet<String>> {
    let arguments =
        ["tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"];
    let output = offline_first(&arguments)?;
    let text = String::from_utf8(output).context("cargo tree")?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn kind_of(kind: Option<&str>) -> Result<Kind> {
    match kind {
        None => Ok(Kind::Normal),
        Some("build") => Ok(Kind::Build),
        Some("dev") => Ok(Kind::Dev),
        Some(other) => bail!("cargo has a kind of dependency that this test does not know: {other}"),
    }
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8(output.stdout).context("rustc -vV")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}

/// Whoever could build this test has the sources; the network is asked only where that is wrong.
fn offline_first(arguments: &[&str]) -> Result<Vec<u8>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |more: &[&str]| Command::new(&cargo).args(arguments).args(more).current_dir(root()).output();
    let mut output = run(&["--offline"]).context("starting cargo")?;
    if !output.status.success() {
        output = run(&[]).context("starting cargo")?;
    }
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}
