//! One volume from its photos to its sink: fetch ∥ assemble ∥ upload.
//!
//! [`Transfer`] is a single task that owns all state and hands out the work: downloads and
//! uploads run as tasks of their own and come back as [`Event`]s. Parts are admitted in order as
//! the memory budget allows, and only as far ahead as there are connections to fill them. A
//! part's buffer is one reservation from admission until its upload is done, so back pressure
//! from the sink reaches the downloads by itself, and a download starts only when all the memory
//! for its bytes is there.
//!
//! Three parts are enough to go on: an entry (header and body) of at most two parts reaches into
//! three at most, and while a longer one's header waits for its CRC (in one or two parts), its body goes up part
//! by part.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::budget::{Budget, Reservation};
use super::buffer::{BufferPool, Slots, split};
use super::checksum::{CRC32, CRC32C, combine, crc32};
use super::concurrency::{Concurrency, WINDOW, Window, WindowClock};
use super::fetch::{Failure, FailureKind, FetchEnv, FetchJob, Fetched, Place, Slice, fetch};
use super::report::Slowest;
use crate::manifest::EntryName;
use crate::plan::layout::{self, LayoutError};
use crate::plan::{Content, Part, Parts, SegmentKind, Volume};
use crate::sink::{ArchiveUpload, PartData, PartReceipt, SinkError};
use crate::source::PhotoSource;

/// Uploads that run at once. Enough to hide the round trips of 8 MiB parts on a fast network;
/// more would only hold memory.
const MAX_UPLOADS: usize = 16;

/// Why a volume did not get through.
#[derive(Debug)]
pub(super) enum TransferError {
    /// Photos turned out not to be what the plan says.
    Stale(Vec<Failure>),
    /// A photo could not be fetched, and no archive is wanted without it.
    Fetch {
        photo: usize,
        what: String,
        attempts: u32,
    },
    /// A source cannot be used as the settings are.
    Settings(String),
    Sink(SinkError),
    Layout(LayoutError),
    Cancelled,
    /// A bug: nothing runs and nothing can.
    Stuck,
}

impl From<LayoutError> for TransferError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

/// Moves one volume. `discover` keeps going after a photo turned out missing or changed, without
/// storing anything, to learn of all such photos at once.
pub(super) struct Transfer<'a, S: PhotoSource, U> {
    env: Arc<FetchEnv<S>>,
    volume: &'a Volume,
    upload: Arc<U>,
    budget: &'a Budget,
    discover: bool,

    parts: Parts<'a>,
    /// The next part, if the budget had no room for it yet.
    next_part: Option<Part>,
    open: HashMap<u32, OpenPart>,
    entries: Vec<EntryState>,
    /// The photo that reaches into parts that are not admitted yet.
    growing: Option<FetchJob>,
    ready: VecDeque<FetchJob>,
    fetching: usize,
    /// Parts that wait for a free upload.
    full: VecDeque<FullPart>,
    uploading: usize,
    tasks: JoinSet<Event>,
    receipts: Vec<PartReceipt>,
    /// Entries whose CRC is not known.
    unknown_crcs: usize,
    tail: Option<Bytes>,
    /// Slices that wait for the tail: part, slot, where in the tail, slice.
    tail_slices: Vec<(u32, usize, u64, BytesMut)>,
    pool: BufferPool,
    stale: Vec<Failure>,
    concurrency: &'a mut Concurrency,
    slowest: &'a mut Slowest,
    first_requests: HashMap<usize, Instant>,
}

/// What is known of an entry while it is under way.
#[derive(Debug, Default)]
struct EntryState {
    crc32: Option<u32>,
    /// Bytes that have arrived.
    arrived: u64,
    /// Pieces that have arrived: where each begins, its length, its CRCs.
    pieces: Vec<Piece>,
    /// Slices that wait for the header: part, slot, where in the header, slice.
    header_slices: Vec<(u32, usize, u64, BytesMut)>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    from: u64,
    length: u64,
    crc32: u32,
    crc32c: u32,
}

