//! Draws one glyph: strokes with a random pen, clutter, blur, noise.

use super::SIDE;
use super::draws::Draws;
use super::glyphs::{Glyph, Stroke};
use super::warp::Warp;

/// Segments per span between two points of a stroke.
const SUBDIVISIONS: usize = 6;
/// Standard deviation of a stroke point's own displacement, as a fraction of the glyph's box.
const JITTER: f32 = 0.028;
/// Half the stroke width, pixels.
const RADIUS: [f32; 2] = [0.7, 1.7];
/// Width of the stroke's soft edge, pixels.
const EDGE: [f32; 2] = [0.7, 1.5];
/// Relative change of the radius along a stroke.
const PRESSURE: f32 = 0.35;
/// Intensity of the strokes, 1 is white.
const INTENSITY: [f32; 2] = [0.6, 1.0];
/// Most clutter strokes, and their intensity relative to the glyph's.
const CLUTTER: usize = 2;
const CLUTTER_INTENSITY: [f32; 2] = [0.2, 0.7];
/// Largest standard deviation of the pixel noise.
const NOISE: f32 = 0.07;

type Canvas = [f32; SIDE * SIDE];

/// A round pen.
#[derive(Clone, Copy)]
struct Pen {
    radius: f32,
    edge: f32,
    /// Radius at the end of a stroke relative to its start, minus one.
    pressure: f32,
}

impl Pen {
    fn random(draws: &mut Draws) -> Self {
        Self {
            radius: draws.between(RADIUS[0], RADIUS[1]),
            edge: draws.between(EDGE[0], EDGE[1]),
            pressure: draws.between(-PRESSURE, PRESSURE),
        }
    }
}

/// Renders one random style of a class into `image` [SIDE, SIDE].
pub(super) fn glyph(styles: &[Glyph], draws: &mut Draws, image: &mut [u8]) {
    let style = styles[draws.below(styles.len())];
    let warp = Warp::random(draws);
    let pen = Pen::random(draws);
    let mut canvas = [0.0; SIDE * SIDE];
    for stroke in style {
        let path = flatten(stroke, draws);
        let pixels: Vec<[f32; 2]> = path.into_iter().map(|point| warp.apply(point)).collect();
        draw(&mut canvas, &pixels, pen, 1.0);
    }
    let blur = 0.5 * draws.uniform();
    let canvas = blurred(&canvas, blur);
    let mut canvas = canvas;
    for _ in 0..draws.below(CLUTTER + 1) {
        clutter(&mut canvas, draws);
    }
    quantise(&canvas, draws, image);
}

/// Polyline of a stroke with jittered points, in the unit square.
fn flatten(stroke: &Stroke, draws: &mut Draws) -> Vec<[f32; 2]> {
    let points: Vec<[f32; 2]> = stroke
        .points
        .iter()
        .map(|point| [point[0] + JITTER * draws.bell(), point[1] + JITTER * draws.bell()])
        .collect();
    let last = points.len() - 1;
    let closed = stroke.points[0] == stroke.points[last];
    let mut path = vec![points[0]];
    for span in 0..last {
        let before = if span > 0 {
            span - 1
        } else if closed {
            last - 1
        } else {
            0
        };
        let after = if span + 1 < last {
            span + 2
        } else if closed {
            1
        } else {
            last
        };
        let corners = [points[before], points[span], points[span + 1], points[after]];
        for step in 1..=SUBDIVISIONS {
            let t = step as f32 / SUBDIVISIONS as f32;
            path.push(if stroke.smooth { catmull_rom(corners, t) } else { between(corners[1], corners[2], t) });
        }
    }
    path
}

/// Catmull-Rom spline between the second and third point.
fn catmull_rom([a, b, c, d]: [[f32; 2]; 4], t: f32) -> [f32; 2] {
    std::array::from_fn(|axis| {
        let (a, b, c, d) = (a[axis], b[axis], c[axis], d[axis]);
        let (linear, square, cubic) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * (b - c) + d - a);
        b + 0.5 * t * (linear + t * (square + t * cubic))
    })
}

