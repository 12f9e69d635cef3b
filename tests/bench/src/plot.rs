//! A cell as a picture: one bar for each arm, as SVG that GitHub shows in either colour scheme.

use std::fmt::Write as _;

use crate::report::short;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// What it stands for.
    pub(crate) label: String,
    /// Its length.
    pub(crate) value: f64,
    /// Least and most of the runs.
    pub(crate) range: (f64, f64),
}

const WIDTH: f64 = 760.0;
const LABELS: f64 = 270.0;
const FIGURES: f64 = 90.0;
const ROW: f64 = 30.0;
const TOP: f64 = 40.0;

/// Bars over a common scale that ends at the longest of them, or at `ceiling`, which is drawn as a line.
pub(crate) fn bars(title: &str, bars: &[Bar], ceiling: Option<f64>) -> String {
    let most = bars.iter().map(|bar| bar.range.1.max(bar.value)).chain(ceiling).fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - FIGURES) / most;
    let height = TOP + ROW * bars.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #57606a }} .penstock {{ fill: #1f883d }} .other {{ fill: #8c959f }} .line {{ stroke: #57606a }}</style>\n\
         <text x=\"0\" y=\"18\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let class = if bar.label.contains("Penstock") { "penstock" } else { "other" };
        let (length, middle) = (bar.value * scale, y + ROW / 2.0 - 2.0);
        let (least, most) = (LABELS + bar.range.0 * scale, LABELS + bar.range.1 * scale);
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect class=\"{class}\" x=\"{LABELS}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{:.0}\" rx=\"2\"/>\n\
             <line class=\"line\" x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            LABELS - 8.0,
            middle + 4.0,
            bar.label,
            ROW - 8.0,
            most.max(LABELS + length) + 6.0,
            middle + 4.0,
            short(bar.value)
        );
    }
    if let Some(ceiling) = ceiling {
        let x = LABELS + ceiling * scale;
        let _ = writeln!(
            svg,
            "<line class=\"line\" stroke-dasharray=\"4 3\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{height:.0}\"/>",
            TOP - 8.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_ends_where_the_figures_begin() {
        let bar = |label: &str, value: f64| Bar { label: label.to_owned(), value, range: (value, value) };
        let svg = bars("records/s", &[bar("Penstock", 50.0), bar("raw", 100.0)], None);
        assert!(svg.contains("class=\"penstock\" x=\"270\" y=\"40\" width=\"200.0\""), "{svg}");
        assert!(svg.contains("class=\"other\" x=\"270\" y=\"70\" width=\"400.0\""), "{svg}");
    }
}
