//! The few renditions a node cares for at a time, in order and once each, without an allocation.

use crate::key::RenditionKey;
use crate::limits::{EXPECTED_MAX, PINS_ACTIVE_MAX};

/// The play, what is expected, the pins being fetched.
const MAX: usize = 1 + EXPECTED_MAX + PINS_ACTIVE_MAX;

/// At most [`MAX`] renditions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Few {
    list: [RenditionKey; MAX],
    len: u8,
}

impl Default for Few {
    fn default() -> Self {
        let list = [RenditionKey(0); MAX];
        Self { list, len: 0 }
    }
}

impl Few {
    /// Adds one that is not there yet; beyond the maximum, which its sources keep, nothing.
    pub(crate) fn add(&mut self, rendition: RenditionKey) {
        if self.as_slice().contains(&rendition) {
            return;
        }
        if let Some(place) = self.list.get_mut(usize::from(self.len)) {
            *place = rendition;
            self.len += 1;
        }
    }

    pub(crate) fn contains_all(&self, others: Self) -> bool {
        let mut others = others.as_slice().iter();
        others.all(|other| self.as_slice().contains(other))
    }

    pub(crate) fn as_slice(&self) -> &[RenditionKey] {
        self.list.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl IntoIterator for Few {
    type Item = RenditionKey;
    type IntoIter = core::iter::Take<core::array::IntoIter<RenditionKey, MAX>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().take(usize::from(self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_in_order_and_no_more_than_fit() {
        let mut few = Few::default();
        for key in [4, 2, 4, 9, 2, 7, 8, 1] {
            few.add(RenditionKey(key));
        }
        let keys: Vec<u32> = few.into_iter().map(|key| key.0).collect();
        assert_eq!(keys, [4, 2, 9, 7, 8]);
        let mut part = Few::default();
        part.add(RenditionKey(9));
        assert!(few.contains_all(part) && !part.contains_all(few));
    }
}
