//! Where a recovery has its escrow from: the hub, with a ticket; or kits, without any hub.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use pbs_driver::{Access, Certificate, Client, Failure, Repository, repository::Namespace};
use tenwords_escrow::root::Source;
use tenwords_protocol::{id::BoxId, ticket::Ticket, time::Timestamp};
use zeroize::Zeroizing;

use super::claim::Claimed;
use crate::{
    cli,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    kits::Kits,
    opening::Holder,
    seat::Seat,
    second_holder::{self, HolderError},
    settings::Configuration,
    show::harmless,
    sources,
};

/// Who has the escrow.
pub(super) enum Origin {
    Hub(Box<Claimed>),
    Kits { kits: Kits, of: &'static str },
}

impl Origin {
    /// Claims at the hub, or reads the kits; what was strange on the way is said.
    pub(super) fn make(
        configuration: &Configuration,
        args: &cli::Recover,
        client: &Client,
        is_expected: impl FnOnce(BoxId, bool) -> Outcome<()>,
        ticket: impl FnOnce(&mut dyn Seat) -> Outcome<Ticket>,
        seat: &mut dyn Seat,
    ) -> Outcome<Self> {
        let mut said = Vec::new();
        let (kits, of) = if let Some(path) = &args.kit {
            (Kits::read(path)?, "kit")
        } else if let Some(repository) = &args.second_holder {
            let access = access(repository, args, seat)?;
            (of_server(client, &access, &mut said)?, "second holder")
        } else if args.datastore.is_some() {
            (of_server(client, &of_folder(args)?, &mut said)?, "datastore")
        } else {
            return Ok(Self::Hub(Box::new(Claimed::make(configuration, is_expected, || ticket(seat))?)));
        };
        said.iter().for_each(|line| seat.say(&format!("  note: {line}")));
        if kits.boxes().is_empty() {
            return Err(Stop::new(Code::Preflight, "no escrow lies there").remedy(
                "look whether it is the right datastore and namespace: an escrow is the group host/tenwords-<box id>",
            ));
        }
        Ok(Self::Kits { kits, of })
    }

    pub(super) fn holder(&self) -> Holder<'_> {
        match self {
            Self::Hub(claimed) => Holder::Hub { hub: &claimed.hub, box_id: claimed.identity.box_id },
            Self::Kits { kits, .. } => Holder::Kits(kits),
        }
    }

    pub(super) fn claimed(&self) -> Option<&Claimed> {
        match self {
            Self::Hub(claimed) => Some(claimed),
            Self::Kits { .. } => None,
        }
    }

    /// The one box that it can be, if it is one: a folder is looked at before the words for it.
    pub(super) fn box_id(&self) -> Option<BoxId> {
        match (self, self.holder()) {
            (Self::Hub(claimed), _) => Some(claimed.identity.box_id),
            (Self::Kits { kits, .. }, _) => match kits.boxes()[..] {
                [one] => Some(one),
                _ => None,
            },
        }
    }

    /// How it is called before the root says its name.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Hub(claimed) => harmless(&claimed.identity.box_name, 64),
            Self::Kits { kits, of } => match kits.boxes()[..] {
                [one] => one.to_string(),
                _ => format!("of the {of}"),
            },
        }
    }

    pub(super) fn rehearsal(&self, args: &cli::Recover) -> bool {
        self.claimed().map_or(args.rehearsal, |claimed| claimed.reply().rehearsal)
    }

    pub(super) fn lost_at(&self, args: &cli::Recover) -> Option<Timestamp> {
        self.claimed().map_or(args.lost_at, |claimed| claimed.reply().lost_at)
    }

    /// The hub's number of a version; a kit has none.
    pub(super) fn number(&self, of: NonZeroU64) -> Option<u64> {
        self.claimed().map(|_| of.get())
    }
}

fn of_server(client: &Client, access: &Access, said: &mut Vec<String>) -> Outcome<Kits> {
    second_holder::kits(client, access, said).map_err(|error| {
        let code = match &error {
            HolderError::Interrupted => return interrupt::stop(),
            HolderError::Driver(error) => match error.failure() {
                Some(Failure::Unreachable { .. } | Failure::TimedOut { .. }) => Code::Unreachable,
                Some(Failure::NotAuthorised { .. }) => Code::NotAuthorised,
                _ => Code::Preflight,
            },
            _ => Code::Preflight,
        };
        Stop::new(code, format!("the escrow at {} cannot be fetched", access.repository()))
            .remedy("mend what the cause names, then run the same command again")
            .because(error)
    })
}

