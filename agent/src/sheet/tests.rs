//! The sheet as it comes out: what is on it, where, and that it is always one page.

use std::{fs, path::Path, process::Command};

use super::{
    facts::{
        Facts,
        tests::{of, usual, with_kit},
    },
    font,
    language::sentences,
    layout,
    page::{Item, Page, Paper},
    qr::{self, Squares},
    *,
};

type Tested = Result<(), Box<dyn std::error::Error>>;

const PAPERS: [Paper; 2] = [Paper::A4, Paper::Letter];
/// None of them stands in a sentence of the sheet.
const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";

/// Sheets of all sorts: usual, empty, long, hostile.
fn sorts() -> Vec<(&'static str, Facts)> {
    let long = "Elektroanlagenbau-Großhandelsgesellschaft Unterpfaffenhofen-Germering ".repeat(3);
    let host = format!("{}.example", ["a-rather-long-label-of-a-host-name"; 7].join("."));
    let hostile = "\u{202e}\u{1b}[2J\u{7}) Tj ET (\\) <</JS(app.alert(1))>> ".repeat(6);
    vec![
        ("usual", usual()),
        ("kit", with_kit()),
        ("long kit", Facts { hub: None, ..of(&long, &host, Some(&long), Some(&"+49 89 1234567 ".repeat(20)), 40) }),
        ("empty", of("x", "h", None, None, 1)),
        ("long", of(&long, &host, Some(&long), Some(&"+49 89 1234567 ".repeat(20)), 40)),
        ("solid", of(&"W".repeat(200), "[2001:db8::1]:65535", Some(&"M".repeat(200)), Some(&"0".repeat(200)), 2)),
        ("hostile", of(&hostile, "hub.example", Some(&hostile), Some(&hostile), 1)),
        ("foreign", of("Пекарня パン屋 مخبز", "xn--80ak6aa92e.example", Some("Łódź İşletme"), Some("١٢٣"), 1)),
        ("umlauts", of("Bäckerei Größe & Söhne", "hub.example", Some("Jürgen Weiß, Übersee-EDV"), None, 3)),
    ]
}

fn page_of(facts: &Facts, paper: Paper, language: Language) -> Result<Page, Box<dyn std::error::Error>> {
    Ok(layout::page(facts, sentences(language), &Squares::of(&qr::text(facts))?, paper))
}

fn pdf_of(facts: &Facts, paper: Paper, language: Language) -> Outcome<Vec<u8>> {
    made(facts, Kind::Pdf, paper, language, Charset::Utf8)
}

fn every(mut look: impl FnMut(&str, &Facts, Paper, Language) -> Tested) -> Tested {
    for (name, facts) in sorts() {
        for paper in PAPERS {
            for language in Language::ALL {
                look(name, &facts, paper, language)
                    .map_err(|error| format!("{name} {paper:?} {language:?}: {error}"))?;
            }
        }
    }
    Ok(())
}

/// The texts of a page in the order in which they were put there, one a line, as its PDF has them.
fn shown(pdf: &[u8]) -> String {
    // Ours are not compressed: a text is (…) or <…> before Tj.
    let mut text = String::new();
    for line in pdf.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b" Tj")) {
        let bytes = match line {
            [b'(', inner @ .., b')'] => unescaped(inner),
            [b'<', inner @ .., b'>'] => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
                inner.chunks(2).map(|pair| digit(pair[0]) << 4 | pair.get(1).map_or(0, |low| digit(*low))).collect()
            }
            _ => panic!("another form of text: {}", String::from_utf8_lossy(line)),
        };
        text.extend(bytes.into_iter().map(|byte| {
            (' '..='\u{2fff}').find(|c| font::byte(*c) == Some(byte)).unwrap_or_else(|| panic!("byte {byte}"))
        }));
        text.push('\n');
    }
    text
}

fn unescaped(inner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = inner.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.extend(rest.next()),
            _ => bytes.push(*byte),
        }
    }
    bytes
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All that a sheet must say, of which the PDF has its own form for nothing but hand-written lines.
fn required(facts: &Facts, language: Language) -> Vec<String> {
    let said = sentences(language);
    let way = said.way(facts);
    let mut required: Vec<String> =
        way.steps.iter().chain(&said.stock_notes).chain(&stock::LINES).map(|t| (*t).into()).collect();
    let plain = [
        said.title,
        said.operator,
        said.phone,
        said.words,
        said.by_hand,
        said.what_to_do,
        said.facts,
        said.box_id,
        way.origin,
        said.check_line,
        said.keys,
        said.stock,
        said.stock_how,
        way.bundle,
        way.keep,
        said.never_at_length,
    ];
    required.extend(plain.map(String::from));
    required.extend([
        facts.box_name.clone(),
        facts.box_id.to_string(),
        facts.origin().to_owned(),
        facts.check_line.clone(),
        (said.code)(facts.code_number.get()),
        (said.date)(facts.date),
    ]);
    required.extend(facts.operator.clone().into_iter().chain(facts.phone.clone()));
    required.extend(facts.keys.iter().map(ToString::to_string));
    required.retain(|text| !text.is_empty());
    required
}

