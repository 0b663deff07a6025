//! Asking the processor for memory before it is looked at: what one of a million nodes knows is far
//! away, and waiting for each line of it in turn is half of what an event of a large world costs.
//!
//! Hints only: nothing here changes what any code does. A driver of one node has no use for it.

use prefetch_index::prefetch_index;

/// A line of memory: what a processor loads at once.
const LINE_BYTES: usize = 64;

/// Brings one element of a list, or nothing if there is none.
pub fn bring<T>(list: &[T], at: usize) {
    if at < list.len() {
        prefetch_index(list, at);
    }
}

/// Brings the elements from `from` on, `count` at most.
pub fn bring_range<T>(list: &[T], from: usize, count: usize) {
    let step = (LINE_BYTES / size_of::<T>().max(1)).max(1);
    let end = from.saturating_add(count).min(list.len());
    for at in (from..end).step_by(step) {
        prefetch_index(list, at);
    }
}

/// Brings all of a value of `T`, given one of its fields that takes a byte and where in it that is, for which there
/// is `offset_of!`. With another offset it brings what nobody needs.
pub fn bring_whole<T>(field: &bool, offset: usize) {
    bring_bytes(field, offset, size_of::<T>());
}

/// The same for as many bytes from the beginning of the value on.
pub fn bring_bytes(field: &bool, offset: usize, bytes: usize) {
    let field = core::slice::from_ref(field);
    for at in (0..bytes).step_by(LINE_BYTES) {
        prefetch_index(field, at.wrapping_sub(offset));
    }
}
