//! A program that speaks the protocols itself, with a real account: to try what the real node
//! never would. Its transports are the node's; what it says and serves through them is its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon_node::peers::{
    self, FetchOrder, PeerEvent, PeerHandle, PeerTransport, PeerTransportConfig,
};
use antiphon_node::tracker_client::{Session, TrackerClient};
use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::peer::{Extent, PeerContact, PeerLimits, Priority, SpanRequest};
use antiphon_protocol::tracker::{
    AnnounceEntry, Attached, Holder, OpenedTrack, Password, TrackerReply, TrackerRequest,
};
use antiphon_protocol::{
    ChunkIndex, ErrorCode, Millis, NodeId, Rung, Span, SwarmId, TrackId, UnixSeconds,
};
use antiphon_swarm::FetchId;
use antiphon_swarm::node::input::FetchEvent;
use anyhow::{Context as _, bail};
use ed25519_dalek::VerifyingKey;
use tokio::sync::mpsc;

use crate::library::Known;
use crate::network::Network;
use crate::peer_source::{CountingSink, PeerSource};
use crate::program::PASSWORD;
use crate::wait::PATIENCE;

/// What an outsider does with spans asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// Gives them.
    Serves,
    /// Neither answers nor declines.
    Stalls,
    /// Declines each.
    Declines,
}

/// An account, a device and a transport.
pub struct Outsider {
    /// Its connection to the tracker.
    pub client: TrackerClient,
    /// What the tracker told it.
    pub attached: Attached,
    /// Its device.
    pub device: DeviceSecret,
    /// Its login.
    pub session: Session,
    /// Its transport.
    pub peers: PeerHandle,
    /// What came through its transport.
    pub received: Arc<CountingSink>,
    events: Option<mpsc::Receiver<PeerEvent>>,
}

impl Outsider {
    /// Makes an account and attaches; serves nothing yet.
    ///
    /// # Errors
    /// If the tracker does not let it.
    pub async fn join(
        network: &Network,
        name: &str,
        source: Arc<PeerSource>,
    ) -> anyhow::Result<Self> {
        let client = network.tracker_client().await?;
        let device = DeviceSecret::generate(&mut rand::rng());
        let password = Password(PASSWORD.to_owned());
        let session = client
            .register(name.to_owned(), password, device.public())
            .await?;
        let received = Arc::new(CountingSink::default());
        let identity = rand::random();
        let config = PeerTransportConfig {
            identity,
            listen: peers::bind(&["127.0.0.1:0".parse()?])?,
            tracker_key: key(network.tracker_key())?,
            limits: PeerLimits {
                spans_in_flight: 2,
                uploads: true,
            },
            now: Arc::new(now),
        };
        let (peers, events) =
            PeerTransport::start(config, Arc::<CountingSink>::clone(&received), source).await?;
        let addresses = peers.listen_addresses().to_vec();
        let node = NodeSecret::from_bytes(&identity);
        let attached = client
            .attach(session.token.clone(), &device, &node, addresses)
            .await?;
        peers.set_ticket(attached.passes.ticket.clone());
        Ok(Self {
            client,
            attached,
            device,
            session,
            peers,
            received,
            events: Some(events),
        })
    }

    /// Asks the tracker for a track, as a player would.
    ///
    /// # Errors
    /// If the tracker refuses.
    pub async fn open(&self, track: TrackId) -> anyhow::Result<OpenedTrack> {
        let rung = Rung::Standard;
        let request = TrackerRequest::Open { track, rung };
        match self.client.request(request).await? {
            TrackerReply::Opened(opened) => Ok(*opened),
            other => bail!("another reply: {other:?}"),
        }
    }

    /// Claims to hold `piece` whole.
    ///
    /// # Errors
    /// If the tracker refuses.
    pub async fn announce(&self, piece: &Known) -> anyhow::Result<()> {
        let entries = vec![AnnounceEntry {
            content: piece.content(),
            extent: Extent::Full,
        }];
        let reply = self.client.request(TrackerRequest::Announce { entries });
        match reply.await? {
            TrackerReply::Announced { .. } => Ok(()),
            other => bail!("another reply: {other:?}"),
        }
    }

