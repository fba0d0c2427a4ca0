use super::Context;
use crate::error::Error;
pub(crate) fn run(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
