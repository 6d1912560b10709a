//! Calls of multiplicative normalising flows at addresses that vectors reach and that they do not, each gradient set or added to on
//! its own.

use super::raw_call::{Piece, RawCall};
use crate::call::*;

/// Random words of a step.
fn words() -> Piece {
    Piece::words(&[3, 0xdead_beef, 17, 0])
}

/// [set, add, set, ...] or the other way round.
fn alternating(pieces: Vec<Piece>, first: Write) -> Vec<(Piece, Write)> {
    let second = if first == Write::Set { Write::Add } else { Write::Set };
    pieces.into_iter().zip([first, second].into_iter().cycle()).collect()
}

fn call(name: &str, kind: Kind, reads: Vec<Piece>, writes: Vec<(Piece, Write)>) -> RawCall {
    RawCall { name: name.into(), kind, reads, writes }
}

pub(super) fn calls() -> Vec<RawCall> {
    let calls = [scaled(), element_wise(), coupled()].concat();
    let unaligned: Vec<RawCall> = calls.iter().cloned().map(RawCall::unaligned).collect();
    calls.into_iter().chain(unaligned).collect()
}

fn scaled() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for (samples, noise) in [(1, false), (3, true), (2, false)] {
        let mut group = ScaledGroup::empty(samples, noise);
        for (outer, channels, inner) in [(7, 65, 1), (1, 9, 25), (33, 4, 1), (2, 3, 260)] {
            group.push(ScaledPart { outer, channels, inner, stream: outer });
        }
        let (mut reads, mut writes, mut known, mut gradients) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for part in group.parts() {
            let (len, z) = (part.elements() as usize, Piece::real((samples * part.channels) as usize));
            let y = Piece::real(samples as usize * len);
            reads.extend([Piece::real(len), z.clone()]);
            reads.extend(noise.then(|| Piece::real(len)));
            known.extend([Piece::real(len), z.clone(), y.clone()]);
            writes.push((y, Write::Set));
            gradients.extend([Piece::real(len), z]);
        }
        reads.extend(noise.then(words));
        let name = format!("{samples} samples, noise {noise}");
        calls.push(call(&name, Kind::ScaledSamples(group), reads, writes));
        for first in [Write::Set, Write::Add] {
            let writes = alternating(gradients.clone(), first);
            calls.push(call(&name, Kind::ScaledSamplesGrad(group), known.clone(), writes));
        }
    }
    calls
}

/// Caps, drawn outputs and densities.
fn element_wise() -> Vec<RawCall> {
    let mut calls = Vec::new();
    let sizes = [1_usize, 17, 516];
    let (elements, name) = (sizes.iter().sum::<usize>() as u32, format!("{sizes:?}"));
    let of = |copies: usize| -> Vec<Piece> {
        sizes.iter().flat_map(|&size| std::iter::repeat_n(Piece::real(size), copies)).collect()
    };
    let set = |pieces: Vec<Piece>| pieces.into_iter().map(|piece| (piece, Write::Set)).collect();
    let bound = 0.2;
    calls.push(call(&name, Kind::CappedVariances { elements, bound }, of(1), set(of(2))));
    for first in [Write::Set, Write::Add] {
        for of_log in [false, true] {
            let kind = Kind::CappedVariancesGrad { elements, bound, of_log };
            calls.push(call(&name, kind, of(3 + usize::from(of_log)), alternating(of(1), first)));
        }
        let kind = Kind::LogDensityGrad { elements };
        calls.push(call(&name, kind, [of(3), vec![Piece::real(1)]].concat(), alternating(of(3), first)));
        calls.push(call(&name, Kind::LogDensity { elements }, of(3), vec![(Piece::real(1), first)]));
        for elements in [1_u32, 18, 5003] {
            let piece = Piece::real(elements as usize);
            // Half of the variances are below 0.
            let reads = vec![piece.clone(), piece.clone(), words()];
            let (name, stream) = (format!("{elements}"), 9);
            let kind = Kind::LocalReparameterization { elements, stream };
            calls.push(call(&name, kind, reads.clone(), vec![(piece.clone(), first)]));
            let kind = Kind::LocalReparameterizationGrad { elements, stream };
            calls.push(call(&name, kind, reads, alternating(vec![piece.clone(), piece], first)));
        }
    }
    calls
}

fn coupled() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for (samples, sizes) in [(1_usize, vec![1_usize, 18, 800]), (3, vec![5, 64]), (1, vec![4099])] {
        let mut group = GaussianGroup::empty(samples as u32);
        sizes.iter().zip(50..).for_each(|(&size, stream)| group.push(size as u32, stream));
        let of = |copies: usize| -> Vec<Piece> {
            sizes.iter().flat_map(|&size| std::iter::repeat_n(Piece::real(samples * size), copies)).collect()
        };
        let with_words = |pieces: Vec<Piece>| [pieces, vec![words()]].concat();
        let name = format!("{samples} of {sizes:?}");
        let set = of(1).into_iter().map(|piece| (piece, Write::Set)).collect();
        calls.push(call(&name, Kind::Coupling(group), with_words(of(3)), set));
        for first in [Write::Set, Write::Add] {
            calls.push(call(&name, Kind::CouplingMask(group), with_words(of(1)), alternating(of(1), first)));
            let sum = vec![(Piece::real(1), first)];
            calls.push(call(&name, Kind::CouplingLogDeterminant(group), with_words(of(1)), sum));
            let reads = [with_words(of(4)), vec![Piece::real(1)]].concat();
            calls.push(call(&name, Kind::CouplingGrad(group), reads, alternating(of(3), first)));
        }
    }
    calls
}
