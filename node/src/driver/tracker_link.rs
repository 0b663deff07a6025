//! The tracker: requests that go out as tasks, replies that come back as inputs.

use std::time::{Duration, Instant};

use antiphon_protocol::peer::Extent;
use antiphon_protocol::tracker::{
    AnnounceEntry, Attached, Holder, OpenedTrack, Passes, Placement, TrackerReply, TrackerRequest,
};
use antiphon_protocol::{ErrorCode, Millis, SwarmId, TrackId};
use antiphon_swarm::node::input::{Command, RenditionSpec, StoreEvent, TrackerEvent};
use antiphon_swarm::{Input, PlayId, RenditionKey};

use super::Driver;
use crate::clock::unix_now;
use crate::command::CommandError;
use crate::licenses::{KeptLicense, Playable};
use crate::session::store_network;
use crate::tracker_client::{LinkEvent, RequestError};

/// What an opened track is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// For this play, which may be over when the answer comes.
    Play(PlayId),
    /// To keep it whole.
    Pin,
}

/// What a spawned task brings back.
#[derive(Debug)]
pub(super) enum Done {
    Opened {
        track: TrackId,
        purpose: Purpose,
        /// Whether holders come with it.
        names_holders: bool,
        result: Result<Box<OpenedTrack>, RequestError>,
    },
    Holders {
        rendition: RenditionKey,
        result: Result<(SwarmId, Vec<Holder>), RequestError>,
    },
    Announced {
        renditions: Vec<RenditionKey>,
        result: Result<Announced, RequestError>,
    },
    Passes(Result<Box<Passes>, RequestError>),
    Placements(Result<Vec<Placement>, RequestError>),
    Seen(Vec<antiphon_protocol::catalog::TrackSummary>),
    Evicted(RenditionKey),
    /// A fetch that could not be handed to a transport.
    Untried(antiphon_swarm::FetchId),
    Starved(PlayId),
}

/// What the tracker answered to an announce.
#[derive(Debug)]
pub(super) struct Announced {
    /// Names of the announced, in order.
    swarms: Vec<Option<SwarmId>>,
    again_after: Duration,
    /// Whether everything is to be announced again.
    everything: bool,
}

/// Before passes are asked for again after a failure.
const RENEW_RETRY: Duration = Duration::from_secs(15);

