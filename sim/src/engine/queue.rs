//! Events in the order of their time: a hierarchical timing wheel, and the present stretch of time in order.
//!
//! Events of one moment come in the order of their class and, within one, in the order they were
//! put in. A stretch has 64 us; the slots of the first wheel have one each. It is put in order when it begins: it
//! holds a handful of events, and those lie together, while a wheel for its microseconds has its slots all over the
//! memory. Five wheels of 256 slots reach two years; what lies beyond waits in a list of its own. An event is
//! moved at most once per wheel.

use std::collections::VecDeque;

/// Bits of time one wheel resolves.
const WHEEL_BITS: u32 = 8;
/// Slots of a wheel.
pub const SLOTS: usize = 1 << WHEEL_BITS;
const WHEELS: usize = 5;
/// Wheels whose slots keep the memory of their fullest moment: one more holds thousands in each.
const WHEELS_KEPT: usize = 2;
/// Bits of a stretch of time, which is a slot of the first wheel: 64 us. A million users have five events in one. What
/// looks ahead by stretches asks for what the next few of them need: with 256 us a minute of theirs takes a tenth more
/// time, with 16 or 32 as much (measured).
pub const STRETCH_BITS: u32 = 6;
/// Time beyond this many microseconds from now lies outside of all wheels.
const REACH_BITS: u32 = STRETCH_BITS + WHEEL_BITS * WHEELS as u32;

/// Most events of a stretch that are only sorted; more are dealt out by their microsecond first. Guess.
const SORTED_MAX: usize = 64;

/// Where the slots of a wheel are in a time.
const fn shift(level: usize) -> u32 {
    STRETCH_BITS + WHEEL_BITS * level as u32
}

/// Something that can be queued.
pub trait Event: Copy {
    /// Lower classes come first within one moment.
    fn class(&self) -> u8;
}

#[derive(Debug)]
struct Wheel<E> {
    slots: Vec<Vec<(u64, E)>>,
    occupied: [u64; SLOTS / 64],
}

impl<E> Wheel<E> {
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
        }
    }

    fn push(&mut self, slot: usize, time: u64, event: E) {
        self.slots[slot].push((time, event));
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// The first occupied slot from `slot` on.
    fn next(&self, slot: usize) -> Option<usize> {
        let mut word = slot / 64;
        let mut bits = self.occupied.get(word)? & (u64::MAX << (slot % 64));
        loop {
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            word += 1;
            bits = *self.occupied.get(word)?;
        }
    }

    /// Empties a slot, leaving `spare` in its place so that its memory is used again.
    fn take(&mut self, slot: usize, spare: Vec<(u64, E)>) -> Vec<(u64, E)> {
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        core::mem::replace(&mut self.slots[slot], spare)
    }
}

/// A stretch of time that comes.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a, E> {
    /// Its slot of the first wheel, of [`SLOTS`].
    pub slot: usize,
    /// What waits there, in the order it was put in.
    pub events: &'a [(u64, E)],
}

/// The queue.
#[derive(Debug)]
pub struct EventQueue<E> {
    now: u64,
    len: usize,
    /// What is left of the present stretch, in order.
    near: VecDeque<(u64, E)>,
    wheels: Vec<Wheel<E>>,
    far: Vec<(u64, E)>,
    /// Memory of the slot opened last, for each of the wheels that keep it.
    spares: [Vec<(u64, E)>; WHEELS_KEPT],
}

