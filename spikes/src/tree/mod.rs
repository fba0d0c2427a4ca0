//! A folder as a machine really has it, and the proof that it came back.

mod compare;
mod make;

pub use compare::{Difference, Tree, differences};
pub use make::{Made, make};
