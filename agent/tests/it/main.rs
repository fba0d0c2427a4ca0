//! The agent's program, as a person meets it before there is a hub. What needs both hub and boxes
//! is tested in `spikes`.
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod refusals;
