//! Every request and its answer. Deny by default: a request is answered only after `AttachNode` or
//! `Attach` unless this module says otherwise, and only the former makes a node of anybody.

use std::time::{Duration, Instant};

use antiphon_protocol::admission::AddressBlock;
use antiphon_protocol::limits::HOLDERS_PER_ANSWER_MAX;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::tracker::{AnnounceEntry, OpenedTrack, TrackerReply, TrackerRequest};
use antiphon_protocol::{ContentId, ErrorCode, Millis, NodeId, TrackId};
use antiphon_swarm::registry::Held;

use super::connection::{Attachment, Connection};
use super::{attach, placements};
use crate::accounts::{AccountError, NewSession, Session, name_key};
use crate::clock;
use crate::licensing::IssueError;
use crate::names::secs_to_next_epoch;
use crate::passes;
use crate::store::StoreError;
use crate::swarms::{self, NoIntroduction, ProvenNode};

/// A disabled account or a withdrawn token ends within this time on a connection that stays.
const RECHECK: Duration = Duration::from_secs(60);
/// When to come back after a refusal that is about our own state.
const RETRY_SOON: Millis = Millis(2_000);
/// Announced entries that cost as much as one ordinary request; guess from their bytes.
const ENTRIES_PER_COST: usize = 32;

/// What a request costs of its sender's allowance.
pub(super) fn cost(request: &TrackerRequest) -> u32 {
    match request {
        TrackerRequest::Announce { entries } => 1 + (entries.len() / ENTRIES_PER_COST) as u32,
        _ => 1,
    }
}

/// Answers a request, or refuses it.
pub(super) async fn answer(
    connection: &Connection,
    request: TrackerRequest,
) -> Result<TrackerReply, Refusal> {
    // The requests that need no attachment; whatever is appended needs one.
    let request = match request {
        TrackerRequest::Register {
            name,
            password,
            device,
        } => {
            allow_login(connection, &name)?;
            if !connection.context.config.open_registration {
                return Err(Refusal::new(ErrorCode::FORBIDDEN));
            }
            let accounts = &connection.context.accounts;
            let registered = accounts.register(&name, &password, &device).await;
            return logged_in(connection, registered);
        }
        TrackerRequest::Login {
            name,
            password,
            device,
        } => {
            allow_login(connection, &name)?;
            let accounts = &connection.context.accounts;
            let session = accounts.login(&name, &password, &device).await;
            return logged_in(connection, session);
        }
        TrackerRequest::Attach {
            token,
            proof,
            node,
            addresses,
        } => {
            let device = (token, &proof);
            return attach::attach(connection, device, (node, None), &addresses).await;
        }
        TrackerRequest::AttachNode {
            token,
            proof,
            node,
            node_proof,
            addresses,
        } => {
            let (device, node) = ((token, &proof), (node, Some(&node_proof)));
            return attach::attach(connection, device, node, &addresses).await;
        }
        request => request,
    };
    let attachment = admitted(connection, cost(&request)).await?;
    answer_attached(connection, &attachment, request).await
}

async fn answer_attached(
    connection: &Connection,
    attachment: &Attachment,
    request: TrackerRequest,
) -> Result<TrackerReply, Refusal> {
    let context = &connection.context;
    match request {
        TrackerRequest::Catalog { after, limit } => {
            let page = context.catalog.page(after, usize::from(limit.max(1)));
            let (tracks, more) = page.ok_or(Refusal::new(ErrorCode::NOT_FOUND))?;
            Ok(TrackerReply::Tracks { tracks, more })
        }
        TrackerRequest::Search { query, limit } => {
            let found = context.catalog.search(&query, usize::from(limit.max(1)));
            let (tracks, more) = found;
            Ok(TrackerReply::Tracks { tracks, more })
        }
        TrackerRequest::Open { track, rung } => {
            let mut opened = open(connection, attachment, track, rung).await?;
            let (content, asker) = (opened.content, attachment.proven);
            let lookup = context
                .swarms
                .lookup(asker, content, HOLDERS_PER_ANSWER_MAX);
            opened.holders = lookup.await;
            Ok(TrackerReply::Opened(Box::new(opened)))
        }
        TrackerRequest::OpenHeld { track, rung } => {
            let opened = open(connection, attachment, track, rung).await?;
            Ok(TrackerReply::Opened(Box::new(opened)))
        }
        TrackerRequest::Announce { entries } => {
            Ok(announce(connection, attachment.proven, &entries).await)
        }
        TrackerRequest::Lookup { content, limit } => {
            lookup(connection, attachment.proven, content, limit).await
        }
        TrackerRequest::Renew => {
            let passes = passes::issue(attachment.node, &context.signing);
            Ok(TrackerReply::Passes(Box::new(passes)))
        }
        TrackerRequest::Placements { limit } => match attachment.proven {
            Some(node) => placements::placements(context, node, limit).await,
            // Nobody would be told who keeps it.
            None => Ok(TrackerReply::Placements { placements: vec![] }),
        },
        TrackerRequest::Introduce { node } => introduce(connection, attachment, node).await,
        TrackerRequest::Leave => {
            if let Some(node) = attachment.proven {
                context.swarms.forget(node, connection.attach).await;
            }
            Ok(TrackerReply::Left)
        }
        TrackerRequest::Register { .. }
        | TrackerRequest::Login { .. }
        | TrackerRequest::Attach { .. }
        | TrackerRequest::AttachNode { .. } => Err(Refusal::new(ErrorCode::INVALID)),
    }
}

