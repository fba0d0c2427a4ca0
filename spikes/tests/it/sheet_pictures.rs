//! The recovery sheet as a printer and a camera see it: rendered, read back, and looked at for ink at
//! the edges. Debian's poppler-utils and zbar-tools do the seeing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::process::{Ended, Run};

use crate::support::{BOX, Scene, as_shown, protected};

/// A sheet of one paper and language, as a PDF.
struct Printed {
    pdf: PathBuf,
    language: &'static str,
    /// Its size at [`DOTS`], in dots.
    size: (usize, usize),
}

/// What a renderer has made: one byte for each dot, 0 is black.
struct Picture {
    width: usize,
    height: usize,
    dots: Vec<u8>,
}

/// Dots to an inch.
const DOTS: usize = 150;
/// What a printer cannot reach, in dots: 5 mm.
const EDGE: usize = DOTS * 5 * 10 / 254 + 1;
/// Nothing darker is paper.
const PAPER: u8 = 250;
const PHONE: &str = "+49 89 1234567";
const SOON: Duration = Duration::from_secs(60);

/// A protected box whose sheet has somebody to call.
fn with_operator() -> Result<Scene> {
    let scene = protected()?;
    let text = fs::read_to_string(scene.box_1.config())?;
    let (before, rest) = text.split_once('[').context("a table")?;
    let operator = format!("[operator]\nname = \"Jürgen Weiß, Weiß IT\"\nphone = \"{PHONE}\"\n");
    fs::write(scene.box_1.config(), format!("{before}{operator}[{rest}"))?;
    Ok(scene)
}

/// Its sheets in both sizes of paper and both languages.
fn printed(scene: &Scene, name: &str) -> Result<Vec<Printed>> {
    let mut all = Vec::new();
    for (paper, size) in [("a4", (1240, 1754)), ("letter", (1275, 1650))] {
        for language in ["en", "de"] {
            let pdf = scene.world.folder().join(format!("{name}-{paper}-{language}.pdf"));
            let out = pdf.display().to_string();
            let arguments = ["sheet", "--out", &out, "--paper", paper, "--language", language];
            scene.box_1.agent(&arguments, "")?.with_code(0)?;
            all.push(Printed { pdf, language, size });
        }
    }
    Ok(all)
}

fn run(scene: &Scene, program: &str, arguments: &[&str]) -> Result<Ended> {
    let ended = Run::new(Path::new(program), scene.world.folder()).args(arguments).envs(&scene.world.environment());
    ended.to_end(SOON)?.with_code(0)
}

/// Whether this program is there; its absence is said.
fn has(program: &str, package: &str) -> bool {
    let there = Path::new(program).is_file();
    if !there {
        eprintln!("skipped: the sheet as a picture (Debian's package {package} is not installed)");
    }
    there
}

impl Printed {
    /// What a reader of its text finds, lines and columns kept.
    fn text(&self, scene: &Scene) -> Result<String> {
        let read = run(scene, "/usr/bin/pdftotext", &["-layout", &self.pdf.display().to_string(), "-"])?;
        Ok(String::from_utf8(read.stdout)?)
    }

    /// The only page, rendered in this manner.
    fn rendered(&self, scene: &Scene, manner: &str) -> Result<PathBuf> {
        let name = self.pdf.with_extension(manner.trim_start_matches('-'));
        fs::create_dir(&name)?;
        let [pdf, to] = [&self.pdf, &name.join("page")].map(|path| path.display().to_string());
        run(scene, "/usr/bin/pdftoppm", &["-r", &DOTS.to_string(), manner, &pdf, &to])?;
        let mut pages: Vec<PathBuf> =
            fs::read_dir(&name)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        ensure!(pages.len() == 1, "{} has {} pages", self.pdf.display(), pages.len());
        pages.pop().context("a page")
    }
}

impl Picture {
    /// Reads a grey picture (`P5`): width, height and the brightest value in ASCII, then the dots.
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let mut rest = bytes.as_slice();
        let mut word = || -> Result<String> {
            let end = rest.iter().position(u8::is_ascii_whitespace).context("a header")?;
            let (word, after) = (rest[..end].to_vec(), &rest[end + 1..]);
            rest = after;
            Ok(String::from_utf8(word)?)
        };
        ensure!(word()? == "P5", "it is not a grey picture");
        let (width, height) = (word()?.parse()?, word()?.parse()?);
        ensure!(word()? == "255", "of other greys");
        ensure!(rest.len() == width * height, "{} dots for {width} by {height}", rest.len());
        Ok(Self { width, height, dots: rest.to_vec() })
    }

    /// The dots of ink that are so near to an edge.
    fn ink_within(&self, edge: usize) -> usize {
        let is_near = |at: usize, of: usize| at < edge || at + edge >= of;
        let near = |index: &usize| is_near(index % self.width, self.width) || is_near(index / self.width, self.height);
        (0..self.dots.len()).filter(near).filter(|index| self.dots[*index] < PAPER).count()
    }
}

