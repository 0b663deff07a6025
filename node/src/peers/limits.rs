//! Every maximum of the transport in one place, with its reason.
//!
//! The table behind it is in `docs/protocol.md`, "Limits". Memory of one neighbor at worst: the
//! two windows of its connection, the encoded parts of its uploads and its control queues.

use std::time::Duration;

/// Connections, whatever their state: the table's hard limit.
pub const CONNECTIONS_MAX: u32 = 60;
/// Handshakes of strangers under way: the table's value.
pub const PENDING_INCOMING_MAX: u32 = 64;
/// Dials under way: an eighth of the connections would do; guess.
pub const PENDING_OUTGOING_MAX: u32 = 16;
/// Connections with one node: two only while simultaneous dials are sorted out.
pub const CONNECTIONS_PER_NODE_MAX: u32 = 2;

/// Streams a neighbor may open: one control, [`DATA_STREAMS_MAX`] data, one ping, and room for a
/// replacement while the old one is being closed. The table's value.
pub const STREAMS_MAX: u32 = 8;
/// Data streams to one neighbor, and from it: twice the spans in flight the table allows.
pub const DATA_STREAMS_MAX: usize = 4;
/// Data streams opened before they are needed: as many as spans in flight at one neighbor.
pub const DATA_STREAMS_READY: usize = 2;

/// Bytes a neighbor may send on one stream before we read. The table says 128 KiB; twice as much
/// keeps 20 Mbit/s going at 100 ms round trip and stays in the sum; guess.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes a neighbor may send on all its streams before we read. The table says 512 KiB, but the
/// smaller of this and the other side's [`SEND_WINDOW_BYTES`] is what counts: 64 Mbit/s at 40 ms
/// round trip.
pub const CONNECTION_WINDOW_BYTES: u32 = 320 * 1024;
/// Bytes kept for sending to one neighbor until it has acknowledged them. With 128 KiB a path of
/// 40 ms carried 26 Mbit/s at most. More of both would not fit the sum.
pub const SEND_WINDOW_BYTES: u32 = 320 * 1024;
/// Bytes in flight before the first acknowledgment: the first chunk with its hashes without a
/// further round trip (48 ms instead of 82 at 40 ms round trip, measured in a patched libp2p-quic, not here).
pub const INITIAL_WINDOW_BYTES: u64 = 80 * 1024;
/// Assumed until measured: most neighbors are in the same part of the world; guess.
pub const INITIAL_RTT: Duration = Duration::from_millis(50);
/// Bytes of a stranger kept before its handshake is looked at: the table's value.
pub const INCOMING_BYTES_MAX: u64 = 16 * 1024;
/// The same for all strangers together: the table's value.
pub const INCOMING_BYTES_TOTAL_MAX: u64 = 1024 * 1024;
/// Handshakes under way before strangers must prove their address: a quarter of all; guess.
pub const HANDSHAKES_BEFORE_RETRY: usize = 16;

/// Handshakes of strangers under way over TCP, of [`PENDING_INCOMING_MAX`] in all: those over QUIC
/// go on when somebody holds all of these. Guess; 3 % of networks need them.
pub const TCP_HANDSHAKES_MAX: usize = 16;
/// Bytes a stranger may send over TCP before it has shown who it is: as over QUIC.
pub const TCP_HANDSHAKE_BYTES_MAX: usize = INCOMING_BYTES_MAX as usize;
/// Streams of one connection over TCP, of both sides: those both may open, and as many again that
/// are being closed.
pub const TCP_STREAMS_MAX: usize = 3 * STREAMS_MAX as usize;
/// Longest frame taken over TCP and sent there: yamux's own choice for sending.
pub const TCP_FRAME_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a neighbor over TCP kept unread before its socket is left alone; 20 Mbit/s at 100 ms
/// round trip, and with what TLS and the last frame add no more than over QUIC.
pub const TCP_UNREAD_MAX: usize = 256 * 1024;
/// Bytes for a neighbor over TCP kept until the system takes them; the same.
pub const TCP_UNSENT_MAX: usize = 224 * 1024;
/// Bytes TLS keeps until the system takes them: four full records.
pub const TCP_TLS_BYTES_MAX: usize = 64 * 1024;
/// Bytes TLS keeps until a record is whole, and of it until they are taken.
const TCP_RECORD_BYTES: usize = 2 * 18 * 1024;
/// Bytes the system may keep for a connection, each way; it doubles them for its own needs. 50
/// Mbit/s at 40 ms round trip.
pub const TCP_SYSTEM_BYTES: u32 = 256 * 1024;
/// Connections the system completes before they are looked at; guess.
pub const TCP_BACKLOG: i32 = 64;
/// How long a dial waits for QUIC alone before it tries TCP too: as long as dials wait for IPv6
/// before IPv4 (RFC 8305).
pub const QUIC_HEAD_START: Duration = Duration::from_millis(250);

