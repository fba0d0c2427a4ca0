//! The root's small files, kept beside what is restored: a person compares them with what is there.
//!
//! How one differs from this machine's is written beside it, for its owner alone: either side may hold a
//! secret, so that nothing of a difference is shown or reported but where it lies.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use similar::{Algorithm, TextDiff};
use tenwords_escrow::root::FileSecret;
use zeroize::Zeroizing;

use super::LIMIT;
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    recover::report::{Missing, RecoveredFile},
    show::harmless,
};

/// Keeps the root's small files beside what is restored. One that cannot be kept does not stop the
/// recovery; it is missing.
pub(crate) fn keep_files(files: &[FileSecret], folder: &Path) -> (Vec<RecoveredFile>, Vec<Missing>) {
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files {
        // A file of the root keeps its name, whatever that is.
        let may_differ = !names.contains(&format!("{}{ENDING}", file.path.as_str()).as_str());
        match keep(file, folder, may_differ) {
            Ok(file) => kept.push(file),
            Err(stop) => missing.push(Missing {
                what: format!("the small file {}", file.path.as_str()),
                why: stop.in_one_line(),
                remedy: format!(
                    "make room and way at {}, then run the same command again; it is in the escrow",
                    folder.display()
                ),
                waits_for_order: false,
            }),
        }
    }
    (kept, missing)
}

fn keep(file: &FileSecret, folder: &Path, may_differ: bool) -> Outcome<RecoveredFile> {
    let path = file.path.as_str();
    let kept_at = folder.join(path.trim_start_matches('/'));
    let cannot = || format!("cannot keep {}", kept_at.display());
    if let Some(parent) = kept_at.parent() {
        durable::folder(parent, 0o700).or_stop(Code::Internal, cannot)?;
    }
    let bytes = file.data.expose_bytes();
    durable::replace("recovered-file", &kept_at, 0o600, bytes).or_stop(Code::Internal, cannot)?;
    let here = durable::read_limited(Path::new(path), LIMIT).map(Zeroizing::new);
    let on_this_machine = match &here {
        Ok(here) if **here == *bytes => "the same on this machine",
        Ok(_) => "differs on this machine",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "missing on this machine",
        Err(_) => "cannot be compared on this machine",
    };
    let at = beside(&kept_at);
    let text = here.ok().filter(|here| may_differ && **here != *bytes).and_then(|here| difference(path, &here, bytes));
    let diff = match text {
        Some(text) => {
            durable::replace("recovered-diff", &at, 0o600, text.as_bytes())
                .or_stop(Code::Internal, || format!("cannot write {}", at.display()))?;
            Some(at)
        }
        None if may_differ => {
            // An earlier run's says nothing of now.
            if let Err(error) = std::fs::remove_file(&at)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %at.display(), %error, "a former difference cannot be removed");
            }
            None
        }
        None => None,
    };
    Ok(RecoveredFile { path: path.to_owned(), kept_at, on_this_machine, diff })
}

fn beside(kept_at: &Path) -> PathBuf {
    let mut name = kept_at.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// What would make this machine's file the lost box's, as `diff -u` says it, without a character that a
/// terminal obeys. `None` where either is no text.
fn difference(path: &str, here: &[u8], lost: &[u8]) -> Option<Zeroizing<String>> {
    let (here, lost) = (std::str::from_utf8(here).ok()?, std::str::from_utf8(lost).ok()?);
    if [here, lost].iter().any(|text| text.contains('\0')) {
        return None;
    }
    let differences = TextDiff::configure().algorithm(Algorithm::Myers).timeout(PATIENCE).diff_lines(here, lost);
    let (from, to) = (format!("this machine's {path}"), format!("the lost box's {path}"));
    let whole = Zeroizing::new(differences.unified_diff().header(&from, &to).to_string());
    let mut text = Zeroizing::new(String::with_capacity(whole.len()));
    for line in whole.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        for (index, part) in body.split('\t').enumerate() {
            if index > 0 {
                text.push('\t');
            }
            text.push_str(&harmless(part, usize::MAX));
        }
        text.push_str(end);
    }
    Some(text)
}

const ENDING: &str = ".diff";
/// Two files of which nothing is alike are told as a whole then, instead of in their smallest difference.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tenwords_escrow::{root::FileMode, secret::FileBytes};

    use super::*;

    fn of(path: &str, text: &[u8]) -> Result<FileSecret, Box<dyn std::error::Error>> {
        let data = FileBytes::new(Zeroizing::new(text.to_vec()));
        Ok(FileSecret { path: path.parse()?, mode: FileMode::new(0o644)?, data })
    }

    #[test]
    fn what_differs_is_written_beside_it_for_its_owner_alone() -> Result<(), Box<dyn std::error::Error>> {
        let base = tempfile::tempdir()?;
        let here = base.path().join("wg0.conf");
        let path = here.to_str().ok_or("a path")?;
        std::fs::write(&here, "[Interface]\nPrivateKey = ours\n\u{1b}[2Jold\n")?;
        let folder = base.path().join("kept");
        let keep = |text: &[u8]| -> Result<RecoveredFile, Box<dyn std::error::Error>> {
            let (mut kept, missing) = keep_files(&[of(path, text)?], &folder);
            assert!(missing.is_empty());
            kept.pop().ok_or_else(|| "nothing is kept".into())
        };
        let file = keep("[Interface]\nPrivateKey = theirs\n\u{202e}new\n".as_bytes())?;
        let at = file.diff.as_deref().ok_or("no difference")?;
        let text = std::fs::read_to_string(at)?;
        for line in ["-PrivateKey = ours", "+PrivateKey = theirs", " [Interface]", "@@ -1,3 +1,3 @@"] {
            assert!(text.lines().any(|it| it == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(at)?.permissions()) & 0o777, 0o600);
        assert!(!serde_json::to_string(&file)?.contains("theirs"));
        // What is no text has none, and a former one is gone.
        assert!(keep(b"\xff")?.diff.is_none() && !at.exists());
        Ok(())
    }

    #[test]
    fn a_file_of_the_root_that_is_called_so_is_not_written_over() -> Result<(), Box<dyn std::error::Error>> {
        let base = tempfile::tempdir()?;
        let here = base.path().join("hosts");
        std::fs::write(&here, "a\n")?;
        let path = here.to_str().ok_or("a path")?;
        let other = format!("{path}.diff");
        let (kept, _) = keep_files(&[of(&other, b"mine")?, of(path, b"b\n")?], &base.path().join("kept"));
        assert!(kept.iter().all(|file| file.diff.is_none()));
        assert_eq!(std::fs::read(&kept[0].kept_at)?, b"mine");
        Ok(())
    }

    #[test]
    fn two_large_files_without_a_line_in_common_are_told_soon() {
        let lines = |with: &str| (0..40_000).map(|n| format!("{with}{n}\n")).collect::<String>();
        let text = difference("/x", lines("a").as_bytes(), lines("b").as_bytes());
        assert!(text.is_some_and(|text| text.lines().count() > 80_000));
    }

    #[test]
    fn a_file_that_cannot_be_kept_is_missing_and_stops_nothing() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = |path: &str| of(path, b"x");
        // The first is a file where the second needs a folder.
        let files = [file("/tenwords-a")?, file("/tenwords-a/b")?, file("/tenwords-c")?];
        let (kept, missing) = keep_files(&files, folder.path());
        assert_eq!(kept.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["/tenwords-a", "/tenwords-c"]);
        assert!(matches!(&*missing, [one] if one.what.contains("/tenwords-a/b")));
        Ok(())
    }
}
