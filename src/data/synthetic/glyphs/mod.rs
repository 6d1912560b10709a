//! Strokes of the digits and of the letters A to J, several styles each.
//!
//! A glyph fills the unit square, x to the right, y down. A curve passes through its points; a line joins them.

mod digits;
mod letters;

pub(super) use digits::DIGITS;
pub(super) use letters::LETTERS;

/// One pen stroke.
pub(super) struct Stroke {
    /// Catmull-Rom spline through the points, else straight segments.
    pub(super) smooth: bool,
    pub(super) points: &'static [[f32; 2]],
}

/// The strokes of one style of one class.
pub(super) type Glyph = &'static [Stroke];

const fn curve(points: &'static [[f32; 2]]) -> Stroke {
    Stroke { smooth: true, points }
}

const fn line(points: &'static [[f32; 2]]) -> Stroke {
    Stroke { smooth: false, points }
}
