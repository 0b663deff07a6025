//! Overlay search: which queries were seen, where their answers go.
//!
//! Not here: whom we search for.

use antiphon_protocol::QueryId;

use crate::key::{PeerKey, RenditionKey};
use crate::limits::QUERIES_MAX;

/// Searches answered or forwarded for one neighbor in a second. Guess; a listener starts a track
/// about every two minutes.
pub(crate) const FINDS_PER_SECOND_MAX: u8 = 5;

#[derive(Clone, Copy, Debug)]
struct Seen {
    query: QueryId,
    rendition: RenditionKey,
    /// Who asked; nobody if we did.
    from: Option<PeerKey>,
}

/// The queries seen last, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    seen: Vec<Seen>,
}

impl Overlay {
    /// Notes a query. False if it was seen before.
    pub(crate) fn note(
        &mut self,
        query: QueryId,
        rendition: RenditionKey,
        from: Option<PeerKey>,
    ) -> bool {
        if self.seen.iter().any(|seen| seen.query == query) {
            return false;
        }
        if self.seen.len() >= QUERIES_MAX {
            self.seen.remove(0);
        }
        self.seen.push(Seen {
            query,
            rendition,
            from,
        });
        true
    }

    /// Who an answer is for: `Some(None)` is this node, nothing is nobody.
    pub(crate) fn asker(&self, query: QueryId, rendition: RenditionKey) -> Option<Option<PeerKey>> {
        let matches = |seen: &&Seen| seen.query == query && seen.rendition == rendition;
        self.seen.iter().find(matches).map(|seen| seen.from)
    }

    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_dropped_and_the_oldest_is_forgotten() {
        let mut overlay = Overlay::default();
        let rendition = RenditionKey(1);
        for query in 0..=QUERIES_MAX as u64 {
            assert!(overlay.note(QueryId(query), rendition, Some(PeerKey(3))));
            assert!(!overlay.note(QueryId(query), rendition, None));
        }
        assert_eq!(overlay.len(), QUERIES_MAX);
        assert_eq!(overlay.asker(QueryId(0), rendition), None);
        assert_eq!(overlay.asker(QueryId(5), rendition), Some(Some(PeerKey(3))));
        assert_eq!(overlay.asker(QueryId(5), RenditionKey(2)), None);
    }
}
