//! The fast gradient sign method (Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples").

use crate::call::{Dtype, Kind, Unary, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::{Error, Result};

/// x + step * sign(d loss / dx), of x's shape, a constant for gradients. `loss` is one element and part of the step's loss: what
/// the step adds to it must not depend on it again (use its [`Graph::stop_gradient`] there), since its reverse pass has run by
/// then, for x and the weights at once.
///
/// # Errors
/// When the loss is not one element.
pub fn fast_gradient_sign(g: &mut Graph, name: &str, x: TensorId, loss: TensorId, step: f32) -> Result<TensorId> {
    if g.shape(loss) != &Shape::scalar() {
        return Err(Error::input(format!("{name}: expected a loss of one element, found {}", g.shape(loss))));
    }
    let shape = g.shape(x).clone();
    let moved = g.node(Op::FastGradientSign(step), name, &[x, loss], &[("", shape, Dtype::Real)])?[0];
    Ok(g.stop_gradient(moved))
}

/// After the reverse pass of the loss (`plan::build`).
pub(super) fn forward(e: &mut Emit, node: &Node, step: f32) {
    let Some(dx) = e.gradient(node.inputs[0]) else { return };
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    let elements = x.elements() as u32;
    let sign = e.scratch(&format!("{}.sign", node.name), Dtype::Real, x.elements());
    e.call(Kind::UnaryForward { elements, function: Unary::Sign }, &[dx], &[(sign, Write::Set)]);
    e.call(Kind::AddForward { elements, beta: step }, &[x, sign], &[(y, Write::Set)]);
}
