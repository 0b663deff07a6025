//! Spans neighbors ask of a node: its core decides, the disk is read, parts go out as the other
//! side takes them. Follows `node/src/peers/upload.rs`.

use std::collections::{BTreeMap, VecDeque};

use antiphon_protocol::peer::{DataReply, DataRequest};
use antiphon_protocol::verified::{self, Item};
use antiphon_protocol::{ByteCount, ErrorCode, Millis};
use antiphon_swarm::{Duration, Input, UploadId};

use crate::packet::frames;
use crate::packet::happening::{Request, Task};
use crate::packet::harness::Harness;
use crate::packet::profile::Vice;
use crate::packet::session::SPANS_PER_NEIGHBOR;
use crate::packet::transport::{ConnectionId, Side};

/// When to ask again if too many spans are under way.
const BUSY_RETRY: Millis = Millis(200);
/// When to ask again for what is not held.
const NOT_HELD_RETRY: Millis = Millis(10_000);
/// For the core's decision.
const DECIDE_MICROS: u64 = 10_000_000;

/// A span a neighbor asked for on one of its streams.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) upload: Option<UploadId>,
    pub(crate) request: Request,
    pub(crate) track: Option<usize>,
    pub(crate) accepted: bool,
    pub(crate) sent: u64,
    /// What is still to go, once it was accepted.
    pub(crate) items: VecDeque<Item>,
}

impl Harness {
    /// A neighbor's data stream has something to read.
    pub(crate) fn asked(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16) {
        loop {
            let frame = frames::take::<DataRequest>(&mut self.network, id, side, stream);
            match frame {
                Ok(None) => {
                    if self.network.is_ended(id, side, stream) {
                        self.drop_stream(node, id, stream);
                    }
                    return;
                }
                Ok(Some((DataRequest::Cancel, _))) => self.asked_to_stop(node, id, side, stream),
                Ok(Some((DataRequest::Span(request), _))) => {
                    let entry = &self.nodes[usize::from(node)];
                    let session = entry.sessions.get(&id);
                    if session.is_none_or(|session| session.serving.contains_key(&stream)) {
                        self.expect_vice(node, id, "a second span on a busy stream");
                        return self.misbehaved(node, id, ErrorCode::MALFORMED);
                    }
                    self.asked_for_span(node, id, side, stream, request);
                }
                Err(_) => {
                    self.expect_vice(node, id, "a request that is none");
                    return self.misbehaved(node, id, ErrorCode::MALFORMED);
                }
            }
        }
    }

    fn asked_for_span(
        &mut self,
        node: u16,
        id: ConnectionId,
        side: Side,
        stream: u16,
        request: Request,
    ) {
        let now = self.now;
        let entry = &mut self.nodes[usize::from(node)];
        let uploads = entry.persona.uploads;
        let Some(session) = entry.sessions.get_mut(&id) else {
            return;
        };
        let refusal = match session.asks.take(1, now) {
            Err(wait) => Some((ErrorCode::RATE_LIMITED, Millis(wait.div_ceil(1_000) as u32))),
            Ok(()) if !uploads || session.under_way >= SPANS_PER_NEIGHBOR => {
                Some((ErrorCode::BUSY, BUSY_RETRY))
            }
            Ok(()) => None,
        };
        if let Some((code, retry_after)) = refusal {
            let reply = DataReply::Decline { code, retry_after };
            return frames::put(&mut self.network, id, side, stream, &reply);
        }
        session.under_way += 1;
        let rendition = entry.directory.rendition_of_swarm(request.swarm);
        let content = rendition.and_then(|rendition| entry.directory.content(rendition));
        let track = content.and_then(|content| self.music.by_content(content));
        let upload = UploadId(entry.next_upload);
        entry.next_upload += 1;
        session.serving.insert(
            stream,
            Serving {
                upload: Some(upload),
                request,
                track,
                accepted: false,
                sent: 0,
                items: VecDeque::new(),
            },
        );
        entry.uploads.insert(upload, (id, stream));
        if self.vice_is_asked(node, id, side, stream) {
            return;
        }
        let peer = self.peer_of(node, id);
        let (Some(peer), Some(rendition)) = (peer, rendition) else {
            return self.decline(node, upload, ErrorCode::NOT_HELD, NOT_HELD_RETRY);
        };
        let asked = Input::SpanAsked {
            upload,
            peer,
            rendition,
            span: request.span,
            priority: request.priority,
            deadline: Duration::from_millis(u64::from(request.deadline.clamped().0)),
        };
        self.tell(node, asked);
        self.later(node, DECIDE_MICROS, Task::DecideBy(upload));
    }

