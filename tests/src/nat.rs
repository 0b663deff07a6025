//! A router of a home, as most homes have one: it gives the home's UDP packets its own address and
//! another port, and lets in only answers. Nothing but UDP gets through.
//!
//! It runs in a namespace of its own, where all that the home sends ends at a raw socket, and lets
//! every packet travel for a while.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use crate::place::Place;

/// Between looks at whether the router is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Packets on their way through a router at once: what a fast line brings in the longest delay.
const WIRE_PACKETS: usize = 4_096;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;

/// How strict a router is (RFC 4787, 4.1 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One outside port for each inside port; lets in whoever's address was written to.
    LenientCone,
    /// One outside port for each inside port; lets in only whoever's address and port was.
    Cone,
    /// Another outside port for everybody who is written to, and nobody else is let in there.
    Symmetric,
}

/// A home's only address inside, and the router's there.
const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

/// A home behind its router, connected to the open network.
#[derive(Debug)]
pub struct Home {
    /// Where the home's nodes run.
    pub inside: Place,
    router: Router,
    _router_place: Place,
}

impl Home {
    /// A home at `internet`, the `number`th there. Each packet takes `delay` from or to it.
    ///
    /// # Errors
    /// If it cannot be made. None where there are no namespaces.
    pub fn make(
        internet: &Place,
        number: u8,
        kind: Kind,
        delay: Duration,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(inside), Some(place)) = (Place::make()?, Place::make()?) else {
            return Ok(None);
        };
        inside.connect(("home", "192.168.1.2/24"), &place, ("in", "192.168.1.1/24"))?;
        inside.ip("route add default via 192.168.1.1")?;
        let (outside, gateway) = (format!("10.99.{number}.2"), format!("10.99.{number}.1"));
        let port = format!("home{number}");
        let there = format!("{gateway}/24");
        place.connect(("out", &format!("{outside}/24")), internet, (&port, &there))?;
        place.ip(&format!("route add default via {gateway}"))?;
        // All that comes from the home ends here, wherever it is sent.
        place.ip("rule add pref 5 iif in lookup 100")?;
        place.ip("route add local default dev lo table 100")?;
        let outside = outside.parse()?;
        let router = place.run(|| Router::start(outside, kind, delay))?;
        Ok(Some(Self {
            inside,
            router,
            _router_place: place,
        }))
    }

    /// How many packets of strangers the router kept out.
    #[must_use]
    pub fn kept_out(&self) -> usize {
        self.router.shared.kept_out.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Router {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    kept_out: std::sync::atomic::AtomicUsize,
    /// Takes what the home sends, and gives it what comes.
    inside: Socket,
    wire: mpsc::SyncSender<Travelling>,
    delay: Duration,
    kind: Kind,
}

/// A packet on its way.
struct Travelling {
    due: Instant,
    packet: Packet,
}

enum Packet {
    Out {
        from: Arc<UdpSocket>,
        to: SocketAddrV4,
        bytes: Vec<u8>,
    },
    In(Vec<u8>),
}

impl Shared {
    fn send(&self, packet: Packet) {
        let due = Instant::now() + self.delay;
        // What the wire does not hold is lost.
        let _ = self.wire.try_send(Travelling { due, packet });
    }

    fn ends(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Router {
    /// To be called in the router's place.
    fn start(outside: Ipv4Addr, kind: Kind, delay: Duration) -> anyhow::Result<Self> {
        let inside = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
        let inside = inside.context("no raw socket")?;
        inside.bind_device(Some(b"in"))?;
        inside.set_header_included_v4(true)?;
        inside.set_read_timeout(Some(LOOK_EVERY))?;
        let (wire, travelling) = mpsc::sync_channel(WIRE_PACKETS);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            kept_out: std::sync::atomic::AtomicUsize::new(0),
            inside,
            wire,
            delay,
            kind,
        });
        let (sending, carrying) = (Arc::clone(&shared), Arc::clone(&shared));
        let mappings = Mappings {
            outside,
            ports: HashMap::new(),
        };
        Ok(Self {
            shared,
            threads: vec![
                thread::spawn(move || take_out(&sending, mappings)),
                thread::spawn(move || carry(&carrying, &travelling)),
            ],
        })
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Who may answer at an outside port.
type Written = Arc<Mutex<HashSet<SocketAddrV4>>>;

struct Mappings {
    outside: Ipv4Addr,
    /// By inside port, and for symmetric routers by who is written to.
    ports: HashMap<(u16, Option<SocketAddrV4>), (Arc<UdpSocket>, Written)>,
}

impl Mappings {
    fn port(
        &mut self,
        shared: &Arc<Shared>,
        inside: u16,
        to: SocketAddrV4,
    ) -> io::Result<Arc<UdpSocket>> {
        let symmetric = shared.kind == Kind::Symmetric;
        let key = (inside, symmetric.then_some(to));
        if !self.ports.contains_key(&key) {
            let socket = Arc::new(UdpSocket::bind((self.outside, 0))?);
            socket.set_read_timeout(Some(LOOK_EVERY))?;
            let written = Written::default();
            let (shared, from) = (Arc::clone(shared), Arc::clone(&socket));
            let may_answer = Arc::clone(&written);
            thread::spawn(move || let_in(&shared, &from, &may_answer, inside));
            self.ports.insert(key, (socket, written));
        }
        let (socket, written) = &self.ports[&key];
        lock(written).insert(to);
        Ok(Arc::clone(socket))
    }
}

fn lock(written: &Written) -> std::sync::MutexGuard<'_, HashSet<SocketAddrV4>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the home sends, out of the port that it is given.
fn take_out(shared: &Arc<Shared>, mut mappings: Mappings) {
    let mut buffer = vec![0; 1 << 16];
    while !shared.ends() {
        let Ok(length) = (&shared.inside).read(&mut buffer) else {
            continue;
        };
        let Some((inside, to, bytes)) = parse(&buffer[..length]) else {
            continue;
        };
        if let Ok(from) = mappings.port(shared, inside, to) {
            let bytes = bytes.to_vec();
            shared.send(Packet::Out { from, to, bytes });
        }
    }
}

/// What comes to an outside port, if it may.
fn let_in(shared: &Shared, outside: &UdpSocket, written: &Written, inside: u16) {
    let mut buffer = vec![0; 1 << 16];
    while !shared.ends() {
        let Ok((length, std::net::SocketAddr::V4(from))) = outside.recv_from(&mut buffer) else {
            continue;
        };
        let lenient = shared.kind == Kind::LenientCone;
        let may = |to: &SocketAddrV4| *to == from || (lenient && to.ip() == from.ip());
        if lock(written).iter().any(may) {
            let to = SocketAddrV4::new(HOME, inside);
            shared.send(Packet::In(build(from, to, &buffer[..length])));
        } else {
            shared.kept_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Lets each packet arrive when it is due. All take equally long, so none overtakes another.
fn carry(shared: &Shared, sent: &mpsc::Receiver<Travelling>) {
    let mut travelling = VecDeque::new();
    while !shared.ends() {
        let first: Option<&Travelling> = travelling.front();
        let due = first.map_or(LOOK_EVERY, |first| {
            first.due.saturating_duration_since(Instant::now())
        });
        travelling.extend(sent.recv_timeout(due.min(LOOK_EVERY)));
        travelling.truncate(WIRE_PACKETS);
        let now = Instant::now();
        while travelling.front().is_some_and(|first| first.due <= now) {
            if let Some(Travelling { packet, .. }) = travelling.pop_front() {
                arrive(shared, packet);
            }
        }
    }
}

/// What cannot be sent is lost, as on any network.
fn arrive(shared: &Shared, packet: Packet) {
    let _ = match packet {
        Packet::Out { from, to, bytes } => from.send_to(&bytes, to),
        Packet::In(bytes) => {
            let to = SocketAddrV4::new(HOME, 0).into();
            shared.inside.send_to(&bytes, &to)
        }
    };
}

/// The port a datagram comes from, where it is to go, and what it holds.
fn parse(packet: &[u8]) -> Option<(u16, SocketAddrV4, &[u8])> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let target: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let udp = packet.get(header..)?;
    let number = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    let to = SocketAddrV4::new(target.into(), number(2)?);
    let length = usize::from(number(4)?);
    Some((number(0)?, to, udp.get(UDP_HEADER..length)?))
}

/// A datagram with its headers. The system fills in the first checksum, and the second may be left
/// out.
fn build(from: SocketAddrV4, to: SocketAddrV4, bytes: &[u8]) -> Vec<u8> {
    let length = |headers: usize| (headers + bytes.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length(IP_HEADER + UDP_HEADER).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(length(UDP_HEADER).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(bytes);
    packet
}
