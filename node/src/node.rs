//! [`Node`]: a running node as its owner holds it.

use std::net::SocketAddr;
use std::time::Instant;

use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::{NodeId, TrackId};
use tokio::sync::{mpsc, oneshot};

use crate::command::{CommandError, Control, NodeCommand, Reply};
use crate::play_queue::Queued;
use crate::status::{LedgerEntry, PlayRecord, Status};

/// Commands that may wait for the driver; callers wait when it is full.
pub(crate) const COMMANDS_MAX: usize = 64;

/// A way to tell a running node something. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    commands: mpsc::Sender<NodeCommand>,
}

/// A running node. Dropping it leaves the node running; end it with [`NodeHandle::shutdown`].
#[derive(Debug)]
pub struct Node {
    /// For commands.
    pub handle: NodeHandle,
    /// Its transport key.
    pub id: NodeId,
    /// Where peers can dial it.
    pub listening: Vec<SocketAddr>,
    /// Where its local API answers, if it does.
    pub api: Option<SocketAddr>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Node {
    /// Waits until the node has ended.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the node's driver ended badly");
        }
    }
}

impl NodeHandle {
    pub(crate) const fn new(commands: mpsc::Sender<NodeCommand>) -> Self {
        Self { commands }
    }

    /// Replaces the queue and plays its first entry.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn play(&self, entries: Vec<Queued>) -> Result<(), CommandError> {
        let commanded = Instant::now();
        self.ask(|reply| NodeCommand::Play {
            entries,
            commanded,
            reply,
        })
        .await
    }

    /// Appends to the queue; says how many fitted.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn enqueue(&self, entries: Vec<Queued>) -> Result<usize, CommandError> {
        let commanded = Instant::now();
        self.ask(|reply| NodeCommand::Enqueue {
            entries,
            commanded,
            reply,
        })
        .await
    }

    /// Presses a key of the player.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn control(&self, control: Control) -> Result<(), CommandError> {
        let commanded = Instant::now();
        self.ask(|reply| NodeCommand::Transport {
            control,
            commanded,
            reply,
        })
        .await
    }

    /// Fetches a track whole in the background and keeps it.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn pin(&self, track: TrackId) -> Result<(), CommandError> {
        self.ask(|reply| NodeCommand::Pin { track, reply }).await
    }

    /// Searches the catalog.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn search(&self, query: &str, limit: u16) -> Result<Vec<TrackSummary>, CommandError> {
        let query = query.to_owned();
        self.ask(|reply| NodeCommand::Search {
            query,
            limit,
            reply,
        })
        .await
    }

    /// A page of the catalog, and whether more follow.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn catalog(
        &self,
        after: Option<TrackId>,
        limit: u16,
    ) -> Result<(Vec<TrackSummary>, bool), CommandError> {
        self.ask(|reply| NodeCommand::Catalog {
            after,
            limit,
            reply,
        })
        .await
    }

    /// The picture now.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn status(&self) -> Result<Status, CommandError> {
        self.ask(|reply| NodeCommand::Status { reply }).await
    }

    /// The latest plays, oldest first.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn plays(&self) -> Result<Vec<PlayRecord>, CommandError> {
        self.ask(|reply| NodeCommand::Plays { reply }).await
    }

    /// Where each rendition's bytes came from.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn ledger(&self) -> Result<Vec<LedgerEntry>, CommandError> {
        self.ask(|reply| NodeCommand::Ledger { reply }).await
    }

    /// Ends the node in good order.
    ///
    /// # Errors
    /// If it has ended already.
    pub async fn shutdown(&self) -> Result<(), CommandError> {
        self.ask(|reply| NodeCommand::Shutdown { reply }).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> NodeCommand,
    ) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| CommandError::Gone)?;
        answer.await.map_err(|_| CommandError::Gone)?
    }
}

impl std::fmt::Debug for NodeCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeCommand")
    }
}
