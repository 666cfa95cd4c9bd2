//! Turns an event's photos into ZIP archives.
pub mod manifest;
pub mod plan;
