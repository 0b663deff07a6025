//! A bounded memory of what was used lately: two generations, the older of which is dropped whole
//! when the younger is full. Anything used stays; no entry costs bookkeeping.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// At most twice the generation size, which is half the maximum.
pub(super) struct Recent<K, V> {
    generation_max: usize,
    generations: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            generation_max: (entries_max / 2).max(1),
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }

    pub(super) fn find(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let value = generations.old.remove(key)?;
        generations.put(self.generation_max, *key, value.clone());
        Some(value)
    }

    pub(super) fn put(&self, key: K, value: V) {
        let mut generations = self.lock();
        generations.old.remove(&key);
        generations.put(self.generation_max, key, value);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        let locked = self.generations.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn put(&mut self, generation_max: usize, key: K, value: V) {
        if self.young.len() >= generation_max {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let recent = Recent::new(8);
        for key in 0..100_u32 {
            recent.put(key, key);
            assert_eq!(recent.find(&0), Some(0));
        }
        let kept = (0..100).filter(|key| recent.find(key).is_some()).count();
        assert!(kept <= 8, "{kept}");
        assert_eq!(recent.find(&99), Some(99));
    }
}