impl Driver {
    pub(super) fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(attached) => self.on_attached(&attached),
            LinkEvent::Introduced { node, address } => self.on_introduced(node, address),
            LinkEvent::Down => {
                if self.tracker_connected {
                    tracing::info!("the tracker is gone; going on without it");
                }
                self.tracker_connected = false;
                self.outside = None;
                self.feed(Input::Tracker(TrackerEvent::Unreachable));
            }
            LinkEvent::LoggedOut { code } => {
                self.tracker_connected = false;
                self.notice(format!(
                    "the tracker ended this session ({code}); log in again"
                ));
                self.feed(Input::Tracker(TrackerEvent::Unreachable));
            }
        }
    }

    fn on_attached(&mut self, attached: &Attached) {
        self.tracker_connected = true;
        self.name_ourselves(attached.observed);
        self.origin.set_origins(attached.origins.clone());
        self.use_passes(&attached.passes);
        self.origin.warm();
        if let Err(error) = store_network(&self.data_folder, attached) {
            tracing::warn!(%error, "cannot remember the network for the next start");
        }
        self.tell_tracker_rtt();
        self.feed(Input::Tracker(TrackerEvent::Reachable));
        self.go_on_with_tracker();
        if let Some(stage) = self.stage.as_mut() {
            stage.unprepared = None;
        }
        self.prepare_next();
    }

    fn tell_tracker_rtt(&mut self) {
        if let Some(client) = self.tracker.client() {
            let rtt = crate::clock::core_duration(client.rtt());
            self.feed(Input::Tracker(TrackerEvent::Rtt(rtt)));
        }
    }

    pub(super) fn use_passes(&mut self, passes: &Passes) {
        self.peers.set_ticket(passes.ticket.clone());
        self.origin.set_capability(Some(passes.capability.clone()));
        let after = Duration::from_millis(u64::from(passes.renew_after.clamped().0));
        self.renew_at = Some(Instant::now() + after.max(Duration::from_secs(1)));
    }

    pub(super) fn renew_passes(&self) {
        self.ask(TrackerRequest::Renew, |result| {
            Done::Passes(result.and_then(|reply| match reply {
                TrackerReply::Passes(passes) => Ok(passes),
                _ => Err(RequestError::Unexpected),
            }))
        });
    }

    pub(super) fn open_track(&self, track: TrackId, purpose: Purpose) {
        let (rung, held) = (self.rung, self.is_held(track));
        let request = if held {
            TrackerRequest::OpenHeld { track, rung }
        } else {
            TrackerRequest::Open { track, rung }
        };
        self.ask(request, move |result| {
            let result = result.and_then(|reply| match reply {
                TrackerReply::Opened(opened) => Ok(opened),
                _ => Err(RequestError::Unexpected),
            });
            Done::Opened {
                track,
                purpose,
                names_holders: !held,
                result,
            }
        });
    }

    /// Whether all of a track is here, as far as that is known before its manifest is.
    pub(super) fn is_held(&self, track: TrackId) -> bool {
        let queued = [self.queue.current(), self.queue.upcoming()];
        let queued = queued.into_iter().flatten().filter(|e| e.track == track);
        let queued = queued.filter_map(|entry| entry.summary.as_ref()).next();
        let summary = queued.or_else(|| self.summaries.get(&track));
        let content = summary.map(|summary| summary.content);
        let content = content.or_else(|| self.read_license(track).map(|kept| kept.content()));
        let held = content.and_then(|content| self.store.held(content));
        held.is_some_and(|held| held.is_full())
    }

    pub(super) fn look_up(&self, rendition: RenditionKey, limit: u8) {
        let Some(content) = self.directory.content(rendition) else {
            return;
        };
        let limit = limit.min(antiphon_protocol::limits::HOLDERS_PER_ANSWER_MAX as u8);
        self.ask(TrackerRequest::Lookup { content, limit }, move |result| {
            let result = result.and_then(|reply| match reply {
                TrackerReply::Holders { swarm, holders } => Ok((swarm, holders)),
                _ => Err(RequestError::Unexpected),
            });
            Done::Holders { rendition, result }
        });
    }

    pub(super) fn announce(&self, entries: Vec<(RenditionKey, Extent)>) {
        let known = entries.into_iter().filter_map(|(rendition, extent)| {
            let content = self.directory.content(rendition)?;
            Some((rendition, AnnounceEntry { content, extent }))
        });
        let (renditions, entries): (Vec<_>, Vec<_>) = known.unzip();
        self.ask(TrackerRequest::Announce { entries }, move |result| {
            let result = result.and_then(|reply| match reply {
                TrackerReply::Announced {
                    swarms,
                    again_after,
                } => Ok(Announced {
                    swarms,
                    again_after: wait(again_after),
                    everything: false,
                }),
                TrackerReply::Renewed {
                    everything,
                    again_after,
                } => Ok(Announced {
                    swarms: Vec::new(),
                    again_after: wait(again_after),
                    everything,
                }),
                _ => Err(RequestError::Unexpected),
            });
            Done::Announced { renditions, result }
        });
    }

    pub(super) fn ask_placements(&self, limit: u8) {
        self.ask(TrackerRequest::Placements { limit }, |result| {
            Done::Placements(result.and_then(|reply| match reply {
                TrackerReply::Placements { placements } => Ok(placements),
                _ => Err(RequestError::Unexpected),
            }))
        });
    }

    /// Sends a request from a task; what comes back wakes the loop.
    fn ask(
        &self,
        request: TrackerRequest,
        finish: impl FnOnce(Result<TrackerReply, RequestError>) -> Done + Send + 'static,
    ) {
        let (tracker, done) = (self.tracker.clone(), self.done.clone());
        tokio::spawn(async move {
            let result = tracker.request(request).await;
            // The loop is gone only when the node ends.
            let _ = done.send(finish(result)).await;
        });
    }

    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Opened {
                track,
                purpose,
                names_holders,
                result,
            } => self.on_opened(track, purpose, names_holders, result),
            Done::Holders { rendition, result } => match result {
                Ok((swarm, holders)) => {
                    self.directory.name_swarm(rendition, swarm);
                    self.feed_holders(rendition, holders);
                }
                Err(error) => self.on_request_failed(&error),
            },
            Done::Announced { renditions, result } => match result {
                Ok(announced) => {
                    for (rendition, swarm) in renditions.into_iter().zip(announced.swarms) {
                        if let Some(swarm) = swarm {
                            self.directory.name_swarm(rendition, swarm);
                        }
                    }
                    let again_after = crate::clock::core_duration(announced.again_after);
                    self.feed(Input::Tracker(TrackerEvent::Announced { again_after }));
                    if announced.everything {
                        self.feed(Input::Tracker(TrackerEvent::AnnounceAll));
                    }
                }
                Err(error) => self.on_request_failed(&error),
            },
            Done::Passes(Ok(passes)) => self.use_passes(&passes),
            Done::Passes(Err(error)) => {
                tracing::info!(%error, "passes were not renewed");
                self.renew_at = Some(Instant::now() + RENEW_RETRY);
            }
            Done::Placements(Ok(placements)) => {
                for placement in placements {
                    self.place(placement);
                }
            }
            // Copies for others are not worth a retry; the core asks again.
            Done::Placements(Err(error)) => tracing::info!(%error, "nothing is placed here"),
            Done::Untried(fetch) => self.on_untried(fetch),
            Done::Starved(play) => self.on_starved(play),
            Done::Seen(summaries) => self.remember(summaries),
            Done::Evicted(rendition) => {
                self.feed(Input::Store(StoreEvent::Evicted { rendition }));
            }
        }
    }

    fn on_request_failed(&mut self, error: &RequestError) {
        tracing::info!(%error, "a request to the tracker failed");
        if !matches!(error, RequestError::Refused { .. }) {
            self.feed(Input::Tracker(TrackerEvent::Unreachable));
        }
    }

    fn on_opened(
        &mut self,
        track: TrackId,
        purpose: Purpose,
        names_holders: bool,
        result: Result<Box<OpenedTrack>, RequestError>,
    ) {
        self.tell_tracker_rtt();
        let accepted = match result {
            Ok(opened) => self.accept(track, *opened, names_holders),
            Err(error) => {
                tracing::info!(%track, %error, "a track was not opened");
                self.kept_license(track).ok_or_else(|| refusal(&error))
            }
        };
        match (accepted, purpose) {
            (Ok(playable), Purpose::Play(play)) => self.take_stage(play, playable),
            (Ok(playable), Purpose::Pin) => self.pin_rendition(track, &playable),
            (Err(error), Purpose::Play(play)) => self.on_unopened(play, &error),
            (Err(error), Purpose::Pin) => {
                self.notice(format!("{} is not kept: {error}", self.title(track)));
            }
        }
    }

    fn accept(
        &mut self,
        track: TrackId,
        opened: OpenedTrack,
        names_holders: bool,
    ) -> Result<Playable, CommandError> {
        let OpenedTrack {
            manifest,
            license,
            content,
            swarm,
            holders,
        } = opened;
        let received = (&manifest, &license, content);
        let (playable, _lease) = self
            .licenses
            .accept(
                track,
                received,
                &self.trusted,
                &self.identity.device,
                Instant::now(),
            )
            .map_err(|error| CommandError::NotGenuine(error.to_string()))?;
        self.keep_license(
            track,
            KeptLicense::new(manifest, license, content, unix_now()),
        );
        let rendition = playable.rendition();
        if let Some(geometry) = rendition.geometry() {
            let spec = RenditionSpec {
                geometry,
                bit_rate: rendition.bit_rate,
            };
            if let Some(key) = self.introduce(track, content, spec) {
                self.directory.name_swarm(key, swarm);
                if names_holders {
                    self.feed_holders(key, holders);
                }
            }
        }
        Ok(playable)
    }

    pub(super) fn feed_holders(&mut self, rendition: RenditionKey, holders: Vec<Holder>) {
        let holders = holders.into_iter().filter_map(|holder| {
            let peer = self.directory.intern_contact(holder.contact)?;
            Some((peer, holder.full))
        });
        let holders: Vec<_> = holders.collect();
        tracing::debug!(?rendition, ?holders, "is told of holders");
        self.feed(Input::Tracker(TrackerEvent::Holders { rendition, holders }));
    }

    /// A license that runs, from memory or, without the tracker, from an earlier run.
    pub(super) fn licensed(&mut self, track: TrackId) -> Option<Playable> {
        let playable = self.licenses.playable(track, Instant::now());
        if playable.is_some() || self.tracker_connected {
            return playable;
        }
        self.kept_license(track)
    }

    pub(super) fn kept_license(&mut self, track: TrackId) -> Option<Playable> {
        let kept = self.read_license(track)?;
        let now = (Instant::now(), unix_now());
        let device = &self.identity.device;
        match self
            .licenses
            .restore(track, &kept, &self.trusted, device, now)
        {
            Ok(playable) => Some(playable),
            Err(error) => {
                tracing::info!(%track, %error, "a kept license is of no use");
                None
            }
        }
    }

    fn read_license(&self, track: TrackId) -> Option<KeptLicense> {
        let bytes = self.store.state_get(&license_key(track)).ok()??;
        postcard::from_bytes(&bytes).ok()
    }

    fn keep_license(&self, track: TrackId, kept: KeptLicense) {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || {
            let bytes = postcard::to_stdvec(&kept).unwrap_or_default();
            if let Err(error) = store.state_put(&license_key(track), &bytes) {
                tracing::warn!(%track, %error, "a license is not kept for the next start");
            }
        });
    }

    fn pin_rendition(&mut self, track: TrackId, playable: &Playable) {
        let rendition = playable.rendition();
        let Some(geometry) = rendition.geometry() else {
            return;
        };
        let spec = RenditionSpec {
            geometry,
            bit_rate: rendition.bit_rate,
        };
        if let Some(rendition) = self.introduce(track, playable.content, spec) {
            self.feed(Input::Command(Command::Pin { rendition }));
        }
    }
}

/// A wait the tracker asked for.
fn wait(asked: Millis) -> Duration {
    Duration::from_millis(u64::from(asked.clamped().0))
}

fn license_key(track: TrackId) -> String {
    format!("license-{track}")
}

fn refusal(error: &RequestError) -> CommandError {
    match error {
        RequestError::Refused { code, .. } if *code == ErrorCode::NOT_FOUND => {
            CommandError::Refused(*code)
        }
        RequestError::Refused { code, .. } => CommandError::Refused(*code),
        _ => CommandError::TrackerUnreachable,
    }
}
