//! One buffer per part, handed out in slices.
//!
//! A part's buffer is split into one slice per segment; each slice is filled by whoever has the
//! segment's bytes and comes back in any order. When all are back they are folded **left to
//! right**: `BytesMut::unsplit` joins neighbours without copying only in that order, and copies
//! silently otherwise. Buffers are used again for later parts, because fresh allocations keep the
//! resident size high.

use bytes::{Bytes, BytesMut};

/// Buffers of one size that wait for their next use.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    free: Vec<BytesMut>,
}

impl BufferPool {
    /// A buffer of `length` bytes, with old content.
    pub(super) fn take(&mut self, length: usize) -> BytesMut {
        // A volume's last part may be shorter: it takes what is there too, or there would be more
        // buffers than the budget has parts.
        match self.free.iter().rposition(|buffer| buffer.len() >= length) {
            // The one that came back last: its memory is in the CPU's caches, if any is.
            Some(at) => {
                let mut buffer = self.free.swap_remove(at);
                buffer.truncate(length);
                buffer
            }
            None => BytesMut::zeroed(length),
        }
    }

    /// Takes a buffer back, if nobody else holds on to it.
    pub(super) fn give_back(&mut self, bytes: Bytes) {
        if let Ok(buffer) = bytes.try_into_mut() {
            self.free.push(buffer);
        }
    }
}

/// The slices of one part's buffer, in order, as they come back.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Option<BytesMut>>,
    empty: usize,
}

/// Splits `buffer` into slices of the given lengths, which must add up to its own and not be
/// zero, and slots to put them back into.
pub(super) fn split(
    mut buffer: BytesMut,
    lengths: impl Iterator<Item = usize>,
) -> (Vec<BytesMut>, Slots) {
    let slices: Vec<BytesMut> = lengths
        .map(|length| {
            assert!(length > 0, "an empty slice cannot be joined again");
            buffer.split_to(length)
        })
        .collect();
    assert!(buffer.is_empty(), "the slices are the whole buffer");
    let slots = Slots {
        slots: slices.iter().map(|_| None).collect(),
        empty: slices.len(),
    };
    (slices, slots)
}

impl Slots {
    /// Puts a slice back into its place; true when all are back.
    pub(super) fn put(&mut self, slot: usize, slice: BytesMut) -> bool {
        let previous = self.slots[slot].replace(slice);
        assert!(previous.is_none(), "a slice comes back once");
        self.empty -= 1;
        self.empty == 0
    }

    /// The whole buffer again, once all slices are back.
    pub(super) fn join(self) -> BytesMut {
        let mut slices = self.slots.into_iter().flatten();
        let mut whole = slices.next().unwrap_or_default();
        let start = whole.as_ptr();
        for slice in slices {
            let end = whole.as_ptr_range().end;
            assert_eq!(slice.as_ptr(), end, "slices of one buffer are neighbours");
            whole.unsplit(slice);
        }
        assert_eq!(whole.as_ptr(), start, "joining must not copy");
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// What fills a slice in a round.
    fn mark(slot: usize, round: u8) -> u8 {
        u8::try_from(slot).unwrap() + round
    }

    proptest! {
        #[test]
        fn slices_come_back_in_any_order_without_a_copy(
            lengths in proptest::collection::vec(1..5000usize, 1..30),
            order in proptest::collection::vec(any::<Index>(), 30),
        ) {
            let total = lengths.iter().sum();
            let mut pool = BufferPool::default();
            let mut address = None;
            for round in 0..3u8 {
                let buffer = pool.take(total);
                // The same memory serves every round.
                prop_assert_eq!(*address.get_or_insert(buffer.as_ptr()), buffer.as_ptr());
                let (slices, mut slots) = split(buffer, lengths.iter().copied());
                let mut waiting: Vec<(usize, BytesMut)> = slices.into_iter().enumerate().collect();
                for pick in &order {
                    if waiting.is_empty() {
                        break;
                    }
                    let (slot, mut slice) = waiting.swap_remove(pick.index(waiting.len()));
                    slice.fill(mark(slot, round));
                    prop_assert_eq!(slots.put(slot, slice), waiting.is_empty());
                }
                let whole = slots.join();
                prop_assert_eq!(whole.len(), total);
                prop_assert_eq!(whole.capacity(), total);
                let mut at = 0;
                for (slot, length) in lengths.iter().enumerate() {
                    prop_assert!(whole[at..at + length].iter().all(|byte| *byte == mark(slot, round)));
                    at += length;
                }
                pool.give_back(whole.freeze());
            }
        }
    }

    #[test]
    fn a_buffer_that_somebody_holds_is_not_used_again() {
        let mut pool = BufferPool::default();
        let held = pool.take(10).freeze();
        let copy = held.clone();
        pool.give_back(held);
        assert!(pool.free.is_empty());
        drop(copy);
    }
}
