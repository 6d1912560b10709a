//! The few shapes that pictures consist of, as SVG text.

use std::fmt::Write;

/// SVG elements, one after another; coordinates in pixels from the upper left corner.
#[derive(Default)]
pub struct Drawing(String);

/// Where a text stands relative to its point.
#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    /// A line; `style`: further attributes.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        let _ = writeln!(self.0, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {style}/>"#);
    }

    /// A line through many points, closed to an area where `style` fills it.
    pub fn path(&mut self, points: impl Iterator<Item = (f64, f64)>, style: &str) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(self.0, r#"<polyline points="{}" {style}/>"#, points.join(" "));
    }

    pub fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), style: &str) {
        let _ = writeln!(self.0, r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {style}/>"#);
    }

    /// A disc with a text that viewers show under the pointer.
    pub fn disc(&mut self, (x, y): (f64, f64), radius: f64, style: &str, title: &str) {
        let title = escaped(title);
        let _ = writeln!(
            self.0,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" {style}><title>{title}</title></circle>"#
        );
    }

    /// Text of `size` pixels.
    pub fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, style: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.0,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" {style}>{text}</text>"#
        );
    }

    /// Text that runs upwards, centred on its point.
    pub fn upward_text(&mut self, (x, y): (f64, f64), size: f64, text: &str) {
        let style = format!(r#"transform="rotate(-90 {x:.1} {y:.1})""#);
        self.text((x, y), size, Anchor::Middle, &style, text);
    }

    /// The whole file, on white.
    pub fn finish(self, width: f64, height: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"Helvetica, Arial, sans-serif\" fill=\"#222222\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.0
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Width of a text, pixels, within a tenth or so.
pub fn width(text: &str, size: f64) -> f64 {
    0.55 * size * text.chars().count() as f64
}
