//! Moments that two backends have rounded with the same random numbers.

/// Share of bf16 elements that may be rounded to the other neighbour: those whose last bits before rounding, which f32 and f64
/// do not share, decide. Other random numbers would part a third of them.
const ROUNDED_APART: f64 = 0.01;

/// No error when two lists of bf16 elements agree but for few that are next to each other.
pub fn rounded_apart(found: &[u8], expected: &[u8]) -> Result<f64, String> {
    let place = |bytes: &[u8]| -> i32 {
        let bits = u16::from_ne_bytes([bytes[0], bytes[1]]);
        let size = i32::from(bits & 0x7fff);
        if bits >> 15 == 0 { size } else { -size }
    };
    let pairs = found.chunks_exact(2).zip(expected.chunks_exact(2));
    let gaps: Vec<u32> = pairs.map(|(found, expected)| place(found).abs_diff(place(expected))).collect();
    let (apart, far) = (gaps.iter().filter(|&&gap| gap > 0).count(), gaps.iter().filter(|&&gap| gap > 1).count());
    let most = 1 + (ROUNDED_APART * gaps.len() as f64) as usize;
    if far == 0 && apart <= most {
        return Ok(0.0);
    }
    Err(format!("{apart} of {} bf16 elements differ, {far} by more than one unit; expected at most {most}", gaps.len()))
}
