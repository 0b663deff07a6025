//! Rows of tracks and of their renditions' wrapped keys.

use antiphon_protocol::{ContentId, TrackId};

use super::{Store, StoreError, bytes};
use crate::clock;

/// A track as it is stored: nothing in it is believed before the catalog checked it.
pub(crate) struct TrackRow {
    pub track: TrackId,
    pub version: u32,
    pub manifest: Vec<u8>,
    /// Filled by [`TrackRows::find`] and for [`TrackRows::put`].
    pub wrapped_keys: Vec<(ContentId, Vec<u8>)>,
}

/// Version, manifest, content, wrapped key.
type RenditionColumns = (i64, Vec<u8>, Vec<u8>, Vec<u8>);

/// Tracks in the database.
#[derive(Clone)]
pub(crate) struct TrackRows(Store);

impl TrackRows {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// Stores or replaces a track with its keys, all or nothing.
    pub(crate) async fn put(&self, row: &TrackRow) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        sqlx::query(
            "INSERT INTO tracks (id, version, manifest, imported) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version,
             manifest = excluded.manifest, imported = excluded.imported",
        )
        .bind(row.track.as_bytes().as_slice())
        .bind(i64::from(row.version))
        .bind(row.manifest.as_slice())
        .bind(clock::to_sql(clock::now()))
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM renditions WHERE track = $1")
            .bind(row.track.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await?;
        for (content, wrapped) in &row.wrapped_keys {
            sqlx::query("INSERT INTO renditions (content, track, wrapped_key) VALUES ($1, $2, $3)")
                .bind(content.as_bytes().as_slice())
                .bind(row.track.as_bytes().as_slice())
                .bind(wrapped.as_slice())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Tracks after `after` by id, at most `limit`, without their keys.
    pub(crate) async fn page(
        &self,
        after: Option<TrackId>,
        limit: u32,
    ) -> Result<Vec<TrackRow>, StoreError> {
        let after = after.map_or_else(Vec::new, |track| track.as_bytes().to_vec());
        let rows: Vec<(Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT id, version, manifest FROM tracks WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.0.pool)
        .await?;
        rows.into_iter()
            .map(|(id, version, manifest)| {
                Ok(TrackRow {
                    track: TrackId(bytes("track id", &id)?),
                    version: u32::try_from(version)
                        .map_err(|_| StoreError::Malformed("track version"))?,
                    manifest,
                    wrapped_keys: Vec::new(),
                })
            })
            .collect()
    }

    /// One track with its keys.
    pub(crate) async fn find(&self, track: TrackId) -> Result<Option<TrackRow>, StoreError> {
        // One statement, so that a replacement in between cannot mix two versions.
        let rows: Vec<RenditionColumns> = sqlx::query_as(
            "SELECT tracks.version, tracks.manifest, renditions.content, renditions.wrapped_key
             FROM tracks JOIN renditions ON renditions.track = tracks.id WHERE tracks.id = $1",
        )
        .bind(track.as_bytes().as_slice())
        .fetch_all(&self.0.pool)
        .await?;
        let mut found: Option<TrackRow> = None;
        for (version, manifest, content, wrapped) in rows {
            let version =
                u32::try_from(version).map_err(|_| StoreError::Malformed("track version"))?;
            let content = ContentId(bytes("content id", &content)?);
            found
                .get_or_insert_with(|| TrackRow {
                    track,
                    version,
                    manifest,
                    wrapped_keys: Vec::new(),
                })
                .wrapped_keys
                .push((content, wrapped));
        }
        Ok(found)
    }
}
