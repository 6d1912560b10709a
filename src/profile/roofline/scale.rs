//! Logarithmic axes.

/// A logarithmic axis over whole decades: powers of ten at its ends, and where they stand in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub low: i32,
    pub high: i32,
    pub from: f64,
    pub to: f64,
}

impl Scale {
    /// Pixel of a value; values outside stand at the ends.
    pub fn place(&self, value: f64) -> f64 {
        let decades = value.max(f64::MIN_POSITIVE).log10().clamp(self.low.into(), self.high.into());
        self.from + (decades - f64::from(self.low)) / f64::from(self.high - self.low) * (self.to - self.from)
    }

    /// Exponents of the powers of ten on the axis.
    pub fn decades(&self) -> std::ops::RangeInclusive<i32> {
        self.low..=self.high
    }

    /// The values 2, 3, .. 9 times each power of ten.
    pub fn between(&self) -> impl Iterator<Item = f64> {
        (self.low..self.high).flat_map(|decade| (2..10).map(move |digit| f64::from(digit) * 10_f64.powi(decade)))
    }
}

/// The decade at or below a positive value, and the one at or above.
pub fn below(value: f64) -> i32 {
    value.log10().floor() as i32
}
pub fn above(value: f64) -> i32 {
    value.log10().ceil() as i32
}

/// 10^decade as an axis writes it: 0.001 to 10000, else 10 with its exponent.
pub fn power(decade: i32) -> String {
    match decade {
        -3..=4 => format!("{}", 10_f64.powi(decade)),
        _ => format!("10{}", decade.to_string().chars().map(raised).collect::<String>()),
    }
}

/// A digit or sign as an exponent.
fn raised(symbol: char) -> char {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    symbol.to_digit(10).and_then(|digit| digits.get(digit as usize).copied()).unwrap_or('⁻')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_are_equally_long_and_outside_values_stand_at_the_ends() {
        let scale = Scale { low: -1, high: 3, from: 400.0, to: 0.0 };
        let places: Vec<f64> = [1e-9, 0.1, 1.0, 10.0, 1e3, 1e9, 0.0].iter().map(|&value| scale.place(value)).collect();
        assert_eq!(places, [400.0, 400.0, 300.0, 200.0, 0.0, 0.0, 400.0]);
        assert_eq!(scale.between().count(), 32);
        assert_eq!((below(0.2), above(0.2), below(100.0), above(101.0)), (-1, 0, 2, 3));
        let powers: Vec<String> = [-12, -3, -2, 0, 4, 5].map(power).to_vec();
        assert_eq!(powers, ["10⁻¹²", "0.001", "0.01", "1", "10000", "10⁵"]);
    }
}
