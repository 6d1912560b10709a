//! Random placement of a glyph: affine map and smooth elastic displacement, applied to its points.

use super::SIDE;
use super::draws::Draws;

/// Cells per side of the displacement field; a cubic B-spline over them needs three more nodes.
const CELLS: usize = 3;
const NODES: usize = CELLS + 3;
/// Standard deviation of a node's displacement, as a fraction of the glyph's box. The spline averages it down.
const ELASTIC: f32 = 0.10;
/// Glyph box before the random scale, pixels: width and height.
const BOX: [f32; 2] = [13.5, 18.5];
/// Largest scale change per axis.
const SCALE: f32 = 0.18;
/// Standard deviation of tan(angle / 2): about 10 degrees.
const HALF_ROTATION: f32 = 0.09;
/// Standard deviation of the horizontal shear.
const SHEAR: f32 = 0.17;
/// Largest shift per axis, pixels.
const SHIFT: f32 = 1.75;

/// Maps the unit square of a glyph to pixels.
pub(super) struct Warp {
    matrix: [[f32; 2]; 2],
    centre: [f32; 2],
    field: [[[f32; 2]; NODES]; NODES],
}

impl Warp {
    /// A random map.
    pub(super) fn random(draws: &mut Draws) -> Self {
        // cos and sin from t = tan(angle / 2): only exact operations, hence the same on every platform.
        let t = HALF_ROTATION * draws.bell();
        let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let shear = SHEAR * draws.bell();
        let width = BOX[0] * draws.between(1.0 - SCALE, 1.0 + SCALE);
        let height = BOX[1] * draws.between(1.0 - SCALE, 1.0 + 0.5 * SCALE);
        let middle = 0.5 * SIDE as f32;
        Self {
            matrix: [[cos * width, (cos * shear - sin) * height], [sin * width, (sin * shear + cos) * height]],
            centre: [middle + draws.between(-SHIFT, SHIFT), middle + draws.between(-SHIFT, SHIFT)],
            field: std::array::from_fn(|_| std::array::from_fn(|_| [ELASTIC * draws.bell(), ELASTIC * draws.bell()])),
        }
    }

    /// Pixel position (x, y) of a point of the unit square.
    pub(super) fn apply(&self, point: [f32; 2]) -> [f32; 2] {
        let shift = self.displacement(point);
        let (x, y) = (point[0] + shift[0] - 0.5, point[1] + shift[1] - 0.5);
        let [row0, row1] = self.matrix;
        [self.centre[0] + row0[0] * x + row0[1] * y, self.centre[1] + row1[0] * x + row1[1] * y]
    }

    /// Uniform cubic B-spline through the field's nodes.
    fn displacement(&self, point: [f32; 2]) -> [f32; 2] {
        let (column, across) = cell(point[0]);
        let (row, down) = cell(point[1]);
        let mut sum = [0.0; 2];
        for (nodes, weight_y) in self.field[row..].iter().zip(down) {
            for (node, weight_x) in nodes[column..].iter().zip(across) {
                sum[0] += weight_y * weight_x * node[0];
                sum[1] += weight_y * weight_x * node[1];
            }
        }
        sum
    }
}

/// First of four nodes around the coordinate (clamped to the unit interval), and their weights.
fn cell(coordinate: f32) -> (usize, [f32; 4]) {
    let position = coordinate.clamp(0.0, 1.0) * CELLS as f32;
    let first = (position as usize).min(CELLS - 1);
    let t = position - first as f32;
    let u = 1.0 - t;
    let weights = [
        u * u * u / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0,
        t * t * t / 6.0,
    ];
    (first, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_join() {
        for step in 0..=60 {
            let (first, weights) = cell(step as f32 / 60.0);
            assert!(first + 4 <= NODES);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        let (before, after) = (cell(0.333_33), cell(0.333_34));
        assert_eq!((before.0, after.0), (0, 1));
        assert!((before.1[1] - after.1[0]).abs() < 1e-3);
    }

    #[test]
    fn neighbours_stay_neighbours() {
        for index in 0..50 {
            let warp = Warp::random(&mut Draws::new(3, 0, index));
            for step in 0..20 {
                let x = step as f32 / 20.0;
                let (a, b) = (warp.apply([x, 0.4]), warp.apply([x + 0.01, 0.4]));
                let distance = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
                assert!(distance < 0.5, "{distance}");
            }
        }
    }
}