#[test]
fn s73_every_item_is_on_the_sheet_and_that_nobody_will_ever_ask() -> Tested {
    every(|name, facts, paper, language| {
        let pdf = pdf_of(facts, paper, language).map_err(|stop| stop.what)?;
        let pdf_shows = in_one_line(&shown(&pdf));
        let said = sentences(language);
        assert!(pdf_shows.contains(said.never));
        for charset in [Charset::Utf8, Charset::Ascii] {
            let text = made(facts, Kind::Text, paper, language, charset).map_err(|stop| stop.what)?;
            let text = String::from_utf8(text)?;
            let flat = in_one_line(&text);
            assert!(flat.contains(&charset.fit(&said.never.to_uppercase())));
            // What is long is cut or broken there; the usual ones show it whole.
            for item in
                required(facts, language).iter().filter(|_| ["usual", "kit", "umlauts", "empty"].contains(&name))
            {
                assert!(flat.contains(&in_one_line(&charset.fit(item))), "{item} is not in:\n{text}");
                assert!(pdf_shows.contains(&in_one_line(item)), "{item} is not in:\n{pdf_shows}");
            }
        }
        Ok(())
    })
}

/// Where an item is: left, top, right, bottom.
fn extent(item: &Item) -> (f32, f32, f32, f32) {
    match item {
        Item::Text { x, y, face, size, text } => (*x, y - size * 0.75, x + face.width(text, *size), y + size * 0.2),
        Item::Fill { x, y, width, height } => (*x, *y, x + width, y + height),
    }
}

#[test]
fn nothing_leaves_the_page_or_lies_on_something_else() -> Tested {
    every(|_, facts, paper, language| {
        let page = page_of(facts, paper, language)?;
        let (width, height) = paper.size();
        // Printers leave 6 mm white at worst.
        let edge = 6.0 * page::MM;
        for item in &page.items {
            let (left, top, right, bottom) = extent(item);
            let is_inside = left >= edge && top >= edge && right <= width - edge && bottom <= height - edge;
            assert!(is_inside, "{item:?} is not on the page");
        }
        let (texts, fills): (Vec<&Item>, Vec<&Item>) =
            page.items.iter().partition(|item| matches!(item, Item::Text { .. }));
        for (place, item) in texts.iter().enumerate() {
            // Squares touch each other, and a frame's sides meet; texts touch nothing.
            for other in texts[place + 1..].iter().chain(&fills) {
                let (a, b) = (extent(item), extent(other));
                let apart = a.2 <= b.0 + 0.01 || b.2 <= a.0 + 0.01 || a.3 <= b.1 + 0.01 || b.3 <= a.1 + 0.01;
                assert!(apart, "{item:?} and {other:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn what_is_typed_off_the_sheet_is_large_and_nothing_crowds_the_warning() -> Tested {
    every(|_, facts, paper, language| {
        let page = page_of(facts, paper, language)?;
        let said = sentences(language);
        let mut heading = None;
        for item in &page.items {
            let Item::Text { face, size, text, .. } = item else { continue };
            assert!(*size >= 8.0, "{item:?} is too small to read");
            let least = match text.as_str() {
                text if stock::LINES.contains(&text) => 8.5,
                text if text == facts.check_line => 11.0,
                text if text == said.what_to_do => {
                    heading = Some(extent(item).1);
                    continue;
                }
                _ => continue,
            };
            // In Helvetica, 0 looks like O and 1 like l.
            assert!(*face == font::Face::Mono && *size >= least, "{item:?} is hard to type from");
        }
        let heading = heading.ok_or("no heading")?;
        let edge = page.items.iter().filter(|item| matches!(item, Item::Fill { .. })).map(extent);
        let box_ends = edge.map(|(.., bottom)| bottom).filter(|bottom| *bottom <= heading).fold(0.0, f32::max);
        assert!(heading - box_ends >= 6.0, "{} points below the box", heading - box_ends);
        Ok(())
    })
}

#[test]
fn a_box_without_a_hub_is_told_of_its_kit_and_of_no_operator() {
    let facts = with_kit();
    for (language, operators) in [
        (Language::English, ["call again", "ticket", "Hub"]),
        (Language::German, ["noch einmal anrufen", "Ticket", "Hub"]),
    ] {
        for charset in [Charset::Utf8, Charset::Ascii] {
            let text = in_one_line(&plain::write(&facts, sentences(language), charset));
            assert!(text.matches("tenwords-agent recover --kit FILE").count() >= 2, "{text}");
            assert!(operators.iter().all(|mark| !text.contains(mark)), "{text}");
        }
        let way = sentences(language).way(&facts);
        assert!(way.steps.iter().any(|step| step.contains(facts.origin())));
        assert!(!sentences(language).way(&usual()).steps.iter().any(|step| step.contains("--kit")));
    }
}

/// A note may speak of the next command too, and of no more.
#[test]
fn no_two_commands_in_a_row_are_without_a_note() {
    for language in Language::ALL {
        let notes = sentences(language).stock_notes;
        assert!(!notes[0].is_empty(), "{language:?}");
        assert!(notes.windows(2).all(|pair| pair.iter().any(|note| !note.is_empty())), "{language:?}: {notes:?}");
    }
}

#[test]
fn there_are_ten_numbered_lines_to_write_on_nine_millimetres_apart() -> Tested {
    every(|_, facts, paper, language| {
        let page = page_of(facts, paper, language)?;
        let mut lines: Vec<(f32, f32, f32)> = page
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Fill { x, y, width, height } if (*height - blocks::WRITING).abs() < 0.01 => {
                    Some((*x, *y, *width))
                }
                _ => None,
            })
            .collect();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|(_, _, width)| *width >= 60.0 * page::MM), "too short to write on");
        lines.sort_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).unwrap_or(std::cmp::Ordering::Equal));
        for column in lines.chunks(5) {
            assert!(column.windows(2).all(|pair| pair[1].1 - pair[0].1 >= 9.0 * page::MM), "{column:?}");
        }
        for (place, (x, y, _)) in lines.iter().enumerate() {
            let number = (place + 1).to_string();
            let stands = page.items.iter().any(|item| {
                matches!(item, Item::Text { x: at, y: line, text, .. } if *text == number && at < x && (line - y).abs() < 2.0)
            });
            assert!(stands, "no {number} before its line");
        }
        let text = made(facts, Kind::Text, paper, language, Charset::Ascii).map_err(|stop| stop.what)?;
        let text = String::from_utf8(text)?;
        for number in 1..=10 {
            assert!(text.contains(&format!("{number:>2}. {}", "_".repeat(32))), "no line {number}:\n{text}");
        }
        Ok(())
    })
}