/// A part whose bytes are not all there yet.
#[derive(Debug)]
struct OpenPart {
    offset: u64,
    slots: Slots,
    /// CRC-32 and length of each slot's bytes.
    crcs: Vec<(u32, u64)>,
    reservation: Reservation,
}

/// A part that can be uploaded.
#[derive(Debug)]
struct FullPart {
    data: PartData,
    reservation: Reservation,
}

enum Event {
    Fetched(Fetched, Result<(), Failure>),
    Uploaded(Result<(PartReceipt, Bytes, Reservation), SinkError>),
}

impl<'a, S: PhotoSource, U: ArchiveUpload> Transfer<'a, S, U> {
    pub(super) fn new(
        env: Arc<FetchEnv<S>>,
        volume: &'a Volume,
        upload: Arc<U>,
        budget: &'a Budget,
        discover: bool,
        concurrency: &'a mut Concurrency,
        slowest: &'a mut Slowest,
    ) -> Self {
        let entries: Vec<EntryState> = volume
            .entries
            .iter()
            .map(|entry| EntryState {
                crc32: match (&entry.content, entry.size) {
                    (_, 0) => Some(0),
                    (Content::Text(text), _) => Some(crc32(text.as_bytes())),
                    (Content::Photo(_), _) => None,
                },
                ..EntryState::default()
            })
            .collect();
        concurrency.forget_trial();
        let empty_photos = volume
            .entries
            .iter()
            .filter(|entry| entry.size == 0 && matches!(entry.content, Content::Photo(_)))
            .count();
        env.progress.photos_done.add(empty_photos as u64);
        Self {
            unknown_crcs: entries.iter().filter(|entry| entry.crc32.is_none()).count(),
            env,
            volume,
            upload,
            budget,
            discover,
            parts: volume.parts(),
            next_part: None,
            open: HashMap::new(),
            entries,
            growing: None,
            ready: VecDeque::new(),
            fetching: 0,
            full: VecDeque::new(),
            uploading: 0,
            tasks: JoinSet::new(),
            receipts: Vec::new(),
            tail: None,
            tail_slices: Vec::new(),
            pool: BufferPool::default(),
            stale: Vec::new(),
            concurrency,
            slowest,
            first_requests: HashMap::new(),
        }
    }

    /// Runs to the end and returns the receipts of all parts, in order.
    pub(super) async fn run(
        mut self,
        cancel: &CancellationToken,
    ) -> Result<(Vec<PartReceipt>, Vec<u32>), TransferError> {
        let outcome = self.drive(cancel).await;
        // Whatever still runs is of no use any more, and must be gone before the upload is aborted.
        self.tasks.shutdown().await;
        outcome?;
        if !self.stale.is_empty() {
            return Err(TransferError::Stale(self.stale));
        }
        self.receipts.sort_unstable_by_key(|receipt| receipt.number);
        let crcs = self
            .entries
            .iter()
            .map(|entry| entry.crc32.unwrap_or_default())
            .collect();
        Ok((self.receipts, crcs))
    }

    async fn drive(&mut self, cancel: &CancellationToken) -> Result<(), TransferError> {
        let mut window = WindowClock::new(self.env.progress.bytes_fetched.get());
        let mut tick = tokio::time::interval_at(Instant::now() + WINDOW, WINDOW);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.make_tail_if_known()?;
        loop {
            self.admit()?;
            self.start_fetches();
            self.start_uploads();
            if self.tasks.is_empty() {
                let done = self.next_part.is_none() && self.open.is_empty();
                return if done || !self.stale.is_empty() {
                    Ok(())
                } else {
                    Err(TransferError::Stuck)
                };
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(TransferError::Cancelled),
                _ = tick.tick() => self.observe(&mut window),
                Some(joined) = self.tasks.join_next() => {
                    let event = joined.unwrap_or_else(|error| {
                        std::panic::resume_unwind(error.into_panic())
                    });
                    self.handle(event)?;
                }
            }
        }
    }

