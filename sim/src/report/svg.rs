//! Plots as inline SVG: lines and stacked areas over a numbered frame. No script, no network.

use core::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;

/// Colors that stay apart for color-blind eyes (Okabe and Ito).
pub(super) const COLORS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7",
];

/// One line, or one layer.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) color: &'static str,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) opacity: f64,
}

/// How an axis is divided.
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) log: bool,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let (from, to, value) = if self.log {
            (
                libm::log10(self.from),
                libm::log10(self.to),
                libm::log10(value.max(self.from)),
            )
        } else {
            (self.from, self.to, value)
        };
        ((value - from) / (to - from).max(1e-12)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let mut ticks = Vec::new();
            let mut decade = libm::pow(10.0, libm::floor(libm::log10(self.from)));
            while decade <= self.to {
                ticks.extend(
                    [1.0, 3.0]
                        .map(|m| m * decade)
                        .into_iter()
                        .filter(|t| *t >= self.from && *t <= self.to),
                );
                decade *= 10.0;
            }
            return ticks;
        }
        let raw = (self.to - self.from) / 5.0;
        let magnitude = libm::pow(10.0, libm::floor(libm::log10(raw.max(1e-12))));
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * magnitude)
            .into_iter()
            .find(|step| *step >= raw);
        let step = step.unwrap_or(raw).max(1e-12);
        let first = libm::ceil(self.from / step) as i64;
        (first..first + 12)
            .map(|n| n as f64 * step)
            .filter(|tick| *tick <= self.to * 1.000_001)
            .collect()
    }
}

fn x_of(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn y_of(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
}

/// Lines in one frame.
pub(super) fn lines(x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut svg = open(x, y);
    for line in lines {
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" opacity=\"{}\" points=\"",
            line.color, line.opacity
        );
        for (px, py) in &line.points {
            let _ = write!(svg, "{:.1},{:.1} ", x_of(x, *px), y_of(y, *py));
        }
        svg.push_str("\"/>");
    }
    close(svg, lines)
}

/// Layers stacked on one another.
pub(super) fn stack(x: &Axis, y: &Axis, layers: &[Line]) -> String {
    let mut svg = open(x, y);
    let count = layers
        .iter()
        .map(|layer| layer.points.len())
        .max()
        .unwrap_or_default();
    let mut below = vec![0.0; count];
    for layer in layers {
        let _ = write!(
            svg,
            "<polygon fill=\"{}\" opacity=\"0.85\" points=\"",
            layer.color
        );
        for ((px, py), base) in layer.points.iter().zip(&below) {
            let _ = write!(svg, "{:.1},{:.1} ", x_of(x, *px), y_of(y, base + py));
        }
        for ((px, _), base) in layer.points.iter().zip(&below).rev() {
            let _ = write!(svg, "{:.1},{:.1} ", x_of(x, *px), y_of(y, *base));
        }
        svg.push_str("\"/>");
        for (base, (_, py)) in below.iter_mut().zip(&layer.points) {
            *base += py;
        }
    }
    close(svg, layers)
}

fn open(x: &Axis, y: &Axis) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in x.ticks() {
        let at = x_of(x, tick);
        let _ = write!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{}\" class=\"grid\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 15.0,
            short(tick)
        );
    }
    for tick in y.ticks() {
        let at = y_of(y, tick);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text x=\"14\" y=\"{}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {})\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        x.title,
        (TOP + HEIGHT - BOTTOM) / 2.0,
        (TOP + HEIGHT - BOTTOM) / 2.0,
        y.title
    );
    svg
}

/// The legend, unless there is only one name.
fn close(mut svg: String, lines: &[Line]) -> String {
    svg.push_str("</svg>");
    let mut named: Vec<(&str, &str)> = Vec::new();
    for line in lines {
        if !named.iter().any(|(name, _)| *name == line.name) {
            named.push((&line.name, line.color));
        }
    }
    if named.len() > 1 {
        svg.push_str("<p class=\"legend\">");
        for (name, color) in named {
            let _ = write!(
                svg,
                "<span><i style=\"background:{color}\"></i>{name}</span>"
            );
        }
        svg.push_str("</p>");
    }
    svg
}

/// A number for an axis.
pub(super) fn short(value: f64) -> String {
    let magnitude = value.abs();
    let (scaled, unit) = match magnitude {
        m if m >= 1e9 => (value / 1e9, "G"),
        m if m >= 1e6 => (value / 1e6, "M"),
        m if m >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let rounded = libm::round(scaled * 100.0) / 100.0;
    format!("{rounded}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_lie_within_the_axis_and_are_round() {
        let axis = Axis {
            title: "",
            from: 0.0,
            to: 73.0,
            log: false,
        };
        assert_eq!(axis.ticks(), [0.0, 20.0, 40.0, 60.0]);
        let axis = Axis {
            title: "",
            from: 5.0,
            to: 200.0,
            log: true,
        };
        assert_eq!(axis.ticks(), [10.0, 30.0, 100.0]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [short(0.25), short(1_500.0), short(2.5e6)],
            ["0.25", "1500", "2.5M"]
        );
    }
}
