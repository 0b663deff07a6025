//! A map that holds at most so much and forgets what was used longest ago.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, each with a weight, together at most `weight_max`.
#[derive(Debug)]
pub(crate) struct RecentMap<K, V> {
    entries: HashMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    weight: u64,
    weight_max: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    used: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> RecentMap<K, V> {
    pub(crate) fn new(weight_max: u64) -> Self {
        Self {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            weight: 0,
            weight_max,
        }
    }

    /// The value, which counts as a use.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, *key);
        Some(entry.value.clone())
    }

    /// Keeps a value; what is heavier than the whole map is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: u64) {
        self.remove(&key);
        if weight > self.weight_max {
            return;
        }
        while self.weight + weight > self.weight_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.weight -= self.entries.remove(&oldest).map_or(0, |entry| entry.weight);
        }
        self.uses += 1;
        let used = self.uses;
        self.by_use.insert(used, key);
        self.weight += weight;
        self.entries.insert(
            key,
            Entry {
                value,
                weight,
                used,
            },
        );
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut map = RecentMap::new(10);
        map.insert('a', 1, 4);
        map.insert('b', 2, 4);
        assert_eq!(map.get(&'a'), Some(1));
        map.insert('c', 3, 4);
        assert_eq!(
            (map.get(&'a'), map.get(&'b'), map.get(&'c')),
            (Some(1), None, Some(3))
        );
    }

    #[test]
    fn weights_are_given_back_and_giants_are_not_kept() {
        let mut map = RecentMap::new(10);
        map.insert('a', 1, 10);
        map.insert('a', 2, 10);
        assert_eq!(map.get(&'a'), Some(2));
        map.insert('b', 3, 11);
        assert_eq!((map.get(&'a'), map.get(&'b')), (Some(2), None));
        map.remove(&'a');
        map.insert('c', 4, 10);
        assert_eq!(map.weight, 10);
        assert_eq!(map.by_use.len(), 1);
    }
}