    /// Takes in parts while connections are idle and memory is free.
    fn admit(&mut self) -> Result<(), TransferError> {
        if self.winding_down() {
            return Ok(());
        }
        loop {
            let free = self.concurrency.limit().saturating_sub(self.fetching);
            if self.ready.len() > free {
                return Ok(());
            }
            let Some(part) = self.next_part.take().or_else(|| self.parts.next()) else {
                return Ok(());
            };
            if let Some(reservation) = self.budget.try_reserve(part.length) {
                self.open_part(&part, reservation)?;
            } else {
                self.next_part = Some(part);
                return Ok(());
            }
        }
    }

    /// A photo is not what the plan says, and nobody wants to know about more of them.
    fn winding_down(&self) -> bool {
        !self.stale.is_empty() && !self.discover
    }

    fn open_part(&mut self, part: &Part, reservation: Reservation) -> Result<(), TransferError> {
        let buffer = self.pool.take(to_usize(part.length));
        let lengths = part.segments.iter().map(|segment| to_usize(segment.length));
        let (slices, slots) = split(buffer, lengths);
        self.open.insert(
            part.number,
            OpenPart {
                offset: part.offset,
                slots,
                crcs: part.segments.iter().map(|s| (0, s.length)).collect(),
                reservation,
            },
        );
        for (slot, (segment, slice)) in part.segments.iter().zip(slices).enumerate() {
            match segment.kind {
                SegmentKind::Header { entry, from } => match self.entries[entry].crc32 {
                    Some(crc) => {
                        let header = layout::local_header(&self.volume.entries[entry], crc)?;
                        self.fill(part.number, slot, slice, &header[to_usize(from)..]);
                    }
                    None => {
                        self.entries[entry]
                            .header_slices
                            .push((part.number, slot, from, slice));
                    }
                },
                SegmentKind::Body { entry, from } => match &self.volume.entries[entry].content {
                    Content::Text(text) => {
                        let bytes = &text.as_bytes()[to_usize(from)..];
                        self.fill(part.number, slot, slice, bytes);
                    }
                    Content::Photo(photo) => {
                        let slice = Slice {
                            part: part.number,
                            slot,
                            bytes: slice,
                        };
                        self.want(entry, *photo, from, segment.length, slice);
                    }
                },
                SegmentKind::Tail { from } => match self.tail.clone() {
                    Some(tail) => self.fill(part.number, slot, slice, &tail[to_usize(from)..]),
                    None => self.tail_slices.push((part.number, slot, from, slice)),
                },
            }
        }
        Ok(())
    }

    /// Notes that a photo's bytes are wanted. A photo whose entry is not longer than two parts is
    /// one download, which grows until all its slices are there; of a longer one each slice is.
    fn want(&mut self, entry: usize, photo: usize, from: u64, length: u64, slice: Slice) {
        let size = self.volume.entries[entry].size;
        let header =
            self.volume.entries[entry].data_offset - self.volume.entries[entry].header_offset;
        let mut job = match self.growing.take() {
            Some(job) => job,
            None => FetchJob {
                entry,
                photo,
                size,
                from,
                length: 0,
                slices: Vec::with_capacity(1),
            },
        };
        debug_assert_eq!(job.entry, entry, "parts are admitted in order");
        job.length += length;
        job.slices.push(slice);
        let in_one = header + size <= 2 * self.volume.part_size
            && !matches!(self.env.places[photo], Some(Place::Spool(_)));
        if in_one && job.length < size {
            self.growing = Some(job);
        } else {
            self.ready.push_back(job);
        }
    }

    /// Fills a slice whose bytes are at hand. `bytes` may go on beyond it.
    fn fill(&mut self, part: u32, slot: usize, mut slice: BytesMut, bytes: &[u8]) {
        let length = slice.len();
        slice.copy_from_slice(&bytes[..length]);
        let crc = crc32(&slice);
        self.put(part, slot, slice, crc);
    }

    /// Puts a filled slice into its part, and the part into the upload queue when it is full.
    fn put(&mut self, number: u32, slot: usize, slice: BytesMut, crc: u32) {
        let Some(part) = self.open.get_mut(&number) else {
            return;
        };
        part.crcs[slot].0 = crc;
        if !part.slots.put(slot, slice) {
            return;
        }
        if let Some(part) = self.open.remove(&number) {
            let data = PartData {
                number,
                offset: part.offset,
                crc32: combine(CRC32, part.crcs),
                bytes: part.slots.join().freeze(),
            };
            self.full.push_back(FullPart {
                data,
                reservation: part.reservation,
            });
        }
    }