#[test]
fn the_plain_text_has_80_columns_fits_one_page_and_can_be_ascii() -> Tested {
    every(|name, facts, paper, language| {
        for charset in [Charset::Utf8, Charset::Ascii] {
            let text = made(facts, Kind::Text, paper, language, charset).map_err(|stop| stop.what)?;
            let text = String::from_utf8(text)?;
            assert!(text.ends_with('\n') && text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
            assert!(text.is_ascii() || charset == Charset::Utf8, "{text}");
            assert!(name != "usual" || text.lines().count() <= 92, "{} lines", text.lines().count());
        }
        Ok(())
    })
}

#[test]
fn the_same_facts_are_the_same_bytes_and_one_page() -> Tested {
    every(|_, facts, paper, language| {
        let pdf = pdf_of(facts, paper, language).map_err(|stop| stop.what)?;
        assert_eq!(pdf, pdf_of(&facts.clone(), paper, language).map_err(|stop| stop.what)?);
        let whole = String::from_utf8_lossy(&pdf);
        let count = |what: &str| whole.matches(what).count();
        assert_eq!((count("/Type /Page\n"), count("/Count 1\n"), count("/MediaBox")), (1, 1, 1));
        // A name's text may say so; the file's structure may not.
        let structure: Vec<String> = pdf
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.ends_with(b" Tj") && !line.contains(&b'('))
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let structure = structure.join("\n");
        for active in ["/JS", "/JavaScript", "/OpenAction", "/AA", "/URI", "/Launch", "/EmbeddedFile", "/Annots"] {
            assert!(!structure.contains(active), "{active}");
        }
        Ok(())
    })
}

#[test]
fn no_word_is_on_a_sheet() -> Tested {
    every(|_, facts, paper, language| {
        let pdf = pdf_of(facts, paper, language).map_err(|stop| stop.what)?;
        let text = made(facts, Kind::Text, paper, language, Charset::Utf8).map_err(|stop| stop.what)?;
        let places =
            [String::from_utf8_lossy(&pdf).into_owned(), String::from_utf8(text)?, shown(&pdf), qr::text(facts)];
        let places = places.map(|place| place.to_lowercase());
        for word in CODE.split(' ') {
            assert!(places.iter().all(|place| !place.contains(word)), "{word} is on the sheet");
        }
        Ok(())
    })
}

