//! Where the settings come from: a flag, else a variable, else the settings file.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{cli::Common, failure::Failure};

/// Variables, handed in so that a test can be in another environment than its own.
pub(crate) trait Variables {
    fn get(&self, name: &str) -> Option<OsString>;
}

/// The process's own.
pub(crate) struct Environment;

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }
}

/// What is needed to talk to the hub, and where the map lies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    hub: Option<String>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
    /// The folder of the operator's own map.
    pub(crate) state: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    hub: Option<String>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn gather(flags: &Common, variables: &impl Variables) -> Result<Self, Failure> {
        let home = variables.get("HOME").map(PathBuf::from);
        let folder = |variable: &str, below: &str| {
            variables.get(variable).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(below)))
        };
        let written = match &flags.config {
            Some(path) => read(path, true)?,
            None => match folder("XDG_CONFIG_HOME", ".config") {
                Some(folder) => read(&folder.join("tenwords/operator.toml"), false)?,
                None => Written::default(),
            },
        };
        let path = |flag: &Option<PathBuf>, variable: &str, written: Option<PathBuf>| {
            flag.clone().or_else(|| variables.get(variable).map(PathBuf::from)).or(written)
        };
        let state = path(&flags.state, "TENWORDS_STATE", written.state)
            .or_else(|| folder("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("tenwords")))
            .ok_or_else(|| {
                Failure::usage(
                    "no_state",
                    "there is no home folder to keep your map of box names in",
                    "give --state DIR",
                )
            })?;
        let hub = flags
            .hub
            .clone()
            .or_else(|| variables.get("TENWORDS_HUB").and_then(|value| value.into_string().ok()))
            .or(written.hub);
        Ok(Self {
            hub,
            ca: path(&flags.ca, "TENWORDS_CA", written.ca),
            token_file: path(&flags.token_file, "TENWORDS_TOKEN_FILE", written.token_file),
            state,
        })
    }

    pub(crate) fn hub(&self) -> Result<&str, Failure> {
        self.hub.as_deref().ok_or_else(|| missing("the hub's address", "--hub https://hub.example.net:8444", "hub"))
    }

    pub(crate) fn ca(&self) -> Result<&Path, Failure> {
        self.ca.as_deref().ok_or_else(|| missing("the hub's server CA", "--ca server-ca.pem", "ca"))
    }

    pub(crate) fn token_file(&self) -> Result<&Path, Failure> {
        self.token_file.as_deref().ok_or_else(|| missing("your token", "--token-file FILE", "token_file"))
    }
}

fn missing(what: &str, flag: &str, key: &str) -> Failure {
    let remedy = format!("give {flag}, or set {key} in ~/.config/tenwords/operator.toml; `tenwords --help` shows all");
    Failure::usage("missing_setting", format!("{what} is not set"), remedy)
}

fn read(path: &Path, named: bool) -> Result<Written, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(Written::default()),
        Err(error) => {
            let what = format!("settings file {} cannot be read: {}", path.display(), error.kind());
            return Err(Failure::usage("settings_file", what, "name one that you may read, or leave --config out"));
        }
    };
    toml::from_str(&text).map_err(|error| {
        let what = format!("settings file {}: {}", path.display(), error.message());
        Failure::usage("settings_file", what, "it knows hub, ca, token_file and state, each a text in quotes")
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use super::*;

    impl Variables for BTreeMap<&str, String> {
        fn get(&self, name: &str) -> Option<OsString> {
            BTreeMap::get(self, name).map(OsString::from)
        }
    }

    fn flags() -> Common {
        Common { hub: None, ca: None, token_file: None, state: None, config: None, json: false }
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".config/tenwords")).unwrap();
        let file = home.path().join(".config/tenwords/operator.toml");
        fs::write(&file, "hub = \"https://file\"\nca = \"/file\"\ntoken_file = \"/file-token\"\n").unwrap();
        let variables = BTreeMap::from([
            ("HOME", home.path().display().to_string()),
            ("TENWORDS_HUB", "https://variable".to_owned()),
            ("TENWORDS_CA", "/variable".to_owned()),
        ]);
        let flags = Common { hub: Some("https://flag".into()), ..flags() };
        let settings = Settings::gather(&flags, &variables).unwrap();
        assert_eq!(settings.hub().unwrap(), "https://flag");
        assert_eq!(settings.ca().unwrap(), Path::new("/variable"));
        assert_eq!(settings.token_file().unwrap(), Path::new("/file-token"));
        assert_eq!(settings.state, home.path().join(".local/share/tenwords"));
    }

    #[test]
    fn a_mistyped_key_is_named_and_a_named_file_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        let variables = BTreeMap::from([("HOME", folder.path().display().to_string())]);
        let flags = Common { config: Some(file.clone()), ..flags() };
        assert!(Settings::gather(&flags, &variables).is_err());
        fs::write(&file, "tokenfile = \"/x\"\n").unwrap();
        let failure = format!("{:?}", Settings::gather(&flags, &variables).unwrap_err());
        assert!(failure.contains("tokenfile"), "{failure}");
    }
}