    fn start_fetches(&mut self) {
        if self.winding_down() {
            return;
        }
        while self.fetching < self.concurrency.limit() {
            let Some(job) = self.ready.pop_front() else {
                break;
            };
            self.first_requests
                .entry(job.entry)
                .or_insert_with(Instant::now);
            let env = Arc::clone(&self.env);
            let span = photo_span(&self.volume.entries[job.entry].name);
            let fetching = async move {
                let (fetched, outcome) = fetch(env, job).await;
                Event::Fetched(fetched, outcome)
            };
            self.tasks.spawn(fetching.instrument(span));
            self.fetching += 1;
        }
        self.env
            .progress
            .peak_connections
            .at_least(self.fetching as u64);
    }

    fn start_uploads(&mut self) {
        while self.uploading < MAX_UPLOADS {
            let Some(part) = self.full.pop_front() else {
                break;
            };
            if !self.stale.is_empty() {
                // This archive will not be; only its photos are still of interest.
                self.pool.give_back(part.data.bytes);
                continue;
            }
            let upload = Arc::clone(&self.upload);
            let uploading = async move {
                let FullPart { data, reservation } = part;
                let bytes = data.bytes.clone();
                Event::Uploaded(
                    upload
                        .put_part(data)
                        .await
                        .map(|receipt| (receipt, bytes, reservation)),
                )
            };
            self.tasks.spawn(uploading.in_current_span());
            self.uploading += 1;
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), TransferError> {
        match event {
            Event::Fetched(fetched, outcome) => {
                let throttled = self.env.throttled.load(Ordering::Relaxed);
                self.concurrency.answered(self.is_busy(), throttled);
                self.fetching -= 1;
                if let Err(failure) = outcome {
                    self.failed(failure)?;
                }
                // Failed ones too: their memory must get back into its part.
                self.fetched(fetched)
            }
            Event::Uploaded(result) => {
                self.uploading -= 1;
                let (receipt, bytes, reservation) = result.map_err(TransferError::Sink)?;
                self.receipts.push(receipt);
                self.pool.give_back(bytes);
                drop(reservation);
                Ok(())
            }
        }
    }

    fn fetched(&mut self, fetched: Fetched) -> Result<(), TransferError> {
        let entry = fetched.entry;
        let crcs = fetched
            .slices
            .iter()
            .map(|(slice, crc)| (*crc, slice.bytes.len() as u64));
        let piece = Piece {
            from: fetched.from,
            length: fetched.length,
            crc32: combine(CRC32, crcs),
            crc32c: fetched.crc32c,
        };
        for (slice, crc) in fetched.slices {
            self.put(slice.part, slice.slot, slice.bytes, crc);
        }
        let state = &mut self.entries[entry];
        state.arrived += piece.length;
        state.pieces.push(piece);
        if state.arrived == self.volume.entries[entry].size {
            self.entry_arrived(entry, fetched.photo, fetched.started)?;
        }
        Ok(())
    }

    /// All bytes of an entry are there: its CRC is known, and so is its header.
    fn entry_arrived(
        &mut self,
        index: usize,
        photo: usize,
        started: Instant,
    ) -> Result<(), TransferError> {
        let entry = &self.volume.entries[index];
        let state = &mut self.entries[index];
        let mut pieces = std::mem::take(&mut state.pieces);
        pieces.sort_unstable_by_key(|piece| piece.from);
        let crc = combine(
            CRC32,
            pieces.iter().map(|piece| (piece.crc32, piece.length)),
        );
        state.crc32 = Some(crc);
        let header_slices = std::mem::take(&mut state.header_slices);
        if pieces.len() > 1 && !self.is_stale(photo) {
            let crc32c = combine(CRC32C, pieces.iter().map(|p| (p.crc32c, p.length)));
            if let Some(kind) = self.mismatch(photo, crc32c) {
                self.stale.push(Failure { photo, kind });
            }
        }
        let started = self.first_requests.remove(&index).unwrap_or(started);
        self.slowest
            .offer(&entry.name, entry.size, started.elapsed());
        self.env.progress.photos_done.add(1);
        self.unknown_crcs -= 1;
        let header = layout::local_header(entry, crc)?;
        for (part, slot, from, slice) in header_slices {
            self.fill(part, slot, slice, &header[to_usize(from)..]);
        }
        self.make_tail_if_known()
    }

    /// Checks a photo that came in pieces; whole ones are checked where they arrive.
    fn mismatch(&self, photo: usize, crc32c: u32) -> Option<FailureKind> {
        let given = self.env.manifest.photos[photo].hashes.crc32c;
        let probed = match &self.env.places[photo] {
            Some(Place::Origin(probe)) => probe.hashes.crc32c,
            Some(Place::Spool(_)) | None => None,
        };
        match (given, probed) {
            (Some(expected), _) if expected != crc32c => {
                Some(FailureKind::Missing(crate::plan::MissingReason::WrongHash))
            }
            (None, Some(expected)) if expected != crc32c => Some(FailureKind::Changed(
                "its bytes do not match the CRC32C".to_owned(),
            )),
            _ => None,
        }
    }

    fn make_tail_if_known(&mut self) -> Result<(), TransferError> {
        if self.unknown_crcs > 0 || self.tail.is_some() {
            return Ok(());
        }
        let entries = &self.entries;
        let tail = layout::tail(self.volume, |index| {
            entries[index].crc32.unwrap_or_default()
        })?;
        let tail = Bytes::from(tail);
        self.tail = Some(tail.clone());
        for (part, slot, from, slice) in std::mem::take(&mut self.tail_slices) {
            self.fill(part, slot, slice, &tail[to_usize(from)..]);
        }
        Ok(())
    }

    fn failed(&mut self, failure: Failure) -> Result<(), TransferError> {
        let photo = failure.photo;
        match failure.kind {
            FailureKind::Exhausted { what, attempts } if self.env.allowance.is_none() => {
                Err(TransferError::Fetch {
                    photo,
                    what,
                    attempts,
                })
            }
            FailureKind::Spool(what) => Err(TransferError::Fetch {
                photo,
                what,
                attempts: 1,
            }),
            FailureKind::Settings(what) => Err(TransferError::Settings(what)),
            kind => {
                if !self.is_stale(photo) {
                    self.stale.push(Failure { photo, kind });
                }
                if self.has_lost_too_many() {
                    self.discover = false;
                }
                Ok(())
            }
        }
    }

    /// So many photos are unreachable that there will be no archive.
    fn has_lost_too_many(&self) -> bool {
        let lost = (self.stale.iter())
            .filter(|failure| matches!(failure.kind, FailureKind::Exhausted { .. }))
            .count();
        (self.env.allowance).is_some_and(|most| most.is_exceeded_by(lost))
    }

    fn is_stale(&self, photo: usize) -> bool {
        self.stale.iter().any(|known| known.photo == photo)
    }

    fn observe(&mut self, window: &mut WindowClock) {
        let bytes = self.env.progress.bytes_fetched.get();
        let rate = window.rate(bytes);
        self.concurrency.observe(Window {
            rate,
            busy: self.is_busy(),
            throttled: self.env.throttled.swap(false, Ordering::Relaxed),
        });
    }

    /// All connections are in use, and there is more to fetch.
    fn is_busy(&self) -> bool {
        self.fetching >= self.concurrency.limit() && !self.ready.is_empty()
    }
}

/// What happens to a photo is told with its name, where somebody wants to know that much; else with
/// the job's alone.
fn photo_span(name: &EntryName) -> Span {
    let span = tracing::debug_span!("photo", photo.name = %name);
    if span.is_disabled() {
        Span::current()
    } else {
        span
    }
}

/// A length inside a part, which is in memory and so fits.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).expect("what is in memory fits")
}