    /// Who holds `piece`, as the tracker tells it.
    ///
    /// # Errors
    /// If the tracker refuses.
    pub async fn look_up(&self, piece: &Known) -> anyhow::Result<(SwarmId, Vec<Holder>)> {
        let request = TrackerRequest::Lookup {
            content: piece.content(),
            limit: 8,
        };
        match self.client.request(request).await? {
            TrackerReply::Holders { swarm, holders } => Ok((swarm, holders)),
            other => bail!("another reply: {other:?}"),
        }
    }

    /// Treats every span asked of it like this from now on; counts them.
    ///
    /// # Errors
    /// If it does so already.
    pub fn behave(&mut self, manners: Manners, piece: &Known) -> anyhow::Result<Arc<AtomicU64>> {
        let mut events = self.events.take().context("it behaves already")?;
        let (peers, content, geometry) = (self.peers.clone(), piece.content(), piece.geometry()?);
        let asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let PeerEvent::SpanAsked { upload, .. } = event else {
                    continue;
                };
                counter.fetch_add(1, Ordering::Relaxed);
                match manners {
                    Manners::Serves => peers.accept_upload(upload, content, geometry),
                    Manners::Stalls => {}
                    Manners::Declines => {
                        peers.decline_upload(upload, ErrorCode::BUSY, Millis(1_000));
                    }
                }
            }
        });
        Ok(asked)
    }

    /// Dials a node; whether it let the outsider in.
    ///
    /// # Errors
    /// If neither comes about.
    pub async fn dial(&mut self, contact: PeerContact) -> anyhow::Result<bool> {
        let wanted = contact.node;
        self.peers.dial(contact);
        self.event(|event| match event {
            PeerEvent::Connected { node, .. } if *node == wanted => Some(true),
            PeerEvent::DialFailed { node } | PeerEvent::Disconnected { node, .. }
                if *node == wanted =>
            {
                Some(false)
            }
            _ => None,
        })
        .await
    }

    /// Asks a node for the first `count` chunks of `piece`; how that ends.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn fetch(
        &mut self,
        node: NodeId,
        swarm: SwarmId,
        piece: &Known,
        count: u32,
    ) -> anyhow::Result<FetchEvent> {
        let request = SpanRequest {
            swarm,
            span: Span::new(ChunkIndex(0), count).context("a legal span")?,
            priority: Priority::Urgent,
            deadline: Millis(1_000),
        };
        self.peers.fetch(FetchOrder {
            fetch: FetchId(1),
            node,
            content: piece.content(),
            geometry: piece.geometry()?,
            request,
        });
        self.event(|event| match event {
            PeerEvent::Fetch { event, .. } => match event {
                FetchEvent::Accepted | FetchEvent::Verified { .. } => None,
                end => Some(*end),
            },
            _ => None,
        })
        .await
    }

    /// Waits until its transport says something.
    ///
    /// # Errors
    /// If it does not.
    pub async fn sees(
        &mut self,
        what: &str,
        wanted: impl Fn(&PeerEvent) -> bool,
    ) -> anyhow::Result<()> {
        let seen = self.event(|event| wanted(event).then_some(())).await;
        seen.with_context(|| format!("in vain: {what}"))
    }

    async fn event<T>(&mut self, wanted: impl Fn(&PeerEvent) -> Option<T>) -> anyhow::Result<T> {
        let events = self.events.as_mut().context("it behaves; ask before")?;
        let seen = tokio::time::timeout(PATIENCE, async {
            loop {
                let event = events.recv().await.context("the transport ended")?;
                if let Some(seen) = wanted(&event) {
                    return Ok(seen);
                }
            }
        });
        seen.await.context("the transport says nothing")?
    }
}

/// A public key as the programs print it.
///
/// # Errors
/// If it is none.
pub fn key(hex: &str) -> anyhow::Result<VerifyingKey> {
    let bytes: NodeId = hex.parse()?;
    Ok(VerifyingKey::from_bytes(&bytes.0)?)
}

/// The wall clock.
#[must_use]
pub fn now() -> UnixSeconds {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(passed.unwrap_or(Duration::ZERO).as_secs())
}
