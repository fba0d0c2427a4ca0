//! The agent's program, as a person meets it before there is a hub. What needs both hub and boxes
//! is tested in `spikes`.

mod refusals;
