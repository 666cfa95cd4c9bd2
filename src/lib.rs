//! Turns an event's photos into ZIP archives.
pub mod demo;
pub mod engine;
pub mod exit_code;
pub mod manifest;
pub mod plan;
pub mod settings;
pub mod shutdown;
pub mod sink;
pub mod source;
pub mod telemetry;
pub mod verify;
