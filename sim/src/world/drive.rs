//! Drives cores: one input, all outputs, one deadline.

use antiphon_swarm::node::input::Keep;
use antiphon_swarm::node::output::Event;
use antiphon_swarm::{Input, Instant, Output, invariants};

use crate::world::happening::{Deferred, Happening};
use crate::world::wakes::NEVER;
use crate::world::{Broken, World};

impl World {
    /// Hands an input to a core, behind everything that has arrived by then, and carries out what follows.
    pub(super) fn feed(&mut self, node: u32, input: Input) {
        if is_acted_on(&input) {
            self.catch_up(node);
        }
        self.hand_in(node, input);
        self.decide();
    }

    /// Hands an input to a core that knows of everything before. What follows comes with [`Self::decide`], at the end
    /// of the event at the latest: once for all that a node is told in one moment.
    pub(super) fn hand_in(&mut self, node: u32, input: Input) {
        if self.told != Some(node) {
            self.decide();
        }
        if self.watch.is_some() {
            self.watch_input(node, &input);
        }
        let Some(online) = self.seats[node as usize].online.as_deref_mut() else {
            return;
        };
        if online.is_program {
            return;
        }
        let now = Instant::from_micros(self.now);
        online
            .core
            .handle_into(now, input, &mut self.scratch_outputs);
        self.inputs += 1;
        self.told = Some(node);
    }

    /// Whether it was told something, and has not decided yet what follows.
    pub(super) fn is_undecided(&self, node: u32) -> bool {
        self.told == Some(node)
    }

    /// Carries out what follows for the node that was told something, if one was.
    pub(super) fn decide(&mut self) {
        let Some(node) = self.told.take() else {
            return;
        };
        let Some(online) = self.seats[node as usize].online.as_deref_mut() else {
            // It has left in the meantime.
            self.scratch_outputs.clear();
            return;
        };
        let core = &mut online.core;
        core.drain_into(&mut self.scratch_outputs);
        let checked = self.inputs / self.check_every;
        if checked != self.checked
            && let Err(violation) = invariants::check(core)
        {
            let seconds = self.now as f64 / 1e6;
            self.broken = Some(Broken::Core {
                node,
                seconds,
                violation,
            });
        }
        self.checked = checked;
        let due = core.poll_timeout().map_or(NEVER, Instant::as_micros);
        // Nothing that is carried out feeds a core, so the list is of this one alone.
        while let Some(output) = self.scratch_outputs.pop_front() {
            if self.watch.is_some() {
                self.watch_output(node, &output);
            }
            self.carry_out(node, output);
        }
        self.plan_wake(node, due);
    }

    /// Never feeds a core: what follows for others comes as an event.
    fn carry_out(&mut self, node: u32, output: Output) {
        match output {
            Output::Send { peer, message } => self.send(node, peer.0, message),
            Output::Dial { peer } => self.dial(node, peer.0),
            Output::Close { peer, code } => self.close(node, peer.0, code),
            Output::Fetch {
                fetch,
                source,
                rendition,
                span,
                priority,
                deadline,
            } => self.request(node, (fetch, source, rendition.0), span, priority, deadline),
            Output::Cancel { fetch } => self.cancel(node, fetch),
            Output::AcceptUpload { upload } => self.accept(upload),
            Output::DeclineUpload {
                upload,
                code,
                retry_after,
            } => self.decline(upload, code, retry_after),
            Output::EndUpload { upload, .. } => self.end_upload(upload),
            Output::Lookup { rendition, limit } => {
                if let Some(session) = self.session(node) {
                    let delay = self.reach_tracker(node);
                    self.tally.lookups += 1;
                    self.defer(
                        delay,
                        Deferred::Lookup {
                            node,
                            session,
                            rendition,
                            limit,
                        },
                    );
                }
            }
            Output::Announce { entries } => {
                if let Some(session) = self.session(node) {
                    let delay = self.reach_tracker(node);
                    self.tally.announced += entries.len() as u64;
                    self.tally.note_tracker_bytes(self.now, entries.len());
                    self.defer(
                        delay,
                        Deferred::Announce {
                            node,
                            session,
                            entries,
                        },
                    );
                }
            }
            Output::AskPlacements { limit } => self.ask_placement(node, limit),
            Output::Keep { rendition, keep } => {
                self.seats[node as usize]
                    .shelf
                    .keep(rendition.0, keep == Keep::Placed);
            }
            Output::Evict { rendition } => self.evict(node, rendition),
            Output::Event(Event::Starved { play }) => {
                let play = play.0 as u32;
                self.after(0, Happening::Starved { user: node, play });
            }
            Output::Event(Event::Penalized { peer, offense }) => self.penalized(peer.0, offense),
            Output::Event(_) => {}
        }
    }
}

/// Whether a node may decide what to fetch on an input, and so has to know what arrived before.
const fn is_acted_on(input: &Input) -> bool {
    !matches!(
        input,
        Input::SpanAsked { .. } | Input::UploadEnded { .. } | Input::Message { .. }
    )
}
