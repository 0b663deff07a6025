//! What is compared: each engine serves bytes in one process and fetches them in another.
//!
//! All move the same bytes in the same build with the same runtime, over one UDP socket a side.

pub mod iroh_blobs;
pub mod libp2p_stream;
pub mod origin;
pub mod peers;
pub mod quinn_stream;

use std::future::Future;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

/// Which engine, and what it does with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One quinn stream, bytes dropped.
    Quinn,
    /// One libp2p QUIC stream, bytes dropped.
    Libp2p,
    /// iroh-blobs from memory, verified and dropped.
    IrohVerify,
    /// iroh-blobs from its file store into its file store.
    IrohStore,
    /// Our peers from memory, verified and dropped.
    PeersVerify,
    /// Our peers from the chunk store into the chunk store.
    PeersStore,
    /// Our origin to our client, verified and dropped.
    OriginVerify,
    /// Our origin to our client, into the chunk store.
    OriginStore,
}

impl Engine {
    /// In the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Quinn,
        Self::Libp2p,
        Self::IrohVerify,
        Self::IrohStore,
        Self::PeersVerify,
        Self::PeersStore,
        Self::OriginVerify,
        Self::OriginStore,
    ];

    /// For arguments.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quinn => "quinn",
            Self::Libp2p => "libp2p",
            Self::IrohVerify => "iroh-verify",
            Self::IrohStore => "iroh-store",
            Self::PeersVerify => "peers-verify",
            Self::PeersStore => "peers-store",
            Self::OriginVerify => "origin-verify",
            Self::OriginStore => "origin-store",
        }
    }

    /// For the table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Quinn => "raw quinn, one stream",
            Self::Libp2p => "raw libp2p QUIC, one stream",
            Self::IrohVerify => "iroh-blobs get, verified",
            Self::IrohStore => "iroh-blobs get, verified and stored",
            Self::PeersVerify => "antiphon peers, verified",
            Self::PeersStore => "antiphon peers, verified and stored",
            Self::OriginVerify => "antiphon origin, verified",
            Self::OriginStore => "antiphon origin, verified and stored",
        }
    }

    /// The engine of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// Serves `data` until `stay` ends. `ready` is told where, for [`Self::fetch`].
    ///
    /// # Errors
    /// If it cannot be served.
    pub async fn serve(
        self,
        data: Bytes,
        folder: &Path,
        ready: impl FnOnce(Value) -> anyhow::Result<()>,
        stay: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Quinn => {
                let (server, address) = quinn_stream::serve(data)?;
                ready(address)?;
                stay.await;
                drop(server);
            }
            Self::Libp2p => {
                ready(libp2p_stream::serve(data).await?)?;
                stay.await;
            }
            Self::IrohVerify | Self::IrohStore => {
                let stored = (self == Self::IrohStore).then_some(folder);
                let (server, address) = iroh_blobs::serve(data, stored).await?;
                ready(address)?;
                stay.await;
                drop(server);
            }
            Self::PeersVerify | Self::PeersStore => {
                let stored = (self == Self::PeersStore).then_some(folder);
                let (servers, address) = peers::serve(data, stored).await?;
                ready(address)?;
                stay.await;
                drop(servers);
            }
            Self::OriginVerify | Self::OriginStore => {
                let (server, address) =
                    origin::serve(&data, folder, origin::Listen::default()).await?;
                drop(data);
                ready(address)?;
                stay.await;
                drop(server);
            }
        }
        Ok(())
    }

    /// Connects to `address`, calls `ready` and waits for it, then fetches everything. Returns
    /// the seconds that took, and the bytes.
    ///
    /// # Errors
    /// If anything fails or is missing.
    pub async fn fetch(
        self,
        address: Value,
        folder: &Path,
        ready: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<(f64, u64)> {
        match self {
            Self::Quinn => quinn_stream::fetch(address, ready).await,
            Self::Libp2p => libp2p_stream::fetch(address, ready).await,
            Self::IrohVerify => iroh_blobs::fetch_verified(address, ready).await,
            Self::IrohStore => iroh_blobs::fetch_stored(address, folder, ready).await,
            Self::PeersVerify => peers::fetch(address, None, ready).await,
            Self::PeersStore => peers::fetch(address, Some(folder), ready).await,
            Self::OriginVerify => origin::fetch(address, None, ready).await,
            Self::OriginStore => origin::fetch(address, Some(folder), ready).await,
        }
    }
}