/// How long a dial may stay unanswered before the tracker is asked to introduce this node: within
/// a continent a round trip takes less, so whoever can be dialed directly costs the tracker
/// nothing, and the dials that need it are not held up for much more than the introduction takes
/// anyway. Guess.
pub const ANSWER_PATIENCE: Duration = Duration::from_millis(100);
/// Dials watched for an answer; twice those under way, because some end at once.
pub const UNANSWERED_MAX: usize = 2 * PENDING_OUTGOING_MAX as usize;
/// Dials back under way for those who were introduced, half of [`PENDING_OUTGOING_MAX`]: they leave
/// the node's own dials room, and are more than a second's dials that get no answer.
pub const DIAL_BACKS_MAX: usize = PENDING_OUTGOING_MAX as usize / 2;
/// Dials back a second: as many new neighbors as a node can use; guess.
pub const DIAL_BACKS_PER_SECOND: u32 = 1;
/// Dials back at once after a pause: a node that is the only holder of a new track; guess.
pub const DIAL_BACKS_BURST: u32 = 16;

/// A silent connection is given up after this; longer than two keep-alives.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// Keeps the connection and the mappings of NATs on the way alive: most drop a UDP mapping after
/// 30 s of silence.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Between measurements of the round trip.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// For the system to name the port taken; it does at once where any interface is up.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// For the handshake, of TCP with that of TLS.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// For `Hello` both ways; one round trip is needed.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Two connections with the same node younger than this come from simultaneous dials; an older
/// one is left over from before its other end restarted. Longer than both handshakes.
pub const SIMULTANEOUS: Duration = Duration::from_secs(10);
/// A transfer or a control write without any progress is given up after this. The core decides
/// about stalls long before; this frees what is left.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a canceled transfer may take to run dry before its stream is given up.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes a canceled transfer may still bring: a full window and the part in progress.
pub const DRAIN_BYTES_MAX: usize = STREAM_WINDOW_BYTES as usize + 2 * PART_BYTES_MAX;
/// How long after `Bye` the other side may take to close.
pub const LINGER: Duration = Duration::from_secs(1);
/// How long a goodbye may be on its way when the transport ends: most round trips; guess.
pub const FAREWELL: Duration = Duration::from_millis(200);

/// Longest part: a chunk and an inner node for each level of the largest rendition's tree.
pub const PART_BYTES_MAX: usize = 16 * 1024 + 64 * 32;
/// Reads gather up to this much before it is looked at: eight whole parts, which are then written
/// together; a fetch holds one such buffer. With the core's six fetches it stays under the 2 MiB of
/// unverified bytes in memory.
pub const READ_BUFFER_BYTES: usize = 8 * (4 + PART_BYTES_MAX);
/// Read buffers kept for the next fetch: as many as the core has spans in flight.
pub const READ_BUFFERS_KEPT: usize = 6;
/// Chunks read from the store at once while serving: 128 KiB an upload.
pub const UPLOAD_BATCH_CHUNKS: usize = 8;

/// Control messages waiting for one neighbor. When full, the neighbor is too slow and closed.
pub const CONTROL_QUEUE_MAX: usize = 64;
/// Events waiting for the driver. When full, whoever has an event waits.
pub const EVENT_QUEUE_MAX: usize = 256;
/// Commands waiting for the swarm task. When full, a dial fails at once.
pub const COMMAND_QUEUE_MAX: usize = 128;

/// Spans a neighbor may ask in a second; the table's value.
pub const ASKS_PER_SECOND: u32 = 20;
/// Spans a neighbor may ask at once after a pause; the table's value.
pub const ASKS_BURST: u32 = 40;
/// Spans under way for all neighbors together, decided or not: above the core's slots, and the
/// encoded batches of all of them are 8 MiB at most.
pub const UPLOADS_MAX: usize = 64;
/// Control bytes a second from one neighbor; beyond, reading waits. The table's value.
pub const CONTROL_BYTES_PER_SECOND: u32 = 8 * 1024;
/// Control bytes at once after a pause; the table's value.
pub const CONTROL_BYTES_BURST: u32 = 64 * 1024;

/// Worst case of all neighbors together stays below the share that the budget table gives them.
const _: () = {
    let windows = CONNECTION_WINDOW_BYTES as usize + SEND_WINDOW_BYTES as usize;
    let neighbors = CONNECTIONS_MAX as usize * windows;
    let uploads = UPLOADS_MAX * UPLOAD_BATCH_CHUNKS * PART_BYTES_MAX;
    let tcp_in = TCP_UNREAD_MAX + TCP_FRAME_BYTES_MAX + TCP_RECORD_BYTES;
    let tcp_out = TCP_UNSENT_MAX + TCP_FRAME_BYTES_MAX + TCP_TLS_BYTES_MAX;
    assert!(
        tcp_in + tcp_out <= windows,
        "a neighbor over TCP costs no more than one over QUIC"
    );
    let strangers =
        INCOMING_BYTES_TOTAL_MAX as usize + TCP_HANDSHAKES_MAX * TCP_HANDSHAKE_BYTES_MAX;
    assert!(
        neighbors + uploads + strangers < 48 * 1024 * 1024,
        "memory budget of peers"
    );
};