    pub(crate) fn decide_by(&mut self, node: u16, upload: UploadId) {
        if let Some(serving) = self.serving_of(node, upload)
            && !serving.accepted
        {
            self.decline(node, upload, ErrorCode::BUSY, BUSY_RETRY);
        }
    }

    fn serving_of(&mut self, node: u16, upload: UploadId) -> Option<&mut Serving> {
        let entry = &mut self.nodes[usize::from(node)];
        let (id, stream) = entry.uploads.get(&upload)?;
        let session = entry.sessions.get_mut(id)?;
        session.serving.get_mut(stream)
    }

    pub(crate) fn accept(&mut self, node: u16, upload: UploadId) {
        let Some((id, stream)) = self.nodes[usize::from(node)].uploads.get(&upload).copied() else {
            return;
        };
        let music = std::sync::Arc::clone(&self.music);
        let Some(serving) = self.serving_of(node, upload).filter(|s| !s.accepted) else {
            return;
        };
        let Some(track) = serving.track else {
            return self.decline(node, upload, ErrorCode::NOT_HELD, NOT_HELD_RETRY);
        };
        let span = serving.request.span;
        serving.items = verified::items(music.tracks[track].geometry, span).collect();
        if serving.items.is_empty() {
            return self.decline(node, upload, ErrorCode::INVALID, Millis(0));
        }
        serving.accepted = true;
        let Some(side) = self.side_of(node, id) else {
            return;
        };
        frames::put(&mut self.network, id, side, stream, &DataReply::Accept);
        self.vice_accepts(node, id, stream);
        self.pump(node, id, side, stream);
    }

    fn side_of(&self, node: u16, id: ConnectionId) -> Option<Side> {
        self.nodes[usize::from(node)]
            .sessions
            .get(&id)
            .map(|session| session.side)
    }

    pub(crate) fn decline(&mut self, node: u16, upload: UploadId, code: ErrorCode, retry: Millis) {
        let Some((id, stream)) = self.nodes[usize::from(node)].uploads.get(&upload).copied() else {
            return;
        };
        if let Some(side) = self.side_of(node, id) {
            let reply = DataReply::Decline {
                code,
                retry_after: retry,
            };
            frames::put(&mut self.network, id, side, stream, &reply);
        }
        self.end_serving(node, id, stream, false);
    }

    /// The core ends an upload it had accepted.
    pub(crate) fn end_upload(&mut self, node: u16, upload: UploadId) {
        let Some((id, stream)) = self.nodes[usize::from(node)].uploads.get(&upload).copied() else {
            return;
        };
        if let Some(side) = self.side_of(node, id) {
            self.end_early(node, id, side, stream);
        }
    }

    fn asked_to_stop(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16) {
        let entry = &self.nodes[usize::from(node)];
        let serving = entry
            .sessions
            .get(&id)
            .and_then(|session| session.serving.get(&stream));
        match serving.map(|serving| (serving.accepted, serving.upload)) {
            // It crossed the end of the span it meant.
            None => {}
            Some((true, _)) => self.end_early(node, id, side, stream),
            Some((false, Some(upload))) => {
                self.decline(node, upload, ErrorCode::CANCELED, Millis(0));
            }
            Some((false, None)) => {}
        }
    }

