//! Programs of single elements.

use super::launch::{Address, Arguments};
use super::lowering::Lowering;
use crate::call::{MOST_STEPS, ScalarProgram};

/// One warp: addresses of the elements read and written travel with the launch.
pub fn program(l: &mut Lowering, program: &ScalarProgram) {
    let mut places: [Address; 2 * MOST_STEPS] = [0; 2 * MOST_STEPS];
    let (read, written) = places.split_at_mut(MOST_STEPS);
    for (index, place) in read.iter_mut().enumerate().take(program.reads as usize) {
        *place = l.read(index).data;
    }
    for (index, place) in written.iter_mut().enumerate().take(program.writes as usize) {
        *place = l.write(index).data;
    }
    l.launch("scalar_program", [1, 1, 1], 32, Arguments::new().with(*program).with(places));
}
