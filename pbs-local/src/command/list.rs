use super::Context;
use crate::error::Error;
pub(crate) fn create_datastore(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
pub(crate) fn groups(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
pub(crate) fn create_namespace(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
pub(crate) fn namespaces(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
pub(crate) fn files(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
pub(crate) fn snapshots(_: &Context<'_>) -> Result<(), Error> {
    Err(Error::NotFound)
}
