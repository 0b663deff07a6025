//! A map for keys that drivers number from zero on, in order: a tree of small pages instead of single
//! entries, so that finding one of a million costs few steps.
//!
//! Not here: a bound; its owner has one.

use std::collections::BTreeMap;

/// Keys of one page. Few, so that a page is not too large where numbers are missing. Guess.
const PAGE_KEYS: u32 = 16;

/// A key that is a number.
pub(super) trait Numbered: Copy {
    fn number(self) -> u32;
    fn of(number: u32) -> Self;
}

#[derive(Debug)]
struct Page<V> {
    places: [Option<V>; PAGE_KEYS as usize],
    taken: u32,
}

/// A map in the order of its keys.
#[derive(Debug)]
pub(super) struct Paged<K, V> {
    pages: BTreeMap<u32, Box<Page<V>>>,
    len: usize,
    key: core::marker::PhantomData<K>,
}

const fn place(number: u32) -> (u32, usize) {
    (number / PAGE_KEYS, (number % PAGE_KEYS) as usize)
}

impl<K: Numbered, V> Paged<K, V> {
    pub(super) const fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            len: 0,
            key: core::marker::PhantomData,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let (page, at) = place(key.number());
        self.pages.get(&page)?.places[at].as_ref()
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (page, at) = place(key.number());
        self.pages.get_mut(&page)?.places[at].as_mut()
    }

    /// What is there, or `new` put there.
    pub(super) fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let (page, at) = place(key.number());
        let page = self.pages.entry(page).or_insert_with(|| {
            Box::new(Page {
                places: [const { None }; PAGE_KEYS as usize],
                taken: 0,
            })
        });
        let place = &mut page.places[at];
        if place.is_none() {
            page.taken += 1;
            self.len += 1;
        }
        place.get_or_insert_with(new)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (number, at) = place(key.number());
        let page = self.pages.get_mut(&number)?;
        let gone = page.places[at].take()?;
        page.taken -= 1;
        self.len -= 1;
        if page.taken == 0 {
            self.pages.remove(&number);
        }
        Some(gone)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.range_mut(K::of(0))
    }

    /// From a key on, whether that is there or not.
    pub(super) fn range_mut(&mut self, from: K) -> impl Iterator<Item = (K, &mut V)> {
        let from = from.number();
        let pages = self.pages.range_mut(from / PAGE_KEYS..);
        let all = pages.flat_map(|(number, page)| {
            let first = number * PAGE_KEYS;
            let numbered = (first..=first + (PAGE_KEYS - 1)).zip(&mut page.places);
            numbered.filter_map(|(number, place)| Some((number, place.as_mut()?)))
        });
        let all = all.skip_while(move |(number, _)| *number < from);
        all.map(|(number, value)| (K::of(number), value))
    }

    /// All values, in the order of their keys.
    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        let pages = self.pages.values();
        pages.flat_map(|page| page.places.iter().flatten())
    }

    /// Memory of the pages, where all of the tree is half full.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * (size_of::<Page<V>>() + 16 + 2 * (4 + size_of::<usize>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    impl Numbered for u32 {
        fn number(self) -> u32 {
            self
        }

        fn of(number: u32) -> Self {
            number
        }
    }

    #[test]
    fn it_is_a_map_in_order() {
        let mut rng = SeededRng::new([3; 32]);
        let mut paged: Paged<u32, u64> = Paged::new();
        let mut oracle = BTreeMap::new();
        for step in 0..20_000 {
            let near_the_end = rng.below(8) == 0;
            let low = rng.below(400) as u32;
            let key = if near_the_end { u32::MAX - low } else { low };
            if rng.below(2) == 0 {
                assert_eq!(paged.remove(key), oracle.remove(&key));
            } else {
                *paged.get_or_insert(key, || step) += 1;
                *oracle.entry(key).or_insert(step) += 1;
            }
            assert_eq!(paged.get(key), oracle.get(&key));
            assert_eq!(paged.len(), oracle.len());
        }
        let from = 200;
        let rest: Vec<(u32, u64)> = paged.range_mut(from).map(|(key, at)| (key, *at)).collect();
        let expected: Vec<(u32, u64)> = oracle.range(from..).map(|(key, at)| (*key, *at)).collect();
        assert_eq!(rest, expected);
        assert!(paged.values().eq(oracle.values()));
        oracle.keys().for_each(|key| _ = paged.remove(*key));
        assert_eq!((paged.len(), paged.bytes()), (0, 0));
    }
}
