//! What all fetches together may hold in memory while packs are resolved.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are taken and given back.
pub(in crate::source) struct Room {
    free_bytes: Mutex<u64>,
    freed: Condvar,
    all_bytes: u64,
}

/// A part of the room, given back when dropped.
pub(in crate::source) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(in crate::source) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { free_bytes: Mutex::new(bytes), freed: Condvar::new(), all_bytes: bytes })
    }

    /// Waits for so many bytes, at most `wait`; blocks. Who needs more than there is gets the whole room for itself.
    pub(in crate::source) fn take(self: &Arc<Self>, bytes: u64, wait: Duration) -> Option<Taken> {
        let bytes = bytes.min(self.all_bytes);
        let until = Instant::now() + wait;
        let mut free = self.free_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.freed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= bytes;
        Some(Taken { room: self.clone(), bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.free_bytes.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_never_given_twice() {
        let room = Room::new(10);
        let first = room.take(7, Duration::ZERO).expect("there is room");
        assert!(room.take(4, Duration::ZERO).is_none());
        let small = room.take(3, Duration::ZERO).expect("a little is left");
        let waiting = std::thread::spawn({
            let room = room.clone();
            move || room.take(99, Duration::from_secs(60)).map(|taken| taken.bytes)
        });
        drop((first, small));
        assert_eq!(waiting.join().expect("no panic"), Some(10));
        assert!(room.take(10, Duration::ZERO).is_some());
    }
}
