//! A hub in this process, on a clock of the test's own, and the parties that talk to it.

pub(crate) mod escrow;
pub(crate) mod hub;
pub(crate) mod parties;
pub(crate) mod postgres;
pub(crate) mod queue;

pub(crate) use self::{
    escrow::{Words, bundle, ceremony, update},
    hub::{ManualClock, Place, TestHub},
    parties::{Machine, Operator, enrolled_box, expect, expect_problem},
};

/// Mounts each test on SQLite and on PostgreSQL. A test takes the hub as its argument.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&mut $crate::support::TestHub::start($crate::support::Place::sqlite()).await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let name = concat!(module_path!(), "::", stringify!($name));
                    if let Some(place) = $crate::support::Place::postgres(name).await {
                        super::$name(&mut $crate::support::TestHub::start(place).await).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_both_databases;
