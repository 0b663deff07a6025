//! The tracks this tracker offers: pages, search, and what a license needs.
//!
//! Summaries of all tracks are in memory; manifests and keys only of the ones opened lately. Not
//! here: reading release files (`import`) and who may play what (`licensing`).

pub(crate) mod import;
mod recent;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::license::TrackKeys;
use antiphon_protocol::manifest::{Rung, TrackManifest};
use antiphon_protocol::release::Release;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::{ContentId, TrackId};
use ed25519_dalek::VerifyingKey;

use crate::search::{MemoryIndex, SearchIndex, Texts, folded};
use crate::store::tracks::{TrackRow, TrackRows};
use crate::store::{Store, StoreError};
use crate::vault::Vault;
use recent::Recent;

/// Tracks read from the database at a time while loading.
const LOAD_PAGE: u32 = 256;
/// Manifests and keys kept ready: about 4 KiB each make 64 MiB. Guess.
const RECENT_MAX: usize = 16_384;

/// All tracks.
pub(crate) struct Catalog {
    rows: TrackRows,
    vault: Vault,
    listing: RwLock<Listing>,
    recent: Recent<TrackId, Arc<PlayableTrack>>,
}

/// What an `Open` needs of a track.
pub(crate) struct PlayableTrack {
    pub manifest: Signed<TrackManifest>,
    /// Content by rung, lowest first.
    pub contents: Vec<(Rung, ContentId)>,
    pub keys: TrackKeys,
    version: u32,
}

struct Listing {
    tracks: HashMap<TrackId, Listed>,
    order: BTreeMap<SortKey, TrackId>,
    /// Which renditions the tracker answers about.
    contents: HashMap<ContentId, TrackId>,
    index: Box<dyn SearchIndex>,
}

struct Listed {
    version: u32,
    key: SortKey,
    summary: TrackSummary,
    contents: Vec<ContentId>,
}

/// Artist, album, position, title, id: the order of catalog pages.
type SortKey = (String, String, u16, String, TrackId);

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Imported {
    /// New, or of a higher version than before.
    Taken,
    /// This version or a higher one is there already.
    Known,
}

impl Catalog {
    /// Everything the database has that is signed with `key`.
    pub(crate) async fn load(
        store: &Store,
        vault_key: &[u8; 32],
        key: Option<&VerifyingKey>,
    ) -> Result<Self, StoreError> {
        let catalog = Self {
            rows: TrackRows::new(store.clone()),
            vault: Vault::new(vault_key),
            listing: RwLock::new(Listing::default()),
            recent: Recent::new(RECENT_MAX),
        };
        if let Some(key) = key {
            catalog.load_signed(key).await?;
        }
        Ok(catalog)
    }

