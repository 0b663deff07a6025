//! What a neighbor wants to hear of, and how much of it it was told. Mostly these are a play and what
//! follows it, which take no memory of their own: a node has dozens of neighbors.
//!
//! Not here: what we want to hear of ([`crate::node::interest`]), when they are told
//! ([`crate::node::social`]).

use crate::key::RenditionKey;
use crate::limits::HOLDINGS_PER_MESSAGE_MAX;
use crate::lot::lot;
use crate::time::Instant;

/// Units told of a rendition that was told to be complete.
pub(crate) const TOLD_FULL: u16 = u16::MAX;

/// Renditions that need no memory of their own.
const FEW: usize = 2;

/// Renditions, each once, with the units told of them.
#[derive(Clone, Debug)]
pub(crate) struct Wants {
    keys: [RenditionKey; FEW],
    told: [u16; FEW],
    /// How many of those count; none if there are more.
    len: u8,
    /// All of them, if they are more than a few.
    more: Option<Box<Many>>,
    /// When the neighbor may be sent a `Have` again.
    pub(crate) have_at: Instant,
}

/// A byte for each rendition that a neighbor wants to hear of: of dozens of neighbors mostly none wants to hear of
/// what came, and to see that all their wishes need not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints([u8; FEW]);

const NOTHING: u8 = 0;
const ANYTHING: u8 = u8::MAX;

impl Hints {
    /// Whether the rendition of this hint may be among them. Of those that are not, one in a hundred may.
    pub(crate) fn may_have(self, hint: u8) -> bool {
        let [one, other] = self.0;
        one == hint || other == hint || one == ANYTHING
    }
}

/// The byte of a rendition.
pub(crate) const fn hint_of(rendition: RenditionKey) -> u8 {
    let spread = lot(rendition.0) >> 16;
    // None of the two above.
    ((spread * 254) >> 16) as u8 + 1
}

/// In key order.
#[derive(Clone, Debug)]
struct Many(Vec<(RenditionKey, u16)>);

impl Default for Wants {
    fn default() -> Self {
        Self {
            keys: [RenditionKey(0); FEW],
            told: [0; FEW],
            len: 0,
            more: None,
            have_at: Instant::START,
        }
    }
}

impl Wants {
    /// Replaces the list; what was told of those that stay is remembered. Beyond what one message may
    /// name, nothing is taken.
    pub(crate) fn replace(&mut self, renditions: &[RenditionKey]) {
        let before = core::mem::take(self);
        self.have_at = before.have_at;
        let named = renditions.iter().take(HOLDINGS_PER_MESSAGE_MAX);
        let told = |key: RenditionKey| before.told_of(key).unwrap_or(0);
        if renditions.len() > FEW {
            let mut many: Vec<_> = named.map(|key| (*key, told(*key))).collect();
            many.sort_unstable();
            many.dedup_by_key(|(key, _)| *key);
            self.more = Some(Box::new(Many(many)));
            return;
        }
        for key in named {
            let at = usize::from(self.len);
            if !self.keys.iter().take(at).any(|known| known == key) {
                (self.keys[at], self.told[at]) = (*key, told(*key));
                self.len += 1;
            }
        }
    }

    /// Each of them with the units told, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (RenditionKey, &mut u16)> {
        let few = self.keys.iter().copied().zip(&mut self.told);
        let many = self.more.iter_mut().flat_map(|many| many.0.iter_mut());
        few.take(usize::from(self.len))
            .chain(many.map(|(key, told)| (*key, told)))
    }

    /// Whether it wants to hear of `rendition`.
    pub(crate) fn contains(&self, rendition: RenditionKey) -> bool {
        self.told_of(rendition).is_some()
    }

    fn told_of(&self, rendition: RenditionKey) -> Option<u16> {
        if let Some(many) = &self.more {
            let known = many.0.iter().find(|(key, _)| *key == rendition);
            return known.map(|(_, told)| *told);
        }
        let few = self.keys.iter().zip(&self.told).take(usize::from(self.len));
        let mut known = few.filter(|(key, _)| **key == rendition);
        known.next().map(|(_, told)| *told)
    }

    /// What it wants to hear of, at a glance.
    pub(crate) fn hints(&self) -> Hints {
        if self.more.is_some() {
            return Hints([ANYTHING; FEW]);
        }
        let mut hints = [NOTHING; FEW];
        let keys = self.keys.iter().take(usize::from(self.len));
        for (hint, key) in hints.iter_mut().zip(keys) {
            *hint = hint_of(*key);
        }
        Hints(hints)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let many = self.more.as_ref();
        many.map_or(0, |many| {
            size_of::<Many>() + many.0.capacity() * size_of::<(RenditionKey, u16)>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(wants: &mut Wants) -> Vec<(u32, u16)> {
        wants.iter_mut().map(|(key, told)| (key.0, *told)).collect()
    }

    #[test]
    fn a_new_list_keeps_what_was_told_of_those_that_stay() {
        let mut wants = Wants::default();
        wants.replace(&[RenditionKey(7), RenditionKey(7)]);
        for (_, told) in wants.iter_mut() {
            *told = 5;
        }
        assert!(wants.hints().may_have(hint_of(RenditionKey(7))));
        wants.replace(&[RenditionKey(9), RenditionKey(7)]);
        let hinted = |wants: &Wants, key| wants.hints().may_have(hint_of(RenditionKey(key)));
        assert!(hinted(&wants, 7) && hinted(&wants, 9) && !hinted(&wants, 8));
        assert_eq!(keys(&mut wants), [(9, 0), (7, 5)]);
        assert_eq!(wants.heap_bytes(), 0);
        let many: Vec<_> = (1..100).rev().map(RenditionKey).collect();
        wants.replace(&many);
        let told = keys(&mut wants);
        assert_eq!(told.len(), HOLDINGS_PER_MESSAGE_MAX);
        assert!(told.is_sorted() && wants.contains(RenditionKey(99)) && hinted(&wants, 99));
        wants.replace(&[RenditionKey(98)]);
        assert_eq!(keys(&mut wants), [(98, 0)]);
        wants.replace(&[]);
        assert!(keys(&mut wants).is_empty() && !wants.contains(RenditionKey(98)));
        assert!((0..1_000).all(|key| !hinted(&wants, key)));
    }
}
