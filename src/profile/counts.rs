//! Work counted from dims: FLOP of matrix products here; bytes are those of `Plan::call_bytes`.

use crate::call::{Kind, LinearDims};

impl Kind {
    /// Floating-point operations of the matrix products in a call: two per multiply-add; everything else counts as memory.
    pub fn flop(&self) -> f64 {
        match self {
            Self::LinearForward(d, _) | Self::LinearGradInput(d) | Self::LinearGradWeight(d) => linear(d),
            Self::LinearRankUpdate { dims, input_gradient, .. } => {
                linear(dims) * if *input_gradient { 2.0 } else { 1.0 }
            }
            Self::LinearGroupForward(group) => 2.0 * f64::from(group.products),
            Self::LinearGroupGrad { group, input_gradient } => {
                2.0 * f64::from(group.products) * if *input_gradient { 2.0 } else { 1.0 }
            }
            Self::Conv2dForward(d, _)
            | Self::Conv2dGradInput(d)
            | Self::Conv2dGradWeight(d)
            | Self::Conv2dPoolForward(d)
            | Self::Conv2dPoolGradInput(d)
            | Self::Conv2dPoolGradWeight(d) => {
                let outputs = product(&[d.samples, d.batch, d.outputs, d.out_height, d.out_width]);
                2.0 * outputs * product(&[d.channels, d.kernel, d.kernel])
            }
            _ => 0.0,
        }
    }
}

fn linear(d: &LinearDims) -> f64 {
    2.0 * product(&[d.samples, d.rows, d.inputs, d.outputs])
}

fn product(factors: &[u32]) -> f64 {
    factors.iter().map(|&factor| f64::from(factor)).product()
}

#[cfg(test)]
mod tests {
    use crate::profile::kernels::{Shape, plan};

    /// FLOP, bytes and shape of the call of one kernel.
    fn counted(kernel: &str, shape: &str) -> (f64, usize, String) {
        let shape = Shape::new(kernel, Some(shape)).expect("a shape");
        let (store, plan, index) = plan(&shape).expect("a plan");
        let call = &plan.calls[index];
        (call.kind.flop(), plan.call_bytes(&store, call), call.kind.shape())
    }

    #[test]
    fn a_convolution_counts_its_multiply_adds_and_each_tensor_once() {
        let (flop, bytes, shape) = counted("conv2d", "S=5,N=100,C=20,H=12,W=12,O=50,K=5");
        // 5 samples x 100 images x 50 channels x 8 x 8 places, 20 x 5 x 5 multiply-adds each.
        assert_eq!(flop, 2.0 * 1_600_000.0 * 500.0, "{shape}");
        let (x, w, b, y) = (5 * 100 * 20 * 144, 5 * 50 * 500, 5 * 50, 5 * 100 * 50 * 64);
        assert_eq!(bytes, 4 * (x + w + b + y), "{shape}");
    }

    #[test]
    fn gradients_of_a_convolution_count_as_much_as_the_convolution() {
        let shape = "S=2,N=3,C=4,H=6,W=6,O=8,K=3";
        let (forward, ..) = counted("conv2d", shape);
        assert_eq!(forward, 2.0 * (2 * 3 * 8 * 16 * 4 * 9) as f64);
        for gradient in ["conv2d_grad_input", "conv2d_grad_weight", "conv2d_pool", "conv2d_pool_grad_weight"] {
            assert_eq!(counted(gradient, shape).0, forward, "{gradient}");
        }
    }

    /// w, m and v are read and written; x, dy, dx and the partial sums of dx are small beside them, and so are the scalars.
    #[test]
    fn a_rank_update_moves_its_weights_and_moments_twice() {
        let (rows, inputs, outputs) = (5, 64, 16_384);
        let (flop, bytes, _) = counted("linear_rank_update", &format!("N={rows},I={inputs},O={outputs}"));
        let weights = inputs * outputs;
        assert_eq!(flop, 2.0 * 2.0 * (rows * weights) as f64, "dw and dx");
        let small = bytes - 6 * 4 * weights;
        let (x, dy) = (4 * rows * inputs, 4 * rows * outputs);
        assert!(small >= 2 * x + dy && small <= weights, "{small} bytes beside w, m and v");
    }

    #[test]
    fn what_multiplies_nothing_counts_as_memory() {
        let (flop, bytes, _) = counted("normal", "D=1000");
        assert_eq!((flop, bytes), (0.0, 4 * 1000 + 4 * 4), "numbers and step words");
        assert_eq!(counted("optimizer_step", "D=1000").1, 4 * (1000 + 6 * 1000 + 4), "g, w, m and v, scalars");
    }
}
