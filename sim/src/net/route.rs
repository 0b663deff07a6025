//! The links a flow crosses.
//!
//! Not here: which ones these are; the world knows who lives where.

use crate::net::fluid::LinkId;

/// Most links of one flow: line, Wi-Fi and last mile at both ends, and one between regions.
pub const ROUTE_LINKS_MAX: usize = 7;

/// A few links, each once. Most routes have two: the sender's line up and the receiver's down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    links: [LinkId; ROUTE_LINKS_MAX],
    count: u8,
}

impl Route {
    /// Over one link.
    #[must_use]
    pub const fn over(link: LinkId) -> Self {
        Self {
            links: [link; ROUTE_LINKS_MAX],
            count: 1,
        }
    }

    /// From one line into another.
    #[must_use]
    pub fn direct(from: LinkId, to: LinkId) -> Self {
        Self::over(from).and(to)
    }

    /// And over this one, if it is not on the route already.
    ///
    /// # Panics
    ///
    /// On the eighth link.
    #[must_use]
    pub fn and(mut self, link: LinkId) -> Self {
        if !self.links().contains(&link) {
            self.links[self.count as usize] = link;
            self.count += 1;
        }
        self
    }

    /// The links.
    #[must_use]
    pub fn links(&self) -> &[LinkId] {
        &self.links[..self.count as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_each_link_once() {
        let route = Route::direct(LinkId(3), LinkId(5))
            .and(LinkId(3))
            .and(LinkId(9));
        assert_eq!(route.links(), [LinkId(3), LinkId(5), LinkId(9)]);
    }
}
