//! The environment of a child, made from nothing.
//!
//! No variable of ours reaches a child. Each one below is here because the client changes its ways
//! without it (`client.md`, `formats.md` §11.2): a default key is looked up in HOME,
//! XDG_CONFIG_HOME *and* XDG_CONFIG_DIRS and would mask a missing one; `PBS_*`, `RUST_BACKTRACE`
//! and `PBS_LOG` alter behaviour or output; a certificate that the system trusts overrides the pin
//! unless the trust store is empty.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use crate::{
    access::{Access, Certificate},
    private::{Folder, PrivateError},
};

/// The variables of one child; they name files in one [`Folder`], which must outlive it.
pub(crate) struct Environment(Vec<(&'static str, OsString)>);

impl Environment {
    /// For a child that connects to nothing.
    pub(crate) fn offline(folder: &Folder) -> Result<Self, PrivateError> {
        let home = folder.subfolder("home")?;
        let config = folder.subfolder("config")?;
        let other_config = folder.subfolder("xdg")?;
        let cache = folder.subfolder("cache")?;
        let runtime = folder.subfolder("runtime")?;
        Ok(Self(vec![
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".into()),
            // Prompts and error texts are matched in English; names may hold any character.
            ("LC_ALL", "C.UTF-8".into()),
            // portable-pty sets it anyway, to the user's own shell unless told otherwise.
            ("SHELL", "/bin/sh".into()),
            ("HOME", home.into()),
            ("XDG_CONFIG_HOME", config.into()),
            ("XDG_CONFIG_DIRS", other_config.into()),
            ("XDG_CACHE_HOME", cache.into()),
            ("XDG_RUNTIME_DIR", runtime.into()),
        ]))
    }

    /// For a child that connects. The token's secret goes by a file, 0600 in the private folder: a value
    /// in the environment can be read in `/proc`. A descriptor (`PBS_PASSWORD_FD`) stays out: to hand one
    /// on, its close-on-exec flag must be gone while the child is started, and without code between fork
    /// and exec that is gone for every other child that another thread starts in the same moment.
    pub(crate) fn connecting(folder: &Folder, access: &Access) -> Result<Self, PrivateError> {
        let mut environment = Self::offline(folder)?;
        let secret = folder.write("secret", access.expose_token().as_bytes())?;
        environment.0.push(("PBS_REPOSITORY", access.repository().to_string().into()));
        environment.0.push(("PBS_PASSWORD_FILE", secret.into()));
        match access.certificate() {
            Certificate::Pinned(fingerprint) => {
                environment.0.push(("PBS_FINGERPRINT", fingerprint.to_string().into()));
                environment.0.push(("SSL_CERT_FILE", folder.write("no-certificates.pem", b"")?.into()));
                environment.0.push(("SSL_CERT_DIR", folder.subfolder("no-certificates")?.into()));
            }
            Certificate::WebPki => {}
        }
        Ok(environment)
    }

    /// For a program of PVE, whose children connect with what PVE gives them. The client inside
    /// inherits the empty trust store of a pinned server; it may run as an unprivileged container's
    /// user, who cannot look into our folder, so what stands for "no certificates" is the null device.
    pub(crate) fn of_pve(folder: &Folder, pinned: bool) -> Result<Self, PrivateError> {
        let mut environment = Self::offline(folder)?;
        if pinned {
            environment.0.extend([("SSL_CERT_FILE", "/dev/null".into()), ("SSL_CERT_DIR", "/dev/null".into())]);
        }
        Ok(environment)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        self.0.iter().map(|(name, value)| (*name, value.as_os_str()))
    }

    /// Where a child starts: never our own working directory, which may be on what is to be replaced.
    pub(crate) fn home(&self) -> &Path {
        self.0.iter().find(|(name, _)| *name == "HOME").map_or(Path::new("/"), |(_, value)| Path::new(value))
    }
}
