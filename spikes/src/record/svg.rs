//! A recording as a picture that moves by itself in a browser: no script, no player, no font of its own.
//!
//! Each line of the screen is there once for each time that it looked so, and a rule of CSS says from
//! when to when it is seen. What is seen at the end needs no rule: a program that does not know CSS
//! animation shows the last screen.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::cast::{COLUMNS, Cast, ROWS};

/// The picture.
#[must_use]
pub(super) fn animated(cast: &Cast) -> String {
    let end = cast.length();
    let seen = Seen::of(cast, end);
    let (width, height) = (LEFT * 2.0 + f32::from(COLUMNS) * CELL, TOP + f32::from(ROWS) * LINE + LEFT);
    let title = escaped(&cast.title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>\n{STYLE}"
    );
    let whole = (end + HELD).as_secs_f64();
    let _ = writeln!(out, ".k{{animation:0s step-end infinite;animation-duration:{whole:.2}s}}");
    let percent = |at: &Duration| at.as_secs_f64() * 100.0 / whole;
    for (number, (from, to)) in seen.times.keys().enumerate() {
        let begins = if from.is_zero() { String::new() } else { format!("0%{{{HIDDEN}}}") };
        let ends = if *to <= end { format!("{:.3}%{{{HIDDEN}}}", percent(to)) } else { String::new() };
        let _ = writeln!(
            out,
            "@keyframes k{number}{{{begins}{:.3}%{{{SHOWN}}}{ends}}}.k{number}{{animation-name:k{number}}}",
            percent(from)
        );
    }
    let _ = write!(
        out,
        "</style>\n<rect class=\"w\" width=\"100%\" height=\"100%\" rx=\"9\"/>\n\
         <g class=\"b\"><circle cx=\"20\" cy=\"18\" r=\"5.5\"/><circle cx=\"38\" cy=\"18\" r=\"5.5\"/>\
         <circle cx=\"56\" cy=\"18\" r=\"5.5\"/></g>\n\
         <text class=\"h\" x=\"{:.0}\" y=\"22\">{title}</text>\n",
        width / 2.0
    );
    for (number, ((_, to), items)) in seen.times.iter().enumerate() {
        let class = if *to <= end { "k o" } else { "k" };
        let _ = writeln!(out, "<g class=\"{class} k{number}\">{}</g>", items.concat());
    }
    out.push_str("</svg>\n");
    out
}

/// What is seen from when to when.
struct Seen {
    times: BTreeMap<(Duration, Duration), Vec<String>>,
}

impl Seen {
    fn of(cast: &Cast, end: Duration) -> Self {
        let mut seen = Self { times: BTreeMap::new() };
        // One for each line, and the cursor.
        let mut now: Vec<(Duration, String)> = vec![(Duration::ZERO, String::new()); usize::from(ROWS) + 1];
        for (at, screen) in cast.screens() {
            let lines = (0..ROWS).map(|row| line(&screen, row)).chain([cursor(&screen)]);
            for (held, looks) in now.iter_mut().zip(lines) {
                if held.1 != looks {
                    seen.add((held.0, at), std::mem::replace(&mut held.1, looks));
                    held.0 = at;
                }
            }
        }
        // What is there at the end stays there.
        for (from, looks) in now {
            seen.add((from, end + HELD), looks);
        }
        seen
    }

    fn add(&mut self, (from, to): (Duration, Duration), looks: String) {
        if !looks.is_empty() && from < to {
            self.times.entry((from, to)).or_default().push(looks);
        }
    }
}

/// A line, as texts that look the same throughout.
fn line(screen: &vt100::Screen, row: u16) -> String {
    let mut out = String::new();
    let mut column = 0;
    while column < COLUMNS {
        let Some(look) = Look::at(screen, row, column) else {
            column += 1;
            continue;
        };
        let (mut text, mut end) = (String::new(), column);
        // Two blanks and more are a gap, unless they are coloured.
        while end < COLUMNS && Look::at(screen, row, end).is_some_and(|next| next == look) {
            text.push_str(screen.cell(row, end).map_or(" ", vt100::Cell::contents));
            end += 1;
            let gap = |at: u16| Look::at(screen, row, at).is_none();
            if !look.inverse
                && end + 1 < COLUMNS
                && gap(end)
                && !gap(end + 1)
                && Look::at(screen, row, end + 1) == Some(look)
            {
                text.push(' ');
                end += 1;
            }
        }
        look.write(&mut out, (row, column, end), &text);
        column = end;
    }
    out
}

fn cursor(screen: &vt100::Screen) -> String {
    let (row, column) = screen.cursor_position();
    if screen.hide_cursor() || column >= COLUMNS {
        return String::new();
    }
    let (x, y) = place(row, column);
    format!("<rect class=\"c\" x=\"{x:.1}\" y=\"{y:.0}\"/>")
}

/// The upper left corner of a cell.
fn place(row: u16, column: u16) -> (f32, f32) {
    (LEFT + f32::from(column) * CELL, TOP + f32::from(row) * LINE)
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    colour: Option<u8>,
    bold: bool,
    dim: bool,
    underline: bool,
    inverse: bool,
}

