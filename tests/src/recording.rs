//! What was seen on a terminal, as a picture that plays: SVG, for documents.

use std::fmt::Write;
use std::time::Duration;

use crate::terminal::{ROWS, Screen};

/// Pixels of a character, and around all of them.
const CHARACTER: (usize, usize) = (8, 17);
const MARGIN: usize = 12;
/// How long the last screen stays.
const STAYS: Duration = Duration::from_secs(8);

/// Shows each screen from its time on, then begins anew.
pub fn svg(screens: &[(Duration, Screen)], columns: usize) -> String {
    let rows = screens.iter().map(|(_, screen)| screen.lines.len()).max().unwrap_or(ROWS);
    let (width, height) = (columns * CHARACTER.0 + 2 * MARGIN, rows * CHARACTER.1 + 2 * MARGIN);
    let end = screens.last().map_or(STAYS, |(at, _)| *at + STAYS).as_secs_f64();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" font-family=\"monospace\" \
         font-size=\"13\" fill=\"#d8dee9\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#1c2028\"/>\n"
    );
    let until = screens.iter().skip(1).map(|(at, _)| at.as_secs_f64()).chain([end]);
    for ((at, screen), until) in screens.iter().zip(until) {
        let (from, to) = (at.as_secs_f64() / end, until / end);
        // What has no time has no animation: it would never be seen.
        let shown = match screens.len() {
            1 => String::new(),
            _ => format!(
                "<animate attributeName=\"visibility\" calcMode=\"discrete\" dur=\"{end:.2}s\" repeatCount=\"indefinite\" \
                 values=\"hidden;visible;hidden\" keyTimes=\"0;{from:.4};{to:.4}\"/>"
            ),
        };
        let is_last = until == end;
        let first = if is_last { "visible" } else { "hidden" };
        let _ = writeln!(svg, "<g visibility=\"{first}\">{shown}");
        for (row, line) in screen.lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            let y = MARGIN + (row + 1) * CHARACTER.1 - 4;
            let (line, length) = (escaped(line), line.chars().count() * CHARACTER.0);
            let _ = writeln!(
                svg,
                "<text x=\"{MARGIN}\" y=\"{y}\" textLength=\"{length}\" xml:space=\"preserve\">{line}</text>"
            );
        }
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
