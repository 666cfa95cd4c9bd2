//! Time and chance, which come in from outside so that tests can set them.

use jiff::Timestamp;

/// Tells what time it is.
pub type Clock = fn() -> Timestamp;

/// The system's clock.
pub fn system() -> Timestamp {
    Timestamp::now()
}

/// A random text that nobody can guess: 32 hexadecimal digits.
pub fn new_secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}
