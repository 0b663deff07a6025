//! What the player's thread waits for: commands, and being woken. Bounded, like everything.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Commands that may wait. The thread takes them within milliseconds, so more means it is stuck.
const COMMANDS_MAX: usize = 64;

pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    commands: VecDeque<T>,
    woken: bool,
    closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            commands: VecDeque::new(),
            woken: false,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Leaves a command; gives it back if there is no room.
    pub(crate) fn send(&self, command: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.commands.len() >= COMMANDS_MAX {
            return Err(command);
        }
        state.commands.push_back(command);
        self.changed.notify_one();
        Ok(())
    }

    /// Something else changed that the thread should look at.
    pub(crate) fn wake(&self) {
        let mut state = self.lock();
        if !state.woken {
            state.woken = true;
            self.changed.notify_one();
        }
    }

    /// Nobody will send any more; the thread is to end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The next command, without waiting.
    pub(crate) fn next(&self) -> Option<T> {
        self.lock().commands.pop_front()
    }

    /// Waits for a command, a wake or the time to pass.
    pub(crate) fn wait(&self, timeout: Duration) {
        let state = self.lock();
        let idle =
            |state: &mut State<T>| !state.woken && !state.closed && state.commands.is_empty();
        let waited = self.changed.wait_timeout_while(state, timeout, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.woken = false;
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
