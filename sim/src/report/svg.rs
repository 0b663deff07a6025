//! Plots as inline SVG over a numbered frame. No script, no network; colors are the page's, so
//! that a plot follows its light and dark dress.

use core::fmt::Write as _;

use crate::report::axis::Axis;
use crate::report::words::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;

/// Height of one horizontal bar with the space around it.
const BAR: f64 = 30.0;
/// Room for the names of bars.
const BAR_NAMES: f64 = 130.0;
/// Room for the numbers of bars.
const BAR_NUMBERS: f64 = 110.0;

/// A color of the page, apart from the others for color-blind eyes (Okabe and Ito).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Peers,
    Origin,
    Cache,
    First,
    Second,
    Third,
    Quiet,
}

impl Color {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Origin => "origin",
            Self::Cache => "cache",
            Self::First => "first",
            Self::Second => "second",
            Self::Third => "third",
            Self::Quiet => "quiet",
        }
    }
}

pub(super) type Points = Vec<(f64, f64)>;

/// A plot in the making.
pub(super) struct Plot {
    x: Axis,
    y: Axis,
    under: String,
    over: String,
    legend: Vec<(String, &'static str)>,
}

impl Plot {
    pub(super) const fn new(x: Axis, y: Axis) -> Self {
        Self {
            x,
            y,
            under: String::new(),
            over: String::new(),
            legend: Vec::new(),
        }
    }

    pub(super) fn line(&mut self, name: &str, color: Color, points: &[(f64, f64)]) {
        self.stroke(name, color, points, "");
    }

    pub(super) fn dashed(&mut self, name: &str, color: Color, points: &[(f64, f64)]) {
        self.stroke(name, color, points, " dash");
    }

    fn stroke(&mut self, name: &str, color: Color, points: &[(f64, f64)], more: &str) {
        let class = color.class();
        let points = self.points(points.iter().copied());
        let _ = write!(
            self.over,
            "<polyline class=\"s {class}{more}\" points=\"{points}\"/>"
        );
        self.key(name, class);
    }

    /// The area between two lines.
    pub(super) fn band(&mut self, color: Color, low: &[(f64, f64)], high: &[(f64, f64)]) {
        let edge = low.iter().chain(high.iter().rev()).copied();
        let points = self.points(edge);
        let class = color.class();
        let _ = write!(
            self.under,
            "<polygon class=\"f {class} band\" points=\"{points}\"/>"
        );
    }

    /// Layers on one another, the lowest first.
    pub(super) fn stack(&mut self, layers: &[(&str, Color, Points)]) {
        let count = layers.iter().map(|(_, _, points)| points.len()).max();
        let mut below = vec![0.0; count.unwrap_or_default()];
        for (name, color, points) in layers {
            let bottom = points.iter().zip(&below).map(|((x, _), base)| (*x, *base));
            let bottom: Points = bottom.collect();
            for (base, (_, y)) in below.iter_mut().zip(points) {
                *base += y;
            }
            let top = points.iter().zip(&below).map(|((x, _), base)| (*x, *base));
            let edge = self.points(top.chain(bottom.into_iter().rev()));
            let class = color.class();
            let _ = write!(
                self.over,
                "<polygon class=\"f {class} layer\" points=\"{edge}\"/>"
            );
            self.key(name, class);
        }
    }

    /// A time in which something was different.
    pub(super) fn shade(&mut self, from: f64, to: f64, name: &str) {
        let (left, right) = (self.x_of(from), self.x_of(to));
        let _ = write!(
            self.under,
            "<rect class=\"shade\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (right - left).max(1.5),
            HEIGHT - TOP - BOTTOM,
            escape(name)
        );
        self.key(name, "shade");
    }

    fn key(&mut self, name: &str, class: &'static str) {
        let known = |(known, with): &(String, &str)| known == name && *with == class;
        if !name.is_empty() && !self.legend.iter().any(known) {
            self.legend.push((name.to_owned(), class));
        }
    }

    fn points(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut text = String::new();
        for (x, y) in points {
            let _ = write!(text, "{:.1},{:.1} ", self.x_of(x), self.y_of(y));
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// The figure with its legend; `caption` says what one sees.
    pub(super) fn figure(self, caption: &str) -> String {
        let mut figure = "<figure>".to_owned();
        if self.legend.len() > 1 {
            figure.push_str("<p class=\"legend\">");
            for (name, class) in &self.legend {
                let _ = write!(
                    figure,
                    "<span><i class=\"{class}\"></i>{}</span>",
                    escape(name)
                );
            }
            figure.push_str("</p>");
        }
        let _ = write!(
            figure,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(caption)
        );
        figure.push_str(&self.under);
        self.frame(&mut figure);
        figure.push_str(&self.over);
        let _ = write!(
            figure,
            "</svg><figcaption>{}</figcaption></figure>",
            escape(caption)
        );
        figure
    }

    fn frame(&self, svg: &mut String) {
        let floor = HEIGHT - BOTTOM;
        for (value, label) in self.x.ticks() {
            let at = self.x_of(value);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{at:.1} {TOP}V{floor}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                floor + 16.0,
            );
        }
        for (value, label) in self.y.ticks() {
            let at = self.y_of(value);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
            );
        }
        let middle = (TOP + floor) / 2.0;
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{floor}H{}\"/><text class=\"t\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text class=\"t\" x=\"14\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {middle})\">{}</text>",
            WIDTH - RIGHT,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            escape(&self.x.title),
            escape(&self.y.title)
        );
    }
}

/// One horizontal bar.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    /// What is written behind it.
    pub(super) number: String,
    pub(super) color: Color,
}

/// Horizontal bars, as long as their values are of the largest.
pub(super) fn bars(bars: &[Bar], caption: &str) -> String {
    let height = BAR * bars.len() as f64 + 8.0;
    let largest = bars.iter().map(|bar| bar.value).fold(1e-12, f64::max);
    let room = WIDTH - BAR_NAMES - BAR_NUMBERS;
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(caption)
    );
    for (at, bar) in bars.iter().enumerate() {
        let top = 4.0 + BAR * at as f64;
        let length = room * (bar.value / largest).clamp(0.0, 1.0);
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect class=\"f {}\" x=\"{BAR_NAMES}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{}\"/><text class=\"t\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            BAR_NAMES - 8.0,
            top + BAR / 2.0 + 4.0,
            escape(&bar.name),
            bar.color.class(),
            top + 5.0,
            BAR - 10.0,
            BAR_NAMES + length + 8.0,
            top + BAR / 2.0 + 4.0,
            escape(&bar.number)
        );
    }
    let _ = write!(
        svg,
        "<path class=\"axis\" d=\"M{BAR_NAMES} 0V{height}\"/></svg><figcaption>{}</figcaption></figure>",
        escape(caption)
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_layers_stay_within_the_frame() {
        let mut plot = Plot::new(Axis::linear("x", 0.0, 10.0), Axis::linear("y", 0.0, 1.0));
        plot.line("a", Color::First, &[(-5.0, -1.0), (20.0, 7.0)]);
        let figure = plot.figure("a line");
        let points = figure.split("points=\"").nth(1).expect("a line");
        let points = points.split('"').next().expect("its end");
        assert_eq!(points, "58.0,254.0 534.0,14.0");
    }

    #[test]
    fn names_of_strangers_cannot_end_a_tag() {
        let bar = Bar {
            name: "<b>&\"".to_owned(),
            value: 1.0,
            number: "1".to_owned(),
            color: Color::First,
        };
        assert!(bars(&[bar], "bars").contains("&lt;b&gt;&amp;&quot;"));
    }
}
