//! The operator's own editor, on a file of his own.

use std::{fs, io::Write as _, path::PathBuf, process::Command};

use tempfile::{NamedTempFile, TempPath};

use crate::failure::Failure;

/// What the editor left, in a file that is kept as long as this is.
pub(super) struct Edited {
    pub(super) text: String,
    path: TempPath,
}

const LARGEST: u64 = 4 << 20;

impl Edited {
    /// Opens the editor on `text` and waits for its end.
    pub(super) fn of(text: &str) -> Result<Self, Failure> {
        let broken = |error: std::io::Error| Failure::internal(format!("a file for the editor: {}", error.kind()));
        let mut file = tempfile::Builder::new().prefix("directive-").suffix(".json").tempfile().map_err(broken)?;
        file.write_all(text.as_bytes()).map_err(broken)?;
        let path = NamedTempFile::into_temp_path(file);
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
        // As every program reads these: a command with its options, by the shell's rules.
        #[expect(clippy::disallowed_methods, reason = "the operator's editor, with his terminal and environment")]
        let ended = Command::new("sh").args(["-c", "exec $0 \"$1\""]).arg(&editor).arg(&path).status();
        let shown = crate::show::clean(&editor.to_string_lossy());
        match ended {
            Ok(status) if status.success() => {}
            _ => {
                let what = format!("the editor ({shown}) did not end well, and nothing was changed");
                let remedy = "set EDITOR to one that is here, or say with options what you want: --only, --as-of, …";
                return Err(Failure::usage("editor", what, remedy));
            }
        }
        let size = fs::metadata(&path).map_err(broken)?.len();
        if size > LARGEST {
            return Err(Failure::usage("directive_text", "the text is larger than 4 MiB", "name fewer items"));
        }
        let text = fs::read_to_string(&path).map_err(broken)?;
        Ok(Self { text, path })
    }

    /// Lets the file stay, for another try, and names it with the failure.
    pub(super) fn keep(self, failure: Failure, name: &str) -> Failure {
        let Ok(path): Result<PathBuf, _> = self.path.keep() else { return failure };
        let remedy =
            format!("your text is kept; mend it there, then: tenwords directive edit {name} --file {}", path.display());
        failure.with_more(remedy)
    }
}
