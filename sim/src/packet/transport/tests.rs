//! The transport over lines and paths, without nodes.

use super::*;
use crate::engine::queue::EventQueue;
use crate::packet::paths::Weather;

impl crate::engine::queue::Event for Wire {
    fn class(&self) -> u8 {
        0
    }
}

const SETTINGS: Settings = Settings {
    window: 12_000,
    trip: 50_000,
    send_window: 128 * 1024,
    stream_window: 256 * 1024,
    idle: 45_000_000,
    keep_alive: 20_000_000,
    resets: false,
};

struct Bench {
    network: Network,
    queue: EventQueue<Wire>,
}

impl Bench {
    fn new(rate: u64, delay: u32, weather: Weather, seed: u64) -> Self {
        let mut paths = Paths::new(2);
        paths.set_delay(0, 1, delay);
        paths.weather = weather;
        let line = || (Line::new(rate, 65_536), Line::new(rate, 65_536));
        let network = Network::new(vec![line(), line()], paths, Draws::of(seed, 0, 0));
        Self {
            network,
            queue: EventQueue::new(),
        }
    }

    fn settle(&mut self) {
        self.network.flush();
        for (at, wire) in self.network.take_scheduled() {
            self.queue.push(at, wire);
        }
    }

    /// Runs to the next event of an application, or to `until`.
    fn next(&mut self, until: u64) -> Option<Event> {
        loop {
            self.settle();
            if let Some(event) = self.network.poll_event() {
                return Some(event);
            }
            let (at, wire) = self.queue.pop(until)?;
            self.network.advance(at);
            self.network.handle(wire);
        }
    }

    /// Runs to this event.
    fn until(&mut self, until: u64, wanted: Event) {
        let mut seen = Vec::new();
        while let Some(event) = self.next(until) {
            if event == wanted {
                return;
            }
            seen.push(event);
        }
        panic!("{wanted:?} did not come, but {seen:?}");
    }

    /// Sends `bytes` from side 0 to side 1; when the last is read and whether all are right.
    fn transfer(&mut self, bytes: usize) -> (u64, bool) {
        let data: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
        let id = self.network.open(0, 1, [SETTINGS; 2], false, 0);
        let stream = self.network.open_stream(id);
        let (mut written, mut read) = (0, Vec::new());
        while let Some(event) = self.next(600_000_000) {
            match event {
                Event::Connected(_, 0) | Event::Writable(_, 0) => {
                    while written < data.len() {
                        let room = self.network.room(id, 0) as usize;
                        if room == 0 {
                            break;
                        }
                        let until = (written + room).min(data.len());
                        self.network.write(id, 0, stream, &data[written..until]);
                        written = until;
                    }
                    if written == data.len() {
                        self.network.finish(id, 0, stream);
                    }
                }
                Event::Readable(_, 1, _) => {
                    let new = self.network.readable(id, 1, stream).to_vec();
                    read.extend_from_slice(&new);
                    self.network.consume(id, 1, stream, new.len());
                    if self.network.is_ended(id, 1, stream) {
                        return (self.network.now, read == data);
                    }
                }
                _ => {}
            }
        }
        (u64::MAX, false)
    }
}

#[test]
fn bytes_arrive_whole_and_in_order_whatever_the_weather() {
    for seed in 0..20 {
        let mut draws = Draws::of(seed, 9, 9);
        let weather = Weather {
            jitter: draws.unit() * 20_000.0,
            loss: draws.unit() * 0.1,
            replay: draws.unit() * 0.1,
            reorder: draws.unit() * 0.1,
        };
        let mut bench = Bench::new(1_000_000, 20_000, weather, seed);
        let (_, right) = bench.transfer(400_000);
        assert!(right, "seed {seed}: {weather:?}");
        let traffic = bench.network.traffic();
        assert_eq!(
            traffic.sent + traffic.replayed,
            traffic.received + traffic.lost + traffic.under_way
        );
    }
}

#[test]
fn a_cold_transfer_takes_its_round_trips_and_a_long_one_fills_the_line() {
    let calm = Weather::default();
    // 40 ms round trip: handshake, then 12 kB fit the first window.
    let (small, _) = Bench::new(12_500_000, 20_000, calm, 1).transfer(10_000);
    assert!((60_000..64_000).contains(&small), "{small}");
    let (window, _) = Bench::new(12_500_000, 20_000, calm, 1).transfer(20_000);
    assert!((100_000..106_000).contains(&window), "{window}");
    // 4 MB at 1 MB/s: headers cost about six percent.
    let (long, _) = Bench::new(1_000_000, 20_000, calm, 1).transfer(4_000_000);
    assert!((4_200_000..4_700_000).contains(&long), "{long}");
}

#[test]
fn a_dead_host_is_noticed_by_silence_and_a_close_at_once() {
    let mut bench = Bench::new(1_000_000, 20_000, Weather::default(), 1);
    let id = bench.network.open(0, 1, [SETTINGS; 2], false, 0);
    assert_eq!(bench.next(1_000_000), Some(Event::Connected(id, 0)));
    assert_eq!(bench.next(1_000_000), Some(Event::Connected(id, 1)));
    bench.network.kill_host(1);
    assert_eq!(bench.next(100_000_000), Some(Event::Closed(id, 0, None)));
    let heard = bench.network.now;
    assert!((45_000_000..90_000_000).contains(&heard), "{heard}");
    bench.network.revive_host(1);
    let id = bench.network.open(0, 1, [SETTINGS; 2], false, 0);
    bench.until(heard + 1_000_000, Event::Connected(id, 1));
    bench.network.close(id, 0, 7);
    assert_eq!(
        bench.next(heard + 2_000_000),
        Some(Event::Closed(id, 1, Some(7)))
    );
    assert_eq!(bench.network.connections(), 0, "both sides are over");
}

#[test]
fn a_host_that_is_back_resets_what_it_has_forgotten_if_the_protocol_can() {
    for resets in [false, true] {
        let mut bench = Bench::new(1_000_000, 20_000, Weather::default(), 1);
        let settings = Settings { resets, ..SETTINGS };
        let id = bench.network.open(0, 1, [settings; 2], false, 0);
        let stream = bench.network.open_stream(id);
        bench.until(1_000_000, Event::Connected(id, 1));
        bench.network.kill_host(1);
        bench.network.revive_host(1);
        bench.network.write(id, 0, stream, b"anybody?");
        let closed = resets.then_some(Event::Closed(id, 0, Some(0)));
        assert_eq!(bench.next(10_000_000), closed);
    }
}

#[test]
fn a_connection_survives_a_cut_shorter_than_its_patience() {
    let mut bench = Bench::new(1_000_000, 20_000, Weather::default(), 1);
    let id = bench.network.open(0, 1, [SETTINGS; 2], false, 0);
    let stream = bench.network.open_stream(id);
    bench.until(1_000_000, Event::Connected(id, 1));
    for way in [(0, 1), (1, 0)] {
        bench.network.paths.cut(way.0, way.1, true);
    }
    bench.network.write(id, 0, stream, b"through");
    assert_eq!(bench.next(20_000_000), None);
    bench.network.paths.mend(20_000_000);
    assert_eq!(bench.next(44_000_000), Some(Event::Readable(id, 1, stream)));
}
