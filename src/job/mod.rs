//! One manifest being carried out: the contract between the two programs.
//!
//! [`JobKey`] names a job and everything of it in the bucket; its id is a hash of what was asked,
//! so that the same manifest is the same job. [`Message`] is what the queue carries. [`State`] is
//! the one place that answers "how is my job". Nothing here does I/O.

pub mod key;
pub mod message;
pub mod state;
pub mod subscriber;

pub use key::{JobKey, Layout};
pub use message::{Message, MessageError};
pub use state::{Owner, State, StateArchive, StateDelivery, StateError, Status, Transferred};
pub use subscriber::Subscriber;