/// Counts a login against the address it comes from and the account it is for.
fn allow_login(connection: &Connection, name: &str) -> Result<(), Refusal> {
    let limits = &connection.context.limits;
    let address = AddressBlock::of(connection.observed().ip());
    let account = name_key(name).unwrap_or_default();
    limits
        .address_logins
        .take(address.as_bytes(), 1)
        .and_then(|()| limits.account_logins.take(account.as_bytes(), 1))
        .map_err(Refusal::rate_limited)
}

fn logged_in(
    connection: &Connection,
    session: Result<NewSession, AccountError>,
) -> Result<TrackerReply, Refusal> {
    let session = session.map_err(|error| {
        if matches!(error, AccountError::Login) {
            connection.context.metrics.failed_logins.add(1);
        }
        Refusal::from(error)
    })?;
    Ok(TrackerReply::Session {
        account: session.account,
        token: session.token,
        expires: session.expires,
    })
}

/// The attachment, if there is one, it is still good, and its account's allowance lasts.
async fn admitted(
    connection: &Connection,
    cost: u32,
) -> Result<std::sync::Arc<Attachment>, Refusal> {
    let context = &connection.context;
    let unauthenticated = Refusal::new(ErrorCode::UNAUTHENTICATED);
    let attachment = connection.attachment().ok_or(unauthenticated)?;
    let account = attachment.session.account.0.to_le_bytes();
    let allowed = context.limits.accounts.take(&account, cost);
    allowed.map_err(Refusal::rate_limited)?;
    if clock::now() >= attachment.session.expires {
        connection.detach().await;
        return Err(unauthenticated);
    }
    if attachment.checked.elapsed() < RECHECK {
        return Ok(attachment);
    }
    let Some(session) = context.accounts.session(&attachment.token).await? else {
        connection.detach().await;
        return Err(unauthenticated);
    };
    let checked = connection.attach_as(Attachment {
        session,
        node: attachment.node,
        proven: attachment.proven,
        token: attachment.token.clone(),
        checked: Instant::now(),
    });
    checked.ok_or(unauthenticated)
}

/// What a track is played with, without holders.
async fn open(
    connection: &Connection,
    attachment: &Attachment,
    track: TrackId,
    rung: Rung,
) -> Result<OpenedTrack, Refusal> {
    let context = &connection.context;
    let session: &Session = &attachment.session;
    let not_found = Refusal::new(ErrorCode::NOT_FOUND);
    let catalog_key = context.catalog_key.get().ok_or(not_found)?;
    let playable = context.catalog.playable(track, catalog_key).await?;
    let playable = playable.ok_or(not_found)?;
    let content = playable.content(rung).ok_or(not_found)?;
    let license = context
        .licensing
        .issue(session, track, &playable, &context.signing)?;
    Ok(OpenedTrack {
        manifest: playable.manifest.clone(),
        license,
        content,
        swarm: context.names.asked(content, clock::now()),
        holders: Vec::new(),
    })
}