/// The room that makes sheets names nothing that could carry a word to it.
#[test]
fn nothing_here_names_the_type_of_a_code() -> Tested {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sheet");
    let mut seen = 0;
    for file in [fs::read_dir(&folder)?, fs::read_dir(folder.join("language"))?].into_iter().flatten() {
        let path = file?.path();
        if path.is_dir() || path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        for mark in ["RecoveryCode", "expose_", "tenwords_escrow", "crate::words", "crate::editor"] {
            assert!(!text.contains(mark), "{} names {mark}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 13, "only {seen} files were looked at");
    Ok(())
}

#[test]
fn the_qr_code_says_the_facts_as_a_camera_reads_it() -> Tested {
    for (name, facts) in sorts() {
        // Painted as the page has it, eight dots to a millimetre, which is a printer of 200 dpi; from this
        // corner of it, with what else stands there, only the fills of the code.
        let page = page_of(&facts, Paper::Letter, Language::German)?;
        let (width, height) = Paper::Letter.size();
        let scale = 8.0 / page::MM;
        let corner = (width - 19.0 * page::MM - blocks::QR - 14.0, height * 0.55);
        let (columns, rows) = (pixels((width - corner.0) * scale), pixels(height * 0.3 * scale));
        let mut dark = vec![false; columns * rows];
        for item in &page.items {
            let Item::Fill { x, y, width, height } = item else { continue };
            let (x, y) = (x - corner.0, y - corner.1);
            for row in pixels(y * scale)..pixels((y + height) * scale).min(rows) {
                let from = row * columns;
                dark[from + pixels(x * scale)..from + pixels((x + width) * scale)].fill(x >= 0.0 && y >= 0.0);
            }
        }
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(
                columns,
                rows,
                |x, y| {
                    if dark[y * columns + x] { 0 } else { 255 }
                },
            );
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "{name}");
        let (_, said) = grids[0].decode()?;
        assert_eq!(said, qr::text(&facts));
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places on a page")]
fn pixels(length: f32) -> usize {
    length.round() as usize
}

#[test]
fn stock_readers_see_one_page_with_every_item_and_the_code() -> Tested {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sheet.pdf");
    let each = Language::ALL.into_iter().flat_map(|language| [(usual(), language), (with_kit(), language)]);
    for (facts, language) in each {
        fs::write(&path, pdf_of(&facts, Paper::A4, language).map_err(|stop| stop.what)?)?;
        let file = path.display().to_string();
        if let Some(text) = said_by("pdftotext", &["-enc", "UTF-8", "-raw", &file, "-"])? {
            assert_eq!(text.matches('\u{c}').count(), 1, "one page");
            let flat = in_one_line(&text);
            for item in required(&facts, language) {
                assert!(flat.contains(&in_one_line(&item)), "pdftotext does not show {item}:\n{text}");
            }
        }
        let picture = folder.path().join("sheet");
        let drawn = said_by("pdftoppm", &["-r", "150", "-gray", "-singlefile", &file, &picture.display().to_string()])?;
        let picture = picture.with_extension("pgm").display().to_string();
        if drawn.is_some()
            && let Some(text) = said_by("zbarimg", &["--quiet", "--raw", &picture])?
        {
            assert_eq!(text.trim_end(), qr::text(&facts));
        }
    }
    Ok(())
}

/// What a program prints; nothing where it is not installed.
#[expect(clippy::disallowed_methods, reason = "readers of PDF and of QR codes, which are not ours")]
fn said_by(program: &str, arguments: &[&str]) -> Result<Option<String>, Box<dyn std::error::Error>> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(Some(String::from_utf8(output.stdout)?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("SKIPPED: there is no {program} here");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

#[test]
fn an_unknown_kind_of_file_is_refused_and_a_known_one_never_replaced_unasked() -> Tested {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a sheet.TXT");
    let look = || Look { paper: Paper::A4, language: Some(Language::German), ascii: true };
    for other in ["sheet", "sheet.doc", "", "-", ".pdf"] {
        assert!(Kind::of(Path::new(other)).is_err_and(|stop| stop.code == Code::Usage), "{other}");
    }
    let kind = Kind::of(&path).map_err(|stop| stop.what)?;
    let written = put(&usual(), &path, kind, &look(), durable::create).map_err(|stop| stop.what)?;
    assert_eq!(written.file, path);
    let first = fs::read(&path)?;
    assert!(first.is_ascii());
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path)?.permissions()) & 0o777, 0o644);

    let other = of("another", "h", None, None, 1);
    let refused = put(&other, &path, kind, &look(), durable::create).err().ok_or("it was replaced")?;
    assert_eq!((refused.code, fs::read(&path)? == first), (Code::Usage, true));
    assert!(refused.remedy.is_some_and(|remedy| remedy.contains("--force")));
    put(&other, &path, kind, &look(), durable::replace).map_err(|stop| stop.what)?;
    assert!(fs::read(&path)? != first);
    Ok(())
}