impl Look {
    /// Of a cell, if there is something to see in it.
    fn at(screen: &vt100::Screen, row: u16, column: u16) -> Option<Self> {
        let cell = screen.cell(row, column)?;
        let blank = cell.contents().trim().is_empty();
        let colour = match cell.fgcolor() {
            vt100::Color::Idx(index) if index < 16 => Some(index),
            _ => None,
        };
        let (bold, dim, underline, inverse) = (cell.bold(), cell.dim(), cell.underline(), cell.inverse());
        (!blank || inverse).then_some(Self { colour, bold, dim, underline, inverse })
    }

    fn write(self, out: &mut String, (row, column, end): (u16, u16, u16), text: &str) {
        let (x, y) = place(row, column);
        let wide = f32::from(end - column) * CELL;
        if self.inverse {
            let _ = write!(out, "<rect class=\"i\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{wide:.1}\" height=\"{LINE}\"/>");
        }
        if text.trim().is_empty() {
            return;
        }
        let marks = [(self.bold, 's'), (self.dim, 'd'), (self.underline, 'u'), (self.inverse, 'n')];
        let mut classes: Vec<String> =
            marks.into_iter().filter(|(is, _)| *is).map(|(_, class)| class.to_string()).collect();
        classes.extend(self.colour.filter(|_| !self.inverse).map(|index| format!("f{index}")));
        let class = if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) };
        // Stretched to its cells, whatever the font is.
        let _ = write!(
            out,
            "<text{class} x=\"{x:.1}\" y=\"{:.0}\" textLength=\"{wide:.1}\">{}</text>",
            y + BASE,
            escaped(text)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The last screen stands for so long before it begins again.
const HELD: Duration = Duration::from_secs(6);
/// A cell's width and height, and where letters stand in it.
const CELL: f32 = 8.4;
const LINE: f32 = 18.0;
const BASE: f32 = 13.0;
/// The margins.
const LEFT: f32 = 16.0;
const TOP: f32 = 42.0;
const HIDDEN: &str = "visibility:hidden";
const SHOWN: &str = "visibility:visible";
const STYLE: &str = "\
text{font:14px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace;fill:#d8dee6;white-space:pre}
.w{fill:#14181e}.b{fill:#3a424d}.c{fill:#d8dee6;opacity:.55;width:8.4px;height:17px}.i{fill:#d8dee6}
text.h{fill:#8b96a3;text-anchor:middle;font-size:13px}.s{font-weight:700}.d{opacity:.65}.u{text-decoration:underline}.n{fill:#14181e}
.f0{fill:#5b6673}.f1,.f9{fill:#ff7b72}.f2,.f10{fill:#7ee787}.f3,.f11{fill:#e3b341}.f4,.f12{fill:#79c0ff}.f5,.f13{fill:#d2a8ff}.f6,.f14{fill:#76e3ea}
.o{visibility:hidden}
@media (prefers-reduced-motion:reduce){.k{animation:none!important}}
";

#[cfg(test)]
mod tests {
    use super::{super::cast::Event, *};

    fn cast(events: &[(u64, &str)]) -> Cast {
        let event = |(at, text): &(u64, &str)| Event { at: Duration::from_millis(*at), text: (*text).into() };
        Cast { title: "a <title>".into(), events: events.iter().map(event).collect() }
    }

    #[test]
    fn each_line_is_seen_from_when_it_came_until_it_went() {
        let svg = animated(&cast(&[(0, "first"), (1000, "\r\nsecond"), (2000, "\x1b[H\x1b[Klast <&>")]));
        for text in ["first</text>", "second</text>", "last &lt;&amp;&gt;</text>", "a &lt;title&gt;"] {
            assert_eq!(svg.matches(text).count(), if text.starts_with('a') { 3 } else { 1 }, "{text}\n{svg}");
        }
        // Of eight seconds: gone after two, and hidden where nothing moves.
        let first = svg.lines().find(|line| line.contains("first</text>")).unwrap_or_default();
        let name = first.split("k o ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let rule = format!("@keyframes {name}{{0.000%{{visibility:visible}}25.000%{{visibility:hidden}}}}");
        assert!(svg.contains(&rule), "{rule}\n{svg}");
        let last = svg.lines().find(|line| line.contains("last ")).unwrap_or_default();
        assert!(!last.contains("k o"), "{last}");
    }

    #[test]
    fn a_text_keeps_to_its_cells_and_its_look() {
        let svg = animated(&cast(&[(0, "a b  c\x1b[1md\x1b[0;7m e \x1b[m"), (10, "\x1b[?25l")]));
        for text in [
            "<text x=\"16.0\" y=\"55\" textLength=\"25.2\">a b</text>",
            "<text x=\"58.0\" y=\"55\" textLength=\"8.4\">c</text>",
            "<text class=\"s\" x=\"66.4\" y=\"55\" textLength=\"8.4\">d</text>",
            "<rect class=\"i\" x=\"74.8\" y=\"42\" width=\"25.2\" height=\"18\"/>",
        ] {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
    }
}