    /// Lists what the database has that is signed with `key`.
    pub(crate) async fn load_signed(&self, key: &VerifyingKey) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.rows.page(after, LOAD_PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.track);
            for row in &page {
                let manifest = Signed::<TrackManifest>::from_bytes(&row.manifest)
                    .and_then(|signed| signed.open(key));
                match manifest {
                    Ok(manifest) => self.write().put(&manifest),
                    Err(error) => {
                        tracing::warn!(track = %row.track, %error,
                            "a stored track is not offered; ingest it again");
                    }
                }
            }
        }
    }

    /// Takes a release in, if it is newer than what is there. Checks everything in it.
    pub(crate) async fn import(
        &self,
        release: &Release,
        expected: TrackId,
        key: &VerifyingKey,
    ) -> Result<Imported, ImportError> {
        let manifest = release.manifest.open(key).map_err(ImportError::Manifest)?;
        if manifest.track != expected {
            return Err(ImportError::OtherTrack(manifest.track));
        }
        let mut wrapped_keys = Vec::with_capacity(manifest.renditions.len());
        for rendition in &manifest.renditions {
            let owner = self.owner(rendition.content);
            if owner.is_some_and(|owner| owner != manifest.track) {
                return Err(ImportError::OthersRendition(rendition.content));
            }
            let found = release.keys.iter().find(|(id, _)| *id == rendition.content);
            let (content, key) = found.ok_or(ImportError::NoKey(rendition.content))?;
            wrapped_keys.push((*content, self.vault.wrap(*content, key)));
        }
        let known = self.read().tracks.get(&manifest.track).map(|t| t.version);
        if known.is_some_and(|known| known >= manifest.version) {
            return Ok(Imported::Known);
        }
        let row = TrackRow {
            track: manifest.track,
            version: manifest.version,
            manifest: release.manifest.to_bytes(),
            wrapped_keys,
        };
        self.rows.put(&row).await?;
        self.write().put(&manifest);
        Ok(Imported::Taken)
    }

    /// Everything to open a track with, if it is offered.
    pub(crate) async fn playable(
        &self,
        track: TrackId,
        key: &VerifyingKey,
    ) -> Result<Option<Arc<PlayableTrack>>, StoreError> {
        let Some(version) = self.read().tracks.get(&track).map(|listed| listed.version) else {
            return Ok(None);
        };
        if let Some(ready) = self.recent.find(&track)
            && ready.version >= version
        {
            return Ok(Some(ready));
        }
        let Some(row) = self.rows.find(track).await? else {
            return Ok(None);
        };
        let manifest = Signed::<TrackManifest>::from_bytes(&row.manifest)
            .map_err(|_| StoreError::Malformed("manifest"))?;
        let opened = manifest.open(key);
        let opened = opened.map_err(|_| StoreError::Malformed("manifest"))?;
        let mut keys = TrackKeys::with_capacity(row.wrapped_keys.len());
        for (content, wrapped) in &row.wrapped_keys {
            let key = self.vault.unwrap(*content, wrapped);
            keys.push((*content, key.ok_or(StoreError::Malformed("rendition key"))?));
        }
        let contents = opened.renditions.iter().map(|r| (r.rung, r.content));
        let playable = Arc::new(PlayableTrack {
            manifest,
            contents: contents.collect(),
            keys,
            version: row.version,
        });
        self.recent.put(track, Arc::clone(&playable));
        Ok(Some(playable))
    }

    /// A page in catalog order; nothing if `after` is no track of ours.
    pub(crate) fn page(
        &self,
        after: Option<TrackId>,
        limit: usize,
    ) -> Option<(Vec<TrackSummary>, bool)> {
        let listing = self.read();
        let start = match after {
            Some(track) => Bound::Excluded(&listing.tracks.get(&track)?.key),
            None => Bound::Unbounded,
        };
        let mut rest = listing.order.range((start, Bound::Unbounded));
        let page: Vec<_> = rest
            .by_ref()
            .take(limit)
            .filter_map(|(_, track)| listing.summary(*track))
            .collect();
        Some((page, rest.next().is_some()))
    }

    /// The tracks that fit a query, best first.
    pub(crate) fn search(&self, query: &str, limit: usize) -> (Vec<TrackSummary>, bool) {
        let listing = self.read();
        let (tracks, more) = listing.index.search(query, limit);
        let found = tracks.iter().filter_map(|track| listing.summary(*track));
        (found.collect(), more)
    }

    /// The track a rendition belongs to, if it is one of ours.
    pub(crate) fn owner(&self, content: ContentId) -> Option<TrackId> {
        self.read().contents.get(&content).copied()
    }

    /// Which of the renditions are ours, in their order.
    pub(crate) fn known(&self, contents: impl Iterator<Item = ContentId>) -> Vec<bool> {
        let listing = self.read();
        contents
            .map(|content| listing.contents.contains_key(&content))
            .collect()
    }

    /// How many tracks are offered.
    pub(crate) fn len(&self) -> usize {
        self.read().tracks.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Listing> {
        self.listing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Listing> {
        self.listing.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlayableTrack {
    /// The content for a wish: the rung itself, else the next lower, else the lowest there is.
    pub(crate) fn content(&self, wish: Rung) -> Option<ContentId> {
        let at_most = self.contents.iter().rev().find(|(rung, _)| *rung <= wish);
        at_most
            .or(self.contents.first())
            .map(|(_, content)| *content)
    }
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            tracks: HashMap::new(),
            order: BTreeMap::new(),
            contents: HashMap::new(),
            index: Box::new(MemoryIndex::default()),
        }
    }
}

impl Listing {
    fn put(&mut self, manifest: &TrackManifest) {
        let Some(listed) = Listed::new(manifest) else {
            return;
        };
        if let Some(former) = self.tracks.remove(&manifest.track) {
            self.order.remove(&former.key);
            for content in &former.contents {
                self.contents.remove(content);
            }
        }
        let texts = Texts {
            title: &manifest.title,
            artist: &manifest.artist,
            album: &manifest.album,
        };
        self.index.put(manifest.track, texts);
        self.order.insert(listed.key.clone(), manifest.track);
        for content in &listed.contents {
            self.contents.insert(*content, manifest.track);
        }
        self.tracks.insert(manifest.track, listed);
    }

    fn summary(&self, track: TrackId) -> Option<TrackSummary> {
        self.tracks.get(&track).map(|listed| listed.summary.clone())
    }
}

impl Listed {
    /// Nothing for a manifest without renditions, which no check lets through.
    fn new(manifest: &TrackManifest) -> Option<Self> {
        let standard = manifest.rendition(Rung::Standard)?;
        let key = (
            folded(&manifest.artist),
            folded(&manifest.album),
            manifest.track_number.unwrap_or(u16::MAX),
            folded(&manifest.title),
            manifest.track,
        );
        let summary = TrackSummary {
            track: manifest.track,
            title: manifest.title.clone(),
            artist: manifest.artist.clone(),
            album: manifest.album.clone(),
            duration: standard.duration(),
            art: manifest.art,
            content: standard.content,
            size: standard.size,
            bit_rate: standard.bit_rate,
        };
        Some(Self {
            version: manifest.version,
            key,
            summary,
            contents: manifest.renditions.iter().map(|r| r.content).collect(),
        })
    }
}

/// Why a release was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ImportError {
    #[error("{0}")]
    File(String),
    #[error("its manifest is not to be trusted: {0}")]
    Manifest(antiphon_protocol::signed::OpenError),
    #[error("it is of another track, {0}")]
    OtherTrack(TrackId),
    #[error("it has no key for its rendition {0}")]
    NoKey(ContentId),
    #[error("its rendition {0} belongs to another track")]
    OthersRendition(ContentId),
    #[error(transparent)]
    Store(#[from] StoreError),
}