async fn announce(
    connection: &Connection,
    node: Option<ProvenNode>,
    entries: &[AnnounceEntry],
) -> TrackerReply {
    let context = &connection.context;
    let now = clock::now();
    let interval = context.swarms.announce_interval();
    let again_after = swarms::announce_again(interval, secs_to_next_epoch(now), rand::random());
    if entries.is_empty() {
        // Who is in no swarm has nothing there to be forgotten.
        let believed = match node {
            Some(node) => context.swarms.renew(node).await,
            None => true,
        };
        return TrackerReply::Renewed {
            everything: connection.has_new_names(now) || !believed,
            again_after,
        };
    }
    let ours = context.catalog.known(entries.iter().map(|e| e.content));
    let mut said = Vec::with_capacity(entries.len());
    let mut names = Vec::with_capacity(entries.len());
    for (entry, ours) in entries.iter().zip(ours) {
        if ours {
            said.push((entry.content, Held::of(&entry.extent)));
        }
        names.push(ours.then(|| context.names.announced(entry.content, now)));
    }
    if let Some(node) = node {
        context.swarms.announce(node, said).await;
    }
    TrackerReply::Announced {
        swarms: names,
        again_after,
    }
}

async fn lookup(
    connection: &Connection,
    asker: Option<ProvenNode>,
    content: ContentId,
    limit: u8,
) -> Result<TrackerReply, Refusal> {
    let context = &connection.context;
    if context.catalog.owner(content).is_none() {
        return Err(Refusal::new(ErrorCode::NOT_FOUND));
    }
    let limit = usize::from(limit).clamp(1, HOLDERS_PER_ANSWER_MAX);
    Ok(TrackerReply::Holders {
        swarm: context.names.asked(content, clock::now()),
        holders: context.swarms.lookup(asker, content, limit).await,
    })
}

/// Has a peer that was named to the asker dial it.
async fn introduce(
    connection: &Connection,
    asker: &Attachment,
    node: NodeId,
) -> Result<TrackerReply, Refusal> {
    let context = &connection.context;
    let proven = asker.proven.ok_or(Refusal::new(ErrorCode::FORBIDDEN))?;
    let account = asker.session.account.0.to_le_bytes();
    let allowed = context.limits.account_introductions.take(&account, 1);
    allowed.map_err(Refusal::rate_limited)?;
    let to_one = [account.as_slice(), node.0.as_slice()].concat();
    let allowed = context.limits.pair_introductions.take(&to_one, 1);
    allowed.map_err(Refusal::rate_limited)?;
    if connection.has_moved() {
        // Whoever has its former address now is not to be dialed.
        return Err(Refusal::new(ErrorCode::INVALID));
    }
    let attach = connection.attach;
    let introduced = context.swarms.introduce(proven, attach, node).await;
    introduced.map_err(|why| match why {
        NoIntroduction::NoAddress => Refusal::new(ErrorCode::INVALID),
        NoIntroduction::Unknown => Refusal::new(ErrorCode::NOT_FOUND),
        NoIntroduction::TooOften(retry_after) => Refusal::rate_limited(retry_after),
        NoIntroduction::Busy => Refusal::later(ErrorCode::BUSY),
    })?;
    Ok(TrackerReply::Introduced)
}

/// No, why, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: ErrorCode,
    retry_after: Millis,
}

impl Refusal {
    pub(super) const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            retry_after: Millis(0),
        }
    }

    pub(super) const fn later(code: ErrorCode) -> Self {
        Self {
            code,
            retry_after: RETRY_SOON,
        }
    }

    /// With jitter, so that all who were refused together do not come back together.
    pub(super) fn rate_limited(retry_after: Millis) -> Self {
        let jitter = rand::random_range(0..=retry_after.0 / 2 + 100);
        Self {
            code: ErrorCode::RATE_LIMITED,
            retry_after: Millis(retry_after.0.saturating_add(jitter)).clamped(),
        }
    }

    pub(super) const fn reply(self) -> TrackerReply {
        TrackerReply::Refused {
            code: self.code,
            retry_after: self.retry_after,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed");
        Self::later(ErrorCode::INTERNAL)
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Behind => Self::later(ErrorCode::BUSY),
            IssueError::License(error) => {
                tracing::warn!(%error, "a device cannot be given a license");
                Self::new(ErrorCode::INVALID)
            }
        }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Name | AccountError::Password | AccountError::Device => {
                Self::new(ErrorCode::INVALID)
            }
            AccountError::NameTaken => Self::new(ErrorCode::NAME_TAKEN),
            AccountError::Login | AccountError::Unknown => Self::new(ErrorCode::LOGIN),
            AccountError::Busy => Self::later(ErrorCode::BUSY),
            AccountError::Store(error) => error.into(),
            AccountError::Hash(reason) => {
                tracing::error!(reason, "a password could not be hashed");
                Self::later(ErrorCode::INTERNAL)
            }
        }
    }
}