    /// An empty part ends a span.
    fn end_early(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16) {
        self.network.write(id, side, stream, &[0; 4]);
        self.end_serving(node, id, stream, false);
    }

    /// Counts a span out and tells the core, if it had accepted.
    fn end_serving(&mut self, node: u16, id: ConnectionId, stream: u16, complete: bool) {
        let entry = &mut self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get_mut(&id) else {
            return;
        };
        let Some(serving) = session.serving.remove(&stream) else {
            return;
        };
        session.under_way = session.under_way.saturating_sub(1);
        self.serving_over(node, &serving, complete);
    }

    fn serving_over(&mut self, node: u16, serving: &Serving, complete: bool) {
        let Some(upload) = serving.upload else {
            return;
        };
        self.nodes[usize::from(node)].uploads.remove(&upload);
        if serving.accepted {
            let sent = ByteCount(serving.sent);
            let ended = Input::UploadEnded {
                upload,
                sent,
                complete,
            };
            self.tell(node, ended);
        }
    }

    pub(crate) fn drop_uploads(&mut self, node: u16, serving: BTreeMap<u16, Serving>) {
        for one in serving.values() {
            self.serving_over(node, one, false);
        }
    }

    fn drop_stream(&mut self, node: u16, id: ConnectionId, stream: u16) {
        self.end_serving(node, id, stream, false);
    }

    pub(crate) fn on_writable(&mut self, node: u16, id: ConnectionId, side: Side) {
        let entry = &self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get(&id) else {
            return;
        };
        let streams: Vec<u16> = session.serving.keys().copied().collect();
        for stream in streams {
            self.pump(node, id, side, stream);
        }
    }

    /// Writes parts while there is room.
    pub(crate) fn pump(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16) {
        if self.nodes[usize::from(node)].persona.vice == Vice::Slow {
            return;
        }
        while self.network.room(id, side) > 0 {
            match self.write_part(node, id, side, stream) {
                Some(true) => {}
                Some(false) => return self.end_early(node, id, side, stream),
                None => return,
            }
        }
    }

    /// Writes the next part. False if the store failed; nothing if there is no more to write.
    pub(crate) fn write_part(
        &mut self,
        node: u16,
        id: ConnectionId,
        side: Side,
        stream: u16,
    ) -> Option<bool> {
        let entry = &mut self.nodes[usize::from(node)];
        let session = entry.sessions.get_mut(&id)?;
        let serving = session.serving.get_mut(&stream)?;
        let (track, accepted) = (serving.track?, serving.accepted);
        if !accepted {
            return None;
        }
        let at = serving
            .items
            .iter()
            .position(|item| matches!(item, Item::Chunk { .. }))?;
        let part: Vec<Item> = serving.items.drain(..=at).collect();
        let last = serving.items.is_empty();
        let mut bytes = vec![0; 4];
        for item in part {
            match item {
                Item::Parent { outboard_offset } => {
                    let start = outboard_offset as usize;
                    let outboard = &self.music.tracks[track].outboard;
                    bytes.extend_from_slice(outboard.get(start..start + item.bytes())?);
                }
                Item::Chunk { chunk, .. } => {
                    if !self.read_chunk(node, track, chunk) {
                        return Some(false);
                    }
                    bytes.extend_from_slice(self.music.tracks[track].chunk(chunk));
                }
            }
        }
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let count = bytes.len() as u64;
        if !self.bend_part(node, id, stream, &mut bytes) {
            self.network.write(id, side, stream, &bytes);
        }
        let entry = &mut self.nodes[usize::from(node)];
        let serving = entry.sessions.get_mut(&id)?.serving.get_mut(&stream)?;
        serving.sent += count;
        if last {
            self.end_serving(node, id, stream, true);
            return None;
        }
        Some(true)
    }
}