impl<E: Event> EventQueue<E> {
    /// An empty queue at time zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            now: 0,
            len: 0,
            near: VecDeque::new(),
            wheels: (0..WHEELS).map(|_| Wheel::new()).collect(),
            far: Vec::new(),
            spares: [const { Vec::new() }; WHEELS_KEPT],
        }
    }

    /// Events waiting.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The time of the event taken last.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Adds an event; one in the past happens now.
    pub fn push(&mut self, time: u64, event: E) {
        self.len += 1;
        let time = time.max(self.now);
        if time >> STRETCH_BITS == self.now >> STRETCH_BITS {
            let place = place_of(time, &event);
            let at = self.near.partition_point(|(t, e)| place_of(*t, e) <= place);
            self.near.insert(at, (time, event));
        } else {
            self.place(time, event);
        }
    }

    /// The next event, if it happens no later than `until`.
    pub fn pop(&mut self, until: u64) -> Option<(u64, E)> {
        while self.near.is_empty() {
            if !self.open_next(until) {
                return None;
            }
        }
        let (time, event) = self.near.pop_front_if(|(time, _)| *time <= until)?;
        self.now = time;
        self.len -= 1;
        Some((time, event))
    }

    /// The slot of the first wheel that the present stretch of time was in.
    #[must_use]
    pub const fn slot(&self) -> usize {
        (self.now >> STRETCH_BITS) as usize % SLOTS
    }

    /// What waits in the next stretches of time in which something does, as far as that is known: it may yet
    /// become more, behind what there is. See [`STRETCH_BITS`].
    pub fn ahead<const COUNT: usize>(&self) -> [Stretch<'_, E>; COUNT] {
        let wheel = &self.wheels[0];
        let mut slot = self.slot();
        core::array::from_fn(|_| match wheel.next(slot + 1) {
            Some(next) => {
                slot = next;
                let events = wheel.slots[next].as_slice();
                Stretch { slot, events }
            }
            None => Stretch { slot, events: &[] },
        })
    }

    /// Puts an event of another stretch where its time belongs, seen from now.
    fn place(&mut self, time: u64, event: E) {
        let differ = time ^ self.now;
        if differ >> REACH_BITS != 0 {
            self.far.push((time, event));
            return;
        }
        let level = ((63 - differ.leading_zeros() - STRETCH_BITS) / WHEEL_BITS) as usize;
        let slot = (time >> shift(level)) as usize % SLOTS;
        self.wheels[level].push(slot, time, event);
    }

    /// Opens the earliest occupied slot. False if there is none before `until`; nothing is moved then.
    fn open_next(&mut self, until: u64) -> bool {
        for level in 0..WHEELS {
            let from = (self.now >> shift(level)) as usize % SLOTS + 1;
            let Some(slot) = self.wheels[level].next(from) else {
                continue;
            };
            let above = u64::MAX << (shift(level) + WHEEL_BITS);
            let start = (self.now & above) + ((slot as u64) << shift(level));
            if start > until {
                return false;
            }
            let spare = self.spares.get_mut(level).map(core::mem::take);
            let mut events = self.wheels[level].take(slot, spare.unwrap_or_default());
            self.open(start, &mut events);
            if let Some(spare) = self.spares.get_mut(level) {
                *spare = events;
            }
            return true;
        }
        let Some(start) = self.far.iter().map(|(time, _)| time >> REACH_BITS).min() else {
            return false;
        };
        let start = start << REACH_BITS;
        if start > until {
            return false;
        }
        let mut events = core::mem::take(&mut self.far);
        self.open(start, &mut events);
        true
    }

    /// Enters the stretch of time that begins at `start`, puts it in order and spreads what comes later.
    fn open(&mut self, start: u64, events: &mut Vec<(u64, E)>) {
        self.now = start;
        events.retain(|(time, event)| {
            let stays = time >> STRETCH_BITS == start >> STRETCH_BITS;
            if !stays {
                self.place(*time, *event);
            }
            stays
        });
        if events.len() > SORTED_MAX {
            self.near.extend(dealt(events));
        } else {
            self.near.extend(events.iter().copied());
        }
        events.clear();
        // Stable: within a class the order of insertion stays. What was dealt is in order but for the classes.
        let near = self.near.make_contiguous();
        near.sort_by_key(|(time, event)| place_of(*time, event));
    }
}

/// The events of one stretch in the order of their times, and else in that in which they are.
fn dealt<E: Copy>(events: &[(u64, E)]) -> impl Iterator<Item = (u64, E)> + '_ {
    let mut next = [0_usize; 1 << STRETCH_BITS];
    let within = |time: u64| time as usize % (1 << STRETCH_BITS);
    for (time, _) in events {
        next[within(*time)] += 1;
    }
    let mut before = 0;
    for next in &mut next {
        before += core::mem::replace(next, before);
    }
    let mut order = vec![0; events.len()];
    for (number, (time, _)) in events.iter().enumerate() {
        let next = &mut next[within(*time)];
        order[*next] = number;
        *next += 1;
    }
    order.into_iter().map(|number| events[number])
}

