//! What people command, dispatched.

use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::limits::CATALOG_PAGE_MAX;
use antiphon_protocol::tracker::{TrackerReply, TrackerRequest};

use super::Driver;
use super::tracker_link::{Done, Purpose};
use crate::command::{CommandError, NodeCommand, Reply};
use crate::play_queue::QUEUE_MAX;
use crate::tracker_client::RequestError;

/// Catalog lines remembered, so that a play can begin before its license is there. A long
/// evening of searching; guess.
const SUMMARIES_MAX: usize = 4_096;

impl Driver {
    pub(super) fn on_command(&mut self, command: NodeCommand) {
        match command {
            NodeCommand::Play {
                entries,
                commanded,
                reply,
            } => {
                let outcome = if self.stage.is_none() {
                    Err(CommandError::NoPlayer)
                } else if entries.is_empty() {
                    Err(CommandError::NothingGiven)
                } else {
                    let given = entries.len();
                    self.queue.replace(entries);
                    self.tell_left_out(given, self.queue.entries().0.len());
                    self.play_current(true, commanded);
                    Ok(())
                };
                answer(reply, outcome);
            }
            NodeCommand::Enqueue {
                entries,
                commanded,
                reply,
            } => {
                let given = entries.len();
                let fitted = self.queue.append(entries);
                self.tell_left_out(given, fitted);
                let idle = self
                    .stage
                    .as_ref()
                    .is_some_and(|stage| stage.current.is_none());
                if fitted > 0 && self.waits.is_some() {
                    self.go_on_to_what_is_here();
                } else if idle && fitted > 0 {
                    self.play_current(true, commanded);
                } else {
                    self.prepare_next();
                }
                answer(reply, Ok(fitted));
            }
            NodeCommand::Transport {
                control,
                commanded,
                reply,
            } => {
                let outcome = self.control(control, commanded);
                answer(reply, outcome);
            }
            NodeCommand::Pin { track, reply } => {
                self.open_track(track, Purpose::Pin);
                answer(reply, Ok(()));
            }
            NodeCommand::Search {
                query,
                limit,
                reply,
            } => {
                let limit = page(limit);
                self.tracks_reply(TrackerRequest::Search { query, limit }, reply, |page| {
                    page.0
                });
            }
            NodeCommand::Catalog {
                after,
                limit,
                reply,
            } => {
                let limit = page(limit);
                self.tracks_reply(TrackerRequest::Catalog { after, limit }, reply, |page| page);
            }
            NodeCommand::Status { reply } => answer(reply, Ok(self.status())),
            NodeCommand::Plays { reply } => answer(reply, Ok(self.log.records())),
            NodeCommand::Ledger { reply } => answer(reply, Ok(self.log.ledger())),
            NodeCommand::Shutdown { reply } => {
                self.ending = true;
                answer(reply, Ok(()));
            }
        }
    }

    fn tell_left_out(&mut self, given: usize, taken: usize) {
        let left_out = given.saturating_sub(taken);
        if left_out > 0 {
            self.notice(format!(
                "the queue holds {QUEUE_MAX} tracks: the last {left_out} were left out; queue them when some have played"
            ));
        }
    }

    /// Asks for tracks and answers the person from the task; the loop only remembers them.
    fn tracks_reply<T: Send + 'static>(
        &self,
        request: TrackerRequest,
        reply: Reply<T>,
        shape: impl FnOnce((Vec<TrackSummary>, bool)) -> T + Send + 'static,
    ) {
        let (tracker, done) = (self.tracker.clone(), self.done.clone());
        tokio::spawn(async move {
            match tracker.request(request).await {
                Ok(TrackerReply::Tracks { tracks, more }) => {
                    let _ = done.send(Done::Seen(tracks.clone())).await;
                    answer(reply, Ok(shape((tracks, more))));
                }
                Err(RequestError::Refused { code, .. }) => {
                    answer(reply, Err(CommandError::Refused(code)));
                }
                _ => answer(reply, Err(CommandError::TrackerUnreachable)),
            }
        });
    }

    pub(super) fn remember(&mut self, summaries: Vec<TrackSummary>) {
        for summary in summaries {
            if self.summaries.len() >= SUMMARIES_MAX && !self.summaries.contains_key(&summary.track)
            {
                self.summaries.pop_first();
            }
            self.summaries.insert(summary.track, summary);
        }
    }
}

fn page(limit: u16) -> u16 {
    limit.clamp(1, CATALOG_PAGE_MAX as u16)
}

/// Whoever asked may have gone meanwhile.
fn answer<T>(reply: Reply<T>, outcome: Result<T, CommandError>) {
    let _ = reply.send(outcome);
}
