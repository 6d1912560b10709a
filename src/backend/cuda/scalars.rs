//! Programs of single elements.

use super::launch::{Address, Arguments};
use super::lowering::Lowering;
use crate::call::{MOST_STEPS, ScalarProgram};

/// One warp: addresses of the elements read and written travel with the launch.
pub fn program(l: &mut Lowering, program: &ScalarProgram) {
    let mut places: [Address; 2 * MOST_STEPS] = [0; 2 * MOST_STEPS];
    for index in 0..program.reads as usize {
        places[index] = l.read(index).data;
    }
    for index in 0..program.writes as usize {
        places[MOST_STEPS + index] = l.write(index).data;
    }
    l.launch("scalar_program", [1, 1, 1], 32, Arguments::new().with(*program).with(places));
}
