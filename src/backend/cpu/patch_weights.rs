//! How the weights of a convolution lie in scratch: as panels of output channels, which forward sums read, and as runs, which
//! gradients are formed in.

use super::Real;
use super::patches::Patches;
use super::tiles::{Span, blocks, padded};

impl Patches {
    /// Elements of the weights as panels.
    pub fn panels(&self) -> usize {
        self.taps() * padded(self.outputs)
    }

    /// The order of w [O, C, K, K], O and C this convolution's.
    pub fn weights(&self) -> WeightOrder {
        let kernel = self.kernel * self.kernel;
        WeightOrder { output: self.taps(), channel: kernel, is_turned: false }
    }

    /// The order of w [C, O, K, K], O and C this convolution's, with kernels turned by 180 degrees.
    pub fn transposed_weights(&self) -> WeightOrder {
        let kernel = self.kernel * self.kernel;
        WeightOrder { output: kernel, channel: self.outputs * kernel, is_turned: true }
    }

    /// w as panels of some output channels each: [taps in the order of the runs, channels of the panel], zero beyond O.
    pub fn pack_panels<T: Real>(&self, w: &[T], order: WeightOrder, panels: &mut [T]) {
        let kernel = self.kernel * self.kernel;
        for (first, width) in blocks(self.outputs, Span::Narrow) {
            let panel = &mut panels[first * self.taps()..][..width * self.taps()];
            let real = width.min(self.outputs - first);
            for c in 0..self.channels {
                for tap in 0..kernel {
                    let (i, j) = (tap / self.kernel, tap % self.kernel);
                    let place = if order.is_turned { kernel - 1 - tap } else { tap };
                    let source = w[first * order.output + c * order.channel + place..].iter();
                    let lanes = &mut panel[self.tap(c, i, j) * width..][..width];
                    lanes[real..].fill(T::ZERO);
                    for (lane, value) in lanes.iter_mut().zip(source.step_by(order.output)).take(real) {
                        *lane = *value;
                    }
                }
            }
        }
    }

    /// Elements of the weights as runs.
    pub fn weight_runs(&self) -> usize {
        self.runs * self.outputs * self.run_lanes
    }

    /// First element of (run `r`, block of lanes from `lane`) in weights as runs.
    #[inline(always)]
    pub fn weight_block(&self, r: usize, lane: usize) -> usize {
        (r * self.run_lanes + lane) * self.outputs
    }

    /// w [O, C, K, K] as [run][block of lanes][O, lanes of the block], zero beyond the run.
    pub fn pack_runs<T: Real>(&self, w: &[T], packed: &mut [T], span: Span) {
        for (o, taps) in w.chunks_exact(self.taps()).enumerate() {
            for r in 0..self.runs {
                let mut weights = self.run_weights(r);
                for (lane, width) in blocks(self.run, span) {
                    let lanes = &mut packed[self.weight_block(r, lane) + o * width..][..width];
                    for value in lanes {
                        *value = weights.next().map_or(T::ZERO, |weight| taps[weight]);
                    }
                }
            }
        }
    }

    /// Gradients of weights as runs, set in or added to the weights [C, K, K] of output channel `o`.
    pub fn unpack_channel<T: Real>(&self, packed: &[T], o: usize, dw: &mut [T], span: Span, add: bool) {
        if !add {
            dw.fill(T::ZERO);
        }
        for r in 0..self.runs {
            let mut weights = self.run_weights(r);
            for (lane, width) in blocks(self.run, span) {
                let lanes = &packed[self.weight_block(r, lane) + o * width..][..width];
                for (value, weight) in lanes.iter().zip(&mut weights) {
                    dw[weight] += *value;
                }
            }
        }
    }

    /// Places in [C, K, K] of the elements of run `r`, in order.
    fn run_weights(&self, r: usize) -> RunWeights {
        let (channels, step) = if self.columns { (self.run, 1) } else { (self.channels, self.kernel * self.kernel) };
        RunWeights { next: r * self.kernel, left: self.run, channel: 0, channels, step }
    }
}

/// How the weights of a convolution lie: elements from one output channel and from one input channel to the next, and whether
/// each kernel is read from its end.
#[derive(Clone, Copy)]
pub struct WeightOrder {
    output: usize,
    channel: usize,
    is_turned: bool,
}

/// Walks channel by channel, then to the next column of the kernel.
struct RunWeights {
    next: usize,
    left: usize,
    channel: usize,
    channels: usize,
    /// Elements from one channel to the next.
    step: usize,
}

impl Iterator for RunWeights {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let weight = self.next;
        self.channel += 1;
        self.next += self.step;
        if self.channel == self.channels {
            self.channel = 0;
            self.next = self.next + 1 - self.channels * self.step;
        }
        Some(weight)
    }
}
