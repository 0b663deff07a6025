//! Sets of numbers as sorted, separate ranges: what arrived, what was acknowledged.

/// Half-open ranges in ascending order that do not touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    list: Vec<(u32, u32)>,
}

impl Ranges {
    /// Adds `from..to`; how many of its numbers are new.
    pub(super) fn insert(&mut self, from: u32, to: u32) -> u32 {
        if from >= to {
            return 0;
        }
        if let Some(last) = self.list.last_mut()
            && last.1 == from
        {
            // The usual case: the next number.
            last.1 = to;
            return to - from;
        }
        let first = self.list.partition_point(|range| range.1 < from);
        let (mut start, mut end, mut known) = (from, to, 0);
        let mut until = first;
        while let Some(range) = self.list.get(until).filter(|range| range.0 <= to) {
            known += range.1.min(to).saturating_sub(range.0.max(from));
            start = start.min(range.0);
            end = end.max(range.1);
            until += 1;
        }
        self.list.splice(first..until, [(start, end)]);
        to - from - known
    }

    /// Whether all of `from..to` is in.
    pub(super) fn contains(&self, from: u32, to: u32) -> bool {
        let at = self.list.partition_point(|range| range.1 < to);
        self.list
            .get(at)
            .is_some_and(|range| range.0 <= from && to <= range.1)
    }

    /// The end of the range that begins at zero; zero if none does.
    pub(super) fn prefix(&self) -> u32 {
        self.list
            .first()
            .filter(|range| range.0 == 0)
            .map_or(0, |range| range.1)
    }

    /// The highest ranges, highest first.
    pub(super) fn highest(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.list.iter().rev().copied()
    }

    /// Forgets the lowest ranges beyond so many.
    pub(super) fn keep_highest(&mut self, count: usize) {
        if self.list.len() > count {
            self.list.drain(..self.list.len() - count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Draws;

    #[test]
    fn ranges_are_a_set() {
        for seed in 0..50 {
            let mut draws = Draws::of(seed, 0, 0);
            let mut ranges = Ranges::default();
            let mut set = [false; 100];
            for _ in 0..40 {
                let from = draws.below(95) as u32;
                let to = from + draws.below(6) as u32;
                let new = set[from as usize..to as usize]
                    .iter()
                    .filter(|is_in| !**is_in)
                    .count();
                assert_eq!(ranges.insert(from, to) as usize, new, "seed {seed}");
                set[from as usize..to as usize].fill(true);
                let prefix = set.iter().position(|is_in| !is_in).unwrap_or(100);
                assert_eq!(ranges.prefix() as usize, prefix);
                for (at, is_in) in set.iter().enumerate() {
                    assert_eq!(ranges.contains(at as u32, at as u32 + 1), *is_in);
                }
            }
        }
    }
}
