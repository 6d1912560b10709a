//! Shapes with named axes, so that a mismatch can say which axis of what.

use std::fmt;

/// Axis letters and sizes, outermost first: `[('S', 5), ('N', 100), ('I', 800)]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<(char, usize)>);

impl Shape {
    pub fn new(axes: &[(char, usize)]) -> Self {
        Self(axes.to_vec())
    }

    /// One element, no axis.
    pub fn scalar() -> Self {
        Self(Vec::new())
    }

    pub fn elements(&self) -> usize {
        self.0.iter().map(|axis| axis.1).product()
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Axis letters, outermost first.
    pub fn letters(&self) -> String {
        self.0.iter().map(|axis| axis.0).collect()
    }

    /// Sizes, outermost first.
    pub fn sizes(&self) -> Vec<usize> {
        self.0.iter().map(|axis| axis.1).collect()
    }

    /// Size of the axis called `letter`, if there is one.
    pub fn axis(&self, letter: char) -> Option<usize> {
        self.0.iter().find(|axis| axis.0 == letter).map(|axis| axis.1)
    }

    /// Weight samples: size of a leading S axis, else 1.
    pub fn samples(&self) -> usize {
        match self.0.first() {
            Some(&('S', samples)) => samples,
            _ => 1,
        }
    }

    /// The same shape with another size of the axes called `letter`.
    pub fn with_axis(&self, letter: char, size: usize) -> Self {
        Self(self.0.iter().map(|&(name, old)| (name, if name == letter { size } else { old })).collect())
    }

    /// The same shape with another number of samples on its leading S axis.
    pub fn with_samples(&self, samples: usize) -> Self {
        let mut axes = self.0.clone();
        match axes.first_mut() {
            Some(first) if first.0 == 'S' => first.1 = samples,
            _ => axes.insert(0, ('S', samples)),
        }
        Self(axes)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.0.iter().map(|(letter, size)| format!("{letter}={size}")).collect();
        write!(f, "[{}]", axes.join(", "))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
