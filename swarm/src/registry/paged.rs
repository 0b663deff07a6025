//! A map for keys that drivers number from zero on, in order: a tree of three levels, so that finding one
//! of a million takes three steps, each to a place that is known beforehand.
//!
//! Not here: a bound; its owner has one.

use crate::memory;

/// Keys of one page. Few, so that a page is not too large where numbers are missing. Guess.
const PAGE_KEYS: u32 = 16;

/// Pages of one sheet: a page of memory of pointers.
const SHEET_PAGES: u32 = 512;

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

#[derive(Debug)]
struct Sheet<V> {
    pages: Vec<Option<Box<Page<V>>>>,
    taken: u32,
}

/// A map in the order of its keys.
#[derive(Debug)]
pub(super) struct Paged<K, V> {
    /// As many as the highest number needs.
    sheets: Vec<Option<Sheet<V>>>,
    len: usize,
    key: core::marker::PhantomData<K>,
}

/// The sheet, its page, and the place there.
const fn place(number: u32) -> (usize, usize, usize) {
    let page = number / PAGE_KEYS;
    let (sheet, at) = (page / SHEET_PAGES, page % SHEET_PAGES);
    (sheet as usize, at as usize, (number % PAGE_KEYS) as usize)
}

impl<K: Numbered, V> Default for Paged<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Numbered, V> Paged<K, V> {
    pub(super) const fn new() -> Self {
        Self {
            sheets: Vec::new(),
            len: 0,
            key: core::marker::PhantomData,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let (sheet, page, at) = place(key.number());
        let page = self.sheets.get(sheet)?.as_ref()?.pages[page].as_deref()?;
        page.places[at].as_ref()
    }

    /// Brings near where a page is.
    pub(super) fn bring_page(&self, key: K) {
        let (sheet, page, _) = place(key.number());
        if let Some(Some(sheet)) = self.sheets.get(sheet) {
            memory::bring(&sheet.pages, page);
        }
    }

    /// Brings near what is there. Reads where its page is.
    pub(super) fn bring(&self, key: K) {
        let (sheet, page, at) = place(key.number());
        if let Some(Some(sheet)) = self.sheets.get(sheet)
            && let Some(Some(page)) = sheet.pages.get(page)
        {
            memory::bring(&page.places, at);
        }
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (sheet, page, at) = place(key.number());
        let sheet = self.sheets.get_mut(sheet)?.as_mut()?;
        sheet.pages[page].as_deref_mut()?.places[at].as_mut()
    }

    /// What is there, or `new` put there.
    pub(super) fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let (sheet, page, at) = place(key.number());
        if self.sheets.len() <= sheet {
            self.sheets.resize_with(sheet + 1, || None);
        }
        let sheet = self.sheets[sheet].get_or_insert_with(|| Sheet {
            pages: (0..SHEET_PAGES).map(|_| None).collect(),
            taken: 0,
        });
        let page = &mut sheet.pages[page];
        if page.is_none() {
            sheet.taken += 1;
        }
        let page = page.get_or_insert_with(|| {
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
        let (sheet_at, page_at, at) = place(key.number());
        let sheet = self.sheets.get_mut(sheet_at)?.as_mut()?;
        let page = sheet.pages[page_at].as_deref_mut()?;
        let gone = page.places[at].take()?;
        self.len -= 1;
        page.taken -= 1;
        if page.taken == 0 {
            sheet.pages[page_at] = None;
            sheet.taken -= 1;
            if sheet.taken == 0 {
                self.sheets[sheet_at] = None;
            }
        }
        Some(gone)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.range_mut(K::of(0))
    }

    /// From a key on, whether that is there or not.
    pub(super) fn range_mut(&mut self, from: K) -> impl Iterator<Item = (K, &mut V)> {
        let from = from.number();
        let (first, first_page, _) = place(from);
        let sheets = self.sheets.iter_mut().enumerate().skip(first);
        let pages = sheets.flat_map(move |(at, sheet)| {
            let pages = sheet.iter_mut().flat_map(|sheet| &mut sheet.pages);
            let numbered = (at as u32 * SHEET_PAGES..).zip(pages);
            numbered.skip(if at == first { first_page } else { 0 })
        });
        let all = pages.flat_map(|(number, page)| {
            let first = number * PAGE_KEYS;
            let places = page.iter_mut().flat_map(|page| &mut page.places);
            let numbered = (first..=first + (PAGE_KEYS - 1)).zip(places);
            numbered.filter_map(|(number, place)| Some((number, place.as_mut()?)))
        });
        let all = all.skip_while(move |(number, _)| *number < from);
        all.map(|(number, value)| (K::of(number), value))
    }

    /// All values, in the order of their keys.
    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        let pages = self.sheets.iter().flatten().flat_map(|sheet| &sheet.pages);
        pages
            .flatten()
            .flat_map(|page| page.places.iter().flatten())
    }

    /// Memory of the pages and of where they are.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let sheets = self.sheets.iter().flatten();
        let pages: usize = sheets.clone().map(|sheet| sheet.taken as usize).sum();
        pages * (size_of::<Page<V>>() + 16)
            + sheets.count() * SHEET_PAGES as usize * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
            let low = rng.below(400) as u32;
            let key = match rng.below(8) {
                0 => u32::MAX - low,
                // Some sheets in between.
                1 => low * 97,
                _ => low,
            };
            if rng.below(2) == 0 {
                assert_eq!(paged.remove(key), oracle.remove(&key));
            } else {
                *paged.get_or_insert(key, || step) += 1;
                *oracle.entry(key).or_insert(step) += 1;
            }
            assert_eq!(paged.get(key), oracle.get(&key));
            assert_eq!(paged.len(), oracle.len());
        }
        let sheet = PAGE_KEYS * SHEET_PAGES;
        let all = oracle.keys().flat_map(|key| [*key, key.wrapping_add(1)]);
        for from in all.chain([0, sheet - 1, sheet, 3 * sheet + 17, u32::MAX - 500]) {
            let rest = paged.range_mut(from).map(|(key, at)| (key, *at));
            let expected = oracle.range(from..).map(|(key, at)| (*key, *at));
            assert!(rest.take(20).eq(expected.take(20)), "from {from}");
        }
        assert!(paged.values().eq(oracle.values()));
        oracle.keys().for_each(|key| _ = paged.remove(*key));
        assert_eq!((paged.len(), paged.bytes()), (0, 0));
    }
}