/// Where an event comes in its stretch.
fn place_of<E: Event>(time: u64, event: &E) -> u16 {
    u16::from_be_bytes([time as u8, event.class()])
}

impl<E: Event> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::random::Draws;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Numbered(u8, u64);

    impl Event for Numbered {
        fn class(&self) -> u8 {
            self.0
        }
    }

    /// Against an ordered map of (time, class, sequence), while events are added between takes.
    #[test]
    fn the_order_is_time_then_class_then_insertion() {
        for seed in 0..20 {
            let mut draws = Draws::of(seed, 0, 0);
            let mut queue = EventQueue::new();
            let mut oracle = BTreeMap::new();
            let (mut now, mut sequence) = (0_u64, 0_u64);
            for _ in 0..5_000 {
                for _ in 0..draws.below(3) {
                    // Holds from nothing to a century, so that every wheel is used.
                    let reach = 1 << draws.below(52);
                    let hold = draws.below(reach);
                    let class = draws.below(3) as u8;
                    sequence += 1;
                    oracle.insert((now + hold, class, sequence), ());
                    queue.push(now + hold, Numbered(class, sequence));
                }
                if draws.below(5) == 0 {
                    let until = now + draws.below(1_000);
                    let within = oracle.first_key_value();
                    if within.is_none_or(|(key, ())| key.0 > until) {
                        assert_eq!(queue.pop(until), None);
                        now = until;
                    }
                    continue;
                }
                let expected = oracle.pop_first().map(|((time, class, number), ())| {
                    now = time;
                    (time, Numbered(class, number))
                });
                assert_eq!(queue.pop(u64::MAX), expected, "seed {seed}");
                assert_eq!(queue.len(), oracle.len());
            }
        }
    }

    /// Against a stable sort, with more events in a stretch than are sorted there.
    #[test]
    fn a_full_stretch_is_in_order_too() {
        let mut draws = Draws::of(3, 0, 0);
        let events = (0..5_000).map(|number| {
            // Some 400 in the second stretch, more than one in a microsecond; also from the second wheel.
            let time = 1 + draws.below(1 << [8, 10, 12, 20][number as usize % 4]);
            (time, Numbered(draws.below(3) as u8, number))
        });
        let mut events: Vec<(u64, Numbered)> = events.collect();
        let mut queue = EventQueue::new();
        events
            .iter()
            .for_each(|(time, event)| queue.push(*time, *event));
        events.sort_by_key(|(time, event)| (*time, event.class()));
        let taken: Vec<_> = core::iter::from_fn(|| queue.pop(u64::MAX)).collect();
        assert!(taken == events && queue.is_empty());
    }

    #[test]
    fn the_stretches_ahead_are_those_that_come() {
        let mut queue = EventQueue::new();
        for number in 0..40_u64 {
            // Stretches 0, 3, 6 ...
            queue.push(
                number / 4 * 3 * (1 << STRETCH_BITS) + number % 4 + 1,
                Numbered(0, number),
            );
        }
        for number in 0..4 {
            assert_eq!(queue.pop(u64::MAX).map(|(_, event)| event.1), Some(number));
        }
        let [ahead @ .., beyond] = queue.ahead::<10>();
        for (first, stretch) in (4..).step_by(4).zip(ahead) {
            let numbers: Vec<u64> = stretch.events.iter().map(|(_, event)| event.1).collect();
            assert_eq!(numbers, [first, first + 1, first + 2, first + 3]);
        }
        assert!(beyond.events.is_empty());
    }

    #[test]
    fn an_event_of_the_present_moment_with_a_lower_class_comes_next() {
        let mut queue = EventQueue::new();
        for (class, number) in [(1, 1), (2, 2)] {
            queue.push(5, Numbered(class, number));
        }
        assert_eq!(queue.pop(9), Some((5, Numbered(1, 1))));
        queue.push(5, Numbered(2, 3));
        queue.push(5, Numbered(0, 4));
        queue.push(1, Numbered(1, 5));
        let rest: Vec<u64> = core::iter::from_fn(|| queue.pop(9))
            .map(|(_, e)| e.1)
            .collect();
        assert_eq!(rest, [4, 5, 2, 3]);
    }
}