/// The connection that a person names: it brings sealed parts and nothing that is believed.
fn access(repository: &str, args: &cli::Recover, seat: &mut dyn Seat) -> Outcome<Access> {
    let repository: Repository = repository
        .parse()
        .or_stop(Code::Usage, || format!("`{}` is not a repository", harmless(repository, 200)))
        .map_err(|stop| stop.remedy("write it as the client does: user@realm!token@host:8007:datastore"))?;
    let certificate =
        match args.certificate.as_deref() {
            None | Some("web-pki") => Certificate::WebPki,
            Some(pin) => pin.to_ascii_lowercase().parse().map(Certificate::Pinned).or_stop(Code::Usage, || {
                "--certificate is neither web-pki nor a SHA-256 fingerprint with colons".into()
            })?,
        };
    let secret = match &args.token_file {
        Some(path) => Zeroizing::new(sources::read_token(path)?.expose_text().to_owned()),
        None => seat.ask_hidden(&format!("The secret of {} (not shown): ", repository.auth_id()))?,
    };
    Access::new(repository, namespace(args)?, secret, certificate)
        .or_stop(Code::Usage, || "this is no secret of a token or user".to_owned())
}

/// A datastore's folder: nobody there asks for a secret or shows a certificate.
fn of_folder(args: &cli::Recover) -> Outcome<Access> {
    let cannot = || "the folder cannot be named".to_owned();
    let repository: Repository = format!("root@pam@localhost:{FOLDER}").parse().or_stop(Code::Internal, cannot)?;
    let secret = Zeroizing::new("nobody-asks".to_owned());
    Access::new(repository, namespace(args)?, secret, Certificate::WebPki).or_stop(Code::Internal, cannot)
}

fn namespace(args: &cli::Recover) -> Outcome<Namespace> {
    let text = args.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    text.parse().or_stop(Code::Usage, || "--ns is not a namespace".to_owned())
}

/// `pbs-local` over the folder of a datastore, under whatever name a source gives it.
pub(super) struct Folder {
    /// Holds a link for each name; it goes with this value.
    links: pbs_driver::Folder,
    datastore: PathBuf,
}

/// Its name until the words say another.
const FOLDER: &str = "datastore";

impl Folder {
    /// The client that reads it, and the folder to keep for as long.
    pub(super) fn open(configuration: &Configuration, datastore: &Path) -> Outcome<(Client, Self)> {
        let program = configuration.settings.pbs_local.clone();
        if !program.is_file() {
            return Err(Stop::new(Code::Preflight, format!("there is no {}", program.display()))
                .remedy("install pbs-local, or name it in the configuration (pbs_local = \"…\")"));
        }
        let unusable = || format!("{} cannot be read as a datastore", datastore.display());
        let path = std::fs::canonicalize(datastore).or_stop(Code::Usage, unusable)?;
        if !path.join(".chunks").is_dir() {
            return Err(Stop::new(Code::Usage, unusable())
                .remedy("name the datastore's own folder: the one that has .chunks in it"));
        }
        let client = sources::client_at(&configuration.settings, program)?;
        let links = client.private().folder().or_stop(Code::Preflight, unusable)?;
        let root = links.path().to_owned();
        let folder = Self { links, datastore: path };
        folder.name(FOLDER)?;
        Ok((client.with_leading(["--root".into(), root.into_os_string()]), folder))
    }

    /// Lets the sources' datastores be found there. If they are several, it is only that one by whose name
    /// the folder goes: one datastore's snapshots are never taken for another's.
    pub(super) fn name_for(&self, sources: &[Source]) -> Outcome<()> {
        let place = |source: &Source| (source.server.to_string(), source.port, source.datastore.to_string());
        let one = sources.windows(2).all(|pair| place(&pair[0]) == place(&pair[1]));
        let own = self.datastore.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut meant = sources.iter().map(|source| source.datastore.as_str()).filter(|name| one || *name == own);
        meant.try_for_each(|name| self.name(name))
    }

    /// Lets it be found under this name too.
    fn name(&self, name: &str) -> Outcome<()> {
        let link = self.links.path().join(name);
        if link.symlink_metadata().is_ok() {
            return Ok(());
        }
        std::os::unix::fs::symlink(&self.datastore, &link)
            .or_stop(Code::Preflight, || format!("{} cannot be linked", self.datastore.display()))
    }
}