/// Point at fraction `t` of the segment.
fn between(start: [f32; 2], end: [f32; 2], t: f32) -> [f32; 2] {
    [start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])]
}

/// Draws a polyline given in pixels; where strokes overlap the stronger one shows.
fn draw(canvas: &mut Canvas, path: &[[f32; 2]], pen: Pen, intensity: f32) {
    let count = path.len().max(2) - 1;
    for (i, ends) in path.windows(2).enumerate() {
        let along = (i as f32 + 0.5) / count as f32;
        let radius = pen.radius * (1.0 + pen.pressure * along);
        segment(canvas, ends[0], ends[1], Pen { radius, ..pen }, intensity);
    }
}

/// Draws one segment: coverage falls smoothly with the distance of the pixel's centre.
fn segment(canvas: &mut Canvas, start: [f32; 2], end: [f32; 2], pen: Pen, intensity: f32) {
    let reach = pen.radius + 0.5 * pen.edge;
    let columns = pixel_range(start[0].min(end[0]) - reach, start[0].max(end[0]) + reach);
    let rows = pixel_range(start[1].min(end[1]) - reach, start[1].max(end[1]) + reach);
    let (dx, dy) = (end[0] - start[0], end[1] - start[1]);
    let length = (dx * dx + dy * dy).max(1e-12);
    for row in rows {
        for column in columns.clone() {
            let (x, y) = (column as f32 + 0.5 - start[0], row as f32 + 0.5 - start[1]);
            let t = ((x * dx + y * dy) / length).clamp(0.0, 1.0);
            let (x, y) = (x - t * dx, y - t * dy);
            let distance = (x * x + y * y).sqrt();
            let cover = ((pen.radius - distance) / pen.edge + 0.5).clamp(0.0, 1.0);
            let value = intensity * cover * cover * (3.0 - 2.0 * cover);
            let pixel = &mut canvas[row * SIDE + column];
            *pixel = pixel.max(value);
        }
    }
}

/// Pixels whose centre may lie in [low, high], cut to the image.
fn pixel_range(low: f32, high: f32) -> std::ops::Range<usize> {
    let side = SIDE as f32;
    let first = (low - 0.5).clamp(0.0, side) as usize;
    let end = (high + 0.5).clamp(0.0, side) as usize;
    first..end
}

/// A short faint stroke anywhere.
fn clutter(canvas: &mut Canvas, draws: &mut Draws) {
    let side = SIDE as f32;
    let start = [draws.between(0.0, side), draws.between(0.0, side)];
    let end = [start[0] + 4.0 * draws.bell(), start[1] + 4.0 * draws.bell()];
    let pen = Pen { radius: draws.between(0.4, 1.0), edge: 1.0, pressure: 0.0 };
    segment(canvas, start, end, pen, draws.between(CLUTTER_INTENSITY[0], CLUTTER_INTENSITY[1]));
}

/// Mixes each pixel with the mean of its four neighbours: (1 - `amount`) and `amount`.
fn blurred(canvas: &Canvas, amount: f32) -> Canvas {
    let at = |row: usize, column: usize| canvas.get(row * SIDE + column).copied().unwrap_or(0.0);
    let mut result = *canvas;
    for row in 1..SIDE - 1 {
        for column in 1..SIDE - 1 {
            let around = at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1);
            result[row * SIDE + column] = (1.0 - amount) * at(row, column) + 0.25 * amount * around;
        }
    }
    result
}

/// Scales to a random intensity, adds noise and rounds to bytes.
fn quantise(canvas: &Canvas, draws: &mut Draws, image: &mut [u8]) {
    let intensity = draws.between(INTENSITY[0], INTENSITY[1]);
    let noise = NOISE * draws.uniform();
    for (byte, value) in image.iter_mut().zip(canvas) {
        let value = intensity * value + noise * draws.bell();
        *byte = (255.0 * value.clamp(0.0, 1.0) + 0.5) as u8;
    }
}
