//! Integration tests, one binary:
//!
//! - `accepted`: archives open in the tools that guests have
//! - `bucket`: one conformance suite for every bucket
//! - `cli`: the program as a user sees it: output, errors, exit codes, signals
//! - `deliver`: who is told, once, whatever happens to containers and receivers
//! - `dependency_direction`: modules import only what they may
//! - `drain`: what containers do with the job queue, whatever happens to them
//! - `engine`: the bytes of archives, whatever the concurrency, order and budget
//! - `faults`: a misbehaving origin, and every kind of bad input
//! - `leaks`: no secret leaves the programs, however a job ends and however it is spelled
//! - `names`: names, addresses, folders and times as people and servers have them
//! - `private`: photos in private buckets, over fake-gcs-server, MinIO and R2's rules
//! - `queue`: one conformance suite for every queue
//! - `secret`: keys in Secrets Manager: read at the start, changed while a program runs, wrong
//! - `sink`: one conformance suite for every sink
//! - `service`: the programs over MinIO, LocalStack and moto: output, errors, signals
//! - `store`: archives into buckets: the same bytes everywhere, failures, wrong settings
//! - `wire`: letters and webhooks as they arrive
//! - `unreachable`: photos that cannot be reached or are refused: left out, asked for again, or the end
//! - `wild_http`: servers as they are in the wild, and proxies
//! - `submit`: handing jobs in: what is sent, what is not, and what failures leave behind

mod accepted;
mod bucket;
mod cli;
mod deliver;
mod dependency_direction;
mod drain;
mod engine;
mod faults;
mod leaks;
mod names;
mod private;
mod queue;
mod secret;
mod service;
mod sink;
mod store;
mod submit;
mod support;
mod threats;
mod unreachable;
mod wild_http;
mod wire;
