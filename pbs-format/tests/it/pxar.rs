//! pxar against the real client's archives, against hostile ones, and against itself.

mod exclude;
mod golden;
mod hostile;
mod privilege;
mod random;
mod roundtrip;
mod support;
mod vectors;
