//! Sets of element intervals: which part of a buffer has been written.

/// Disjoint half-open intervals, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<(usize, usize)>);

impl Intervals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds [start, end), joining neighbours.
    pub fn insert(&mut self, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        self.0.retain(|&(s, e)| {
            let apart = e < start || s > end;
            if !apart {
                (start, end) = (start.min(s), end.max(e));
            }
            apart
        });
        let at = self.0.partition_point(|&(s, _)| s < start);
        self.0.insert(at, (start, end));
    }

    /// True when every element of [start, end) is in the set.
    pub fn contains(&self, start: usize, end: usize) -> bool {
        start >= end || self.0.iter().any(|&(s, e)| s <= start && end <= e)
    }

    /// True when some element of [start, end) is in the set.
    pub fn touches(&self, start: usize, end: usize) -> bool {
        start < end && self.0.iter().any(|&(s, e)| s < end && start < e)
    }

    /// The parts of [start, end) that are not in the set.
    pub fn gaps(&self, start: usize, end: usize) -> Vec<(usize, usize)> {
        let mut gaps = Vec::new();
        let mut at = start;
        for &(s, e) in &self.0 {
            if e <= at {
                continue;
            }
            if s >= end {
                break;
            }
            if s > at {
                gaps.push((at, s));
            }
            at = at.max(e);
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(inserts in prop::collection::vec((0usize..60, 0usize..12), 0..12), probe in (0usize..60, 0usize..12)) {
            let mut set = Intervals::default();
            let mut bitmap = [false; 80];
            for (start, len) in inserts {
                set.insert(start, start + len);
                bitmap[start..start + len].fill(true);
            }
            let (start, end) = (probe.0, probe.0 + probe.1);
            prop_assert_eq!(set.contains(start, end), bitmap[start..end].iter().all(|&bit| bit));
            prop_assert_eq!(set.touches(start, end), bitmap[start..end].iter().any(|&bit| bit));
            let mut gaps = [false; 80];
            for (s, e) in set.gaps(start, end) {
                prop_assert!(s < e && s >= start && e <= end);
                gaps[s..e].fill(true);
            }
            for i in start..end {
                prop_assert_eq!(gaps[i], !bitmap[i]);
            }
        }
    }
}
