//! Nowhere: takes every part and keeps none, to measure a source without filling a disk.

use std::ops::Range;

use bytes::Bytes;

use super::{
    ArchiveSink, ArchiveSpec, ArchiveUpload, PartData, PartReceipt, SinkError, Stored,
    check_receipts,
};

/// A sink that keeps nothing; `processor run … -o /dev/null`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardSink;

/// An archive on its way to nowhere.
#[derive(Debug)]
pub struct DiscardUpload(ArchiveSpec);

impl ArchiveSink for DiscardSink {
    type Upload = DiscardUpload;

    async fn begin(&self, archive: &ArchiveSpec) -> Result<DiscardUpload, SinkError> {
        Ok(DiscardUpload(archive.clone()))
    }
}

impl ArchiveUpload for DiscardUpload {
    async fn put_part(&self, part: PartData) -> Result<PartReceipt, SinkError> {
        Ok(PartReceipt {
            number: part.number,
            e_tag: None,
            crc32: part.crc32,
        })
    }

    async fn complete(&self, parts: &[PartReceipt]) -> Result<Stored, SinkError> {
        check_receipts(&self.0, parts)?;
        Ok(Stored {
            location: "nowhere".to_owned(),
            length: self.0.length,
        })
    }

    async fn abort(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read_back(&self, _range: Range<u64>) -> Result<Option<Bytes>, SinkError> {
        Ok(None)
    }
}
