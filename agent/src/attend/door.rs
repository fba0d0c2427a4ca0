//! The socket: made so that only root and the console's user can reach it, and closed to everybody else
//! once more at each connection.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::{
        fd::AsFd,
        unix::{
            fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::{self, Gid, Uid},
};
use rustix::fs::{CWD, RenameFlags};

use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    settings::{ConsoleSettings, User},
};

/// A socket that is listened on. Its file goes when this is dropped.
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another one's file is not ours to remove.
    file: (u64, u64),
    user: Uid,
}

impl Door {
    pub(super) fn open(settings: &ConsoleSettings) -> Outcome<Self> {
        let (user, group) = who(&settings.user)?;
        let path = &settings.socket;
        let cannot = || format!("the console cannot be attended at {}", path.display());
        folder(path, group).or_stop(Code::Preflight, cannot)?;
        clear(path)?;
        // Nobody else may connect before the file has its owner and mode: it is made in a closed folder, and
        // never over what has come to lie there meanwhile.
        let beside = path.parent().unwrap_or(Path::new("/"));
        let closed = tempfile::Builder::new().prefix(".made-").tempdir_in(beside).or_stop(Code::Preflight, cannot)?;
        let made = closed.path().join("s");
        let listener = UnixListener::bind(&made).or_stop(Code::Preflight, cannot)?;
        unistd::chown(&made, None, Some(group)).or_stop(Code::Preflight, cannot)?;
        fs::set_permissions(&made, Permissions::from_mode(0o660)).or_stop(Code::Preflight, cannot)?;
        let metadata = fs::symlink_metadata(&made).or_stop(Code::Preflight, cannot)?;
        rustix::fs::renameat_with(CWD, &made, CWD, path, RenameFlags::NOREPLACE).or_stop(Code::Preflight, cannot)?;
        let door = Self { listener, path: path.clone(), file: (metadata.dev(), metadata.ino()), user };
        door.listener.set_nonblocking(true).or_stop(Code::Preflight, cannot)?;
        Ok(door)
    }

    /// The next connection of somebody who is let in; nothing when the service is to end.
    pub(super) fn next(&self) -> Option<UnixStream> {
        loop {
            let waited = interrupt::wait_readable(&self.listener.as_fd());
            if interrupt::is_ending() {
                return None;
            }
            let stream = waited.and_then(|()| self.listener.accept());
            match stream.and_then(|(stream, _)| Ok((getsockopt(&stream, PeerCredentials)?, stream))) {
                Ok((peer, stream)) if self.lets_in(Uid::from_raw(peer.uid())) => return Some(stream),
                Ok((peer, _)) => {
                    tracing::warn!("user {} (process {}) is not let in to the console", peer.uid(), peer.pid());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection was not taken");
                    // Whatever is short now will not be there at once.
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
            }
        }
    }

    fn lets_in(&self, peer: Uid) -> bool {
        peer.is_root() || peer == self.user
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the console's socket stays behind");
        }
    }
}

/// The user's number, and his group's; a number that no user has is its own group's too.
fn who(user: &User) -> Outcome<(Uid, Gid)> {
    let (name, found) = match user {
        User::Number(number) => (number.to_string(), unistd::User::from_uid(Uid::from_raw(*number))),
        User::Name(name) => (name.clone(), unistd::User::from_name(name)),
    };
    let found = found.or_stop(Code::Preflight, || format!("the user {name} cannot be looked up"))?;
    let number = match user {
        User::Number(number) => Some(*number),
        User::Name(name) => name.parse().ok(),
    };
    match (found, number) {
        (Some(found), _) => Ok((found.uid, found.gid)),
        (None, Some(number)) => Ok((Uid::from_raw(number), Gid::from_raw(number))),
        (None, None) => Err(Stop::new(Code::Preflight, format!("this machine has no user {name}")).remedy(
            "make it with `systemd-sysusers`, as the package does, or name another: `[console] user` in the configuration",
        )),
    }
}

/// The socket's folder; one that is there stays as it is.
fn folder(path: &Path, group: Gid) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    unistd::chown(folder, None, Some(group))?;
    fs::set_permissions(folder, Permissions::from_mode(0o750))
}

/// Takes away what a service has left that was killed; one that lives is not pushed aside.
fn clear(path: &Path) -> Outcome<()> {
    let taken = |what: String| {
        Err(Stop::new(Code::Preflight, what)
            .remedy("end what is there, or name another place: `[console] socket` in the configuration"))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.file_type().is_socket() => {}
        _ => return taken(format!("{} is there and is no socket", path.display())),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .or_stop(Code::Preflight, || format!("the old socket {} cannot be removed", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => taken(format!("another service attends the console at {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn settings(folder: &Path) -> ConsoleSettings {
        let user = User::Number(unistd::getuid().as_raw());
        ConsoleSettings { socket: folder.join("run/console.sock"), user }
    }

    #[test]
    fn a_dead_services_socket_is_replaced_and_a_living_ones_is_not() -> Tested {
        let folder = tempfile::tempdir()?;
        let settings = settings(folder.path());
        let open = || Door::open(&settings).map_err(|stop| stop.what);
        let first = open()?;
        let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.mode() & 0o777);
        assert_eq!(mode(&settings.socket)?, 0o660);
        assert_eq!(mode(&folder.path().join("run"))?, 0o750);
        assert!(open().err().is_some_and(|what| what.contains("another service")), "a living service was pushed aside");
        drop(first);
        assert!(!settings.socket.exists(), "the socket stays behind");
        drop(UnixListener::bind(&settings.socket)?);
        assert!(settings.socket.exists());
        drop(open()?);
        fs::write(&settings.socket, "somebody's file")?;
        assert!(open().is_err() && fs::read(&settings.socket)? == b"somebody's file");
        Ok(())
    }

    #[test]
    fn a_file_that_took_the_sockets_place_is_not_removed() -> Tested {
        let folder = tempfile::tempdir()?;
        let settings = settings(folder.path());
        let door = Door::open(&settings).map_err(|stop| stop.what)?;
        fs::remove_file(&settings.socket)?;
        let _other = UnixListener::bind(&settings.socket)?;
        drop(door);
        assert!(settings.socket.exists());
        Ok(())
    }

    #[test]
    fn root_and_the_configured_user_are_let_in_and_nobody_else() -> Tested {
        let folder = tempfile::tempdir()?;
        let mut door = Door::open(&settings(folder.path())).map_err(|stop| stop.what)?;
        door.user = Uid::from_raw(65_101);
        for (uid, is_in) in [(0, true), (65_101, true), (65_102, false), (u32::MAX, false)] {
            assert_eq!(door.lets_in(Uid::from_raw(uid)), is_in, "{uid}");
        }
        Ok(())
    }

    #[test]
    fn a_user_is_a_name_or_a_number() -> Tested {
        let who = |user| who(&user).map(|(uid, gid)| (uid.as_raw(), gid.as_raw())).map_err(|stop| stop.what);
        assert_eq!(who(User::Name("root".into()))?, (0, 0));
        assert_eq!(who(User::Number(0))?, (0, 0));
        assert_eq!(who(User::Number(65_103))?, (65_103, 65_103));
        assert_eq!(who(User::Name("65103".into()))?, (65_103, 65_103));
        assert!(who(User::Name("no-such-user-here".into())).is_err());
        Ok(())
    }
}
