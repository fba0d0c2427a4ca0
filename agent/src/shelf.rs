//! Where an escrow version is put, and fetched back from to be opened again.

use std::path::Path;

use tenwords_escrow::open::Parts;
use tenwords_protocol::{
    id::BoxId,
    v1::V1,
    version::{Bundle, StoredHeader},
};

use crate::{
    exit::{Code, Outcome, Stop},
    hub::Hub,
    kits::{self, Kits},
};

/// What keeps a version.
pub(crate) enum Shelf<'a> {
    Hub(&'a Hub),
    /// A file, for a box without a hub.
    Kit(&'a Path),
}

impl Shelf<'_> {
    /// Puts a version there, and tells what lies there then: asked for by itself, since what was answered
    /// to the putting is not what a recovery will read.
    pub(crate) fn put(&self, box_id: BoxId, bundle: &Bundle) -> Outcome<(StoredHeader, Parts)> {
        match self {
            Self::Hub(hub) => {
                let number = hub.push(box_id, bundle)?.number;
                let stored = hub.version(box_id, number)?.ok_or_else(|| {
                    Stop::new(Code::GateRefused, format!("the hub acknowledged version {number} and does not have it"))
                        .remedy(
                            "tell the hub's operator, then run the same command again; the box is not protected by \
                             this version",
                        )
                })?;
                let parts = hub.parts(box_id, &stored)?;
                Ok((stored, parts))
            }
            Self::Kit(path) => {
                kits::write(path, bundle)?;
                let back = Kits::read(path)?;
                // Without a hub a version's number is the escrow's own sequence.
                let facts = bundle.header().facts();
                let stored = back.versions(box_id).into_iter().next();
                let (parts, StoredHeader { received_at, header, .. }) = stored
                    .and_then(|stored| Some((back.parts(stored.number)?, stored)))
                    .ok_or_else(|| Stop::new(Code::GateRefused, "what was read back from the kit is another box's"))?;
                Ok((StoredHeader { v: V1, number: facts.sequence, received_at, header }, parts))
            }
        }
    }
}