#[test]
fn a_sheet_is_one_whole_page_and_a_camera_reads_its_code() -> Result<()> {
    if !has("/usr/bin/pdftoppm", "poppler-utils") || !has("/usr/bin/zbarimg", "zbar-tools") {
        return Ok(());
    }
    let scene = with_operator()?;
    let box_id = scene.hub.show(BOX)?["box_id"].as_str().context("an id")?.to_owned();
    for sheet in printed(&scene, "seen")? {
        let grey = sheet.rendered(&scene, "-gray")?;
        let picture = Picture::read(&grey)?;
        let (width, height) = sheet.size;
        let same = |is: usize, wanted: usize| is.abs_diff(wanted) <= 1;
        ensure!(
            same(picture.width, width) && same(picture.height, height),
            "{}: {} by {} dots",
            sheet.pdf.display(),
            picture.width,
            picture.height
        );
        ensure!(picture.ink_within(EDGE) == 0, "{}: ink within 5 mm of an edge", sheet.pdf.display());
        // The measure measures: there is ink a little further in.
        ensure!(picture.ink_within(EDGE * 5) > 0, "nothing is printed");
        for page in [grey, sheet.rendered(&scene, "-mono")?] {
            let read = run(&scene, "/usr/bin/zbarimg", &["--raw", "--quiet", &page.display().to_string()])?;
            let text = String::from_utf8(read.stdout)?;
            let lines: Vec<&str> = text.lines().collect();
            for line in [format!("box: {BOX}"), format!("id: {box_id}"), format!("hub: https://{}", scene.hub.agents())]
            {
                ensure!(lines.contains(&line.as_str()), "{}: no `{line}` in:\n{text}", page.display());
            }
            let check = lines.iter().find_map(|line| line.strip_prefix("check: ")).context("a check line")?;
            ensure!(check.len() == 19 && check.split('-').count() == 4, "{check}");
            ensure!(lines.contains(&"operator: Jürgen Weiß, Weiß IT"), "{text}");
        }
    }
    Ok(())
}

#[test]
fn a_sheets_text_is_whole_and_has_no_word_of_the_code() -> Result<()> {
    if !has("/usr/bin/pdftotext", "poppler-utils") {
        return Ok(());
    }
    let scene = with_operator()?;
    let firsts = printed(&scene, "first")?;
    // Another code of the same box: what its sheet says too, is no word of the first.
    let others = scene.box_1.ceremony(as_shown)?;
    for (sheet, second) in firsts.iter().zip(printed(&scene, "second")?) {
        let path = sheet.pdf.display();
        let text = sheet.text(&scene)?;
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let items = match sheet.language {
            "en" => ["Recovery sheet", "If the box is lost", "Nobody will ever ask you for these words.", "Check line"],
            _ => [
                "Wiederherstellungsblatt",
                "Wenn die Box verloren ist",
                "Niemand wird Sie je nach diesen Wörtern fragen.",
                "Prüfzeile",
            ],
        };
        for item in items.into_iter().chain([BOX, "Jürgen Weiß, Weiß IT", PHONE, "age -d root.age", "--kdf none"]) {
            ensure!(flat.contains(item), "{path}: `{item}` is not in:\n{text}");
        }
        // Ten lines to write on, and ten steps.
        for number in 1..=10 {
            let label = number.to_string();
            let found = flat.split(' ').filter(|word| word.trim_end_matches('.') == label).count();
            ensure!(found >= 2, "{path}: {number} stands there {found} times:\n{text}");
        }
        let (on_this, on_other) = (vocabulary(&text), vocabulary(&second.text(&scene)?));
        for (word, other) in scene.words.split(' ').zip(others.split(' ')) {
            ensure!(!on_this.contains(word) || on_other.contains(word), "{path}: `{word}`");
            ensure!(!on_other.contains(other) || on_this.contains(other), "{path}: `{other}`");
        }
    }
    Ok(())
}

/// The words of a sheet, hyphens being part of them.
fn vocabulary(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphabetic() && c != '-').map(str::to_owned).collect()
}
