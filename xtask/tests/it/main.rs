//! The workspace's tidy tests: rules about the tree itself, which no room could keep alone.
#![expect(clippy::disallowed_methods, reason = "the tree is asked of cargo and git")]

mod arrows;
mod gate;
mod golden;
mod graph;
mod rollout;
mod secrets;
mod stories;
mod tree;
mod wall1;
