//! Search over the catalog: a port, and the index in memory behind it.
//!
//! Every word typed must begin a word of title, artist or album. Not here: what a track is; the
//! index knows texts and ids only.

mod fold;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use antiphon_protocol::TrackId;
pub(crate) use fold::folded;

/// Words of a query that count; more than people type. Guess.
const QUERY_WORDS_MAX: usize = 8;

/// What is searchable of a track.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'a> {
    pub title: &'a str,
    pub artist: &'a str,
    pub album: &'a str,
}

/// A search engine. Another one can take the place of [`MemoryIndex`] without anybody noticing.
pub(crate) trait SearchIndex: Send + Sync {
    /// Adds a track or replaces its texts.
    fn put(&mut self, track: TrackId, texts: Texts<'_>);

    /// At most `limit` tracks, best first and always in the same order, and whether there are
    /// more.
    fn search(&self, query: &str, limit: usize) -> (Vec<TrackId>, bool);
}

/// The embedded index: words to tracks, sorted, so that a prefix is a range.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    words: BTreeMap<String, BTreeSet<u32>>,
    documents: Vec<Document>,
    numbers: HashMap<TrackId, u32>,
}

#[derive(Debug)]
struct Document {
    track: TrackId,
    title: String,
    /// Words of all three texts, folded.
    words: BTreeSet<String>,
    /// Breaks ties: artist, album and title as they sort.
    order: String,
}

/// How well a track fits; smaller is better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    TitleExact,
    TitlePrefix,
    TitleWords,
    Words,
}

impl SearchIndex for MemoryIndex {
    fn put(&mut self, track: TrackId, texts: Texts<'_>) {
        let number = match self.numbers.get(&track) {
            Some(number) => *number,
            None => u32::try_from(self.documents.len())
                .expect("tracks are held in memory, so there are fewer than four billion"),
        };
        let title = folded(texts.title);
        let (artist, album) = (folded(texts.artist), folded(texts.album));
        let words: BTreeSet<String> = [&title, &artist, &album]
            .iter()
            .flat_map(|text| text.split(' '))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        for word in &words {
            let postings = self.words.entry(word.clone()).or_default();
            postings.insert(number);
        }
        let document = Document {
            track,
            order: format!("{artist}\0{album}\0{title}"),
            title,
            words,
        };
        match self.documents.get_mut(number as usize) {
            Some(place) => {
                let former = core::mem::replace(place, document);
                let gone: Vec<_> = former.words.difference(&place.words).cloned().collect();
                gone.iter().for_each(|word| self.forget(word, number));
            }
            None => {
                self.numbers.insert(track, number);
                self.documents.push(document);
            }
        }
    }

    fn search(&self, query: &str, limit: usize) -> (Vec<TrackId>, bool) {
        let query = folded(query);
        let words: Vec<&str> = query
            .split(' ')
            .filter(|word| !word.is_empty())
            .take(QUERY_WORDS_MAX)
            .collect();
        // The longest word is the rarest as a rule: start from it, check the others by document.
        let Some(longest) = words.iter().max_by_key(|word| word.len()) else {
            return (Vec::new(), false);
        };
        let candidates: BTreeSet<u32> = self
            .starting_with(longest)
            .flat_map(|(_, postings)| postings.iter().copied())
            .collect();
        let mut found: Vec<_> = candidates
            .into_iter()
            .filter_map(|number| self.documents.get(number as usize))
            .filter(|document| words.iter().all(|word| document.has_prefix(word)))
            .map(|document| {
                (
                    document.fit(&query, &words),
                    &document.order,
                    document.track,
                )
            })
            .collect();
        let more = found.len() > limit;
        if more {
            found.select_nth_unstable(limit);
            found.truncate(limit);
        }
        found.sort_unstable();
        (found.into_iter().map(|(_, _, track)| track).collect(), more)
    }
}

impl MemoryIndex {
    fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&String, &BTreeSet<u32>)> {
        self.words
            .range::<str, _>((
                std::ops::Bound::Included(prefix),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(word, _)| word.starts_with(prefix))
    }

    fn forget(&mut self, word: &str, number: u32) {
        if let Some(postings) = self.words.get_mut(word) {
            postings.remove(&number);
            if postings.is_empty() {
                self.words.remove(word);
            }
        }
    }
}

impl Document {
    fn has_prefix(&self, prefix: &str) -> bool {
        self.words
            .range::<str, _>((
                std::ops::Bound::Included(prefix),
                std::ops::Bound::Unbounded,
            ))
            .next()
            .is_some_and(|word| word.starts_with(prefix))
    }

    fn fit(&self, query: &str, words: &[&str]) -> Fit {
        let begins = |word: &&str| self.title.split(' ').any(|own| own.starts_with(*word));
        if self.title == query {
            Fit::TitleExact
        } else if self.title.starts_with(query) {
            Fit::TitlePrefix
        } else if words.iter().all(begins) {
            Fit::TitleWords
        } else {
            Fit::Words
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(tracks: &[(u8, &str, &str, &str)]) -> MemoryIndex {
        let mut index = MemoryIndex::default();
        for (id, title, artist, album) in tracks {
            let texts = Texts {
                title,
                artist,
                album,
            };
            index.put(TrackId([*id; 16]), texts);
        }
        index
    }

    fn found(index: &MemoryIndex, query: &str) -> Vec<u8> {
        let (tracks, _) = index.search(query, 10);
        tracks.iter().map(|track| track.0[0]).collect()
    }

    #[test]
    fn better_fits_come_first_and_equal_ones_by_artist_and_album() {
        let index = index(&[
            (1, "Night Train", "Zed", "Rails"),
            (2, "Night", "Abe", "Moon"),
            (3, "The Night", "Abe", "Moon"),
            (4, "Dawn", "Night Owls", "Sun"),
            (5, "Night Boat", "Bea", "Water"),
        ]);
        assert_eq!(found(&index, "night"), [2, 5, 1, 3, 4]);
    }

    #[test]
    fn every_word_must_begin_some_word_whatever_case_and_accents() {
        let index = index(&[
            (1, "Étoile", "Björk Straße", "Ænima"),
            (2, "Star", "Bjarne", "X"),
        ]);
        assert_eq!(found(&index, "ETO bjor"), [1]);
        assert_eq!(found(&index, "strasse aeni"), [1]);
        assert_eq!(found(&index, "bj"), [2, 1]);
        assert_eq!(found(&index, "etoile star"), [0_u8; 0]);
        assert_eq!(found(&index, " - "), [0_u8; 0]);
    }

    #[test]
    fn replaced_texts_are_no_longer_found() {
        let mut index = index(&[(1, "Old Name", "A", "B"), (2, "Old", "C", "D")]);
        let texts = Texts {
            title: "New Name",
            artist: "A",
            album: "B",
        };
        index.put(TrackId([1; 16]), texts);
        assert_eq!(found(&index, "old"), [2]);
        assert_eq!(found(&index, "name"), [1]);
        assert_eq!(found(&index, "new"), [1]);
    }

    #[test]
    fn a_page_is_the_best_of_all_and_says_whether_there_are_more() {
        let tracks: Vec<_> = (0..50).map(|id| (id, "Same", "Artist", "Album")).collect();
        let index = index(&tracks);
        let (page, more) = index.search("same", 10);
        let expected: Vec<_> = (0..10).map(|id| TrackId([id; 16])).collect();
        assert_eq!((page, more), (expected, true));
        assert!(!index.search("same", 50).1);
        assert!(index.search("same", 0).0.is_empty());
    }
}
