//! Listings that arrive whole. An answer that ends where the connection does looks complete to HTTP
//! when it was cut off, and the SDK's reader takes what there is of its XML: photos would be lost without
//! a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The end of every answer to `ListObjectsV2`, whatever the prefix of its namespace.
const END: &[u8] = b"ListBucketResult>";
/// Bytes at the end of an answer in which that must be.
const TAIL_BYTES: usize = 256;

/// Watches one request for a listing, and notes whether its answer has its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct WholeListing(Arc<AtomicBool>);

impl WholeListing {
    /// Returns whether the answer has its end.
    pub(crate) fn arrived(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for WholeListing {
    fn name(&self) -> &'static str {
        "WholeListing"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let whole = context.response().body().bytes().is_some_and(has_its_end);
        self.0.store(whole, Ordering::Relaxed);
        Ok(())
    }
}

fn has_its_end(body: &[u8]) -> bool {
    let tail = &body[body.len().saturating_sub(TAIL_BYTES)..];
    // The opening tag of an empty listing is no end.
    tail.windows(END.len())
        .enumerate()
        .any(|(at, window)| window == END && tail[..at].contains(&b'/'))
        && tail.trim_ascii_end().ends_with(b">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_without_its_end_is_cut_off() {
        let whole = "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>\n";
        assert!(has_its_end(whole.as_bytes()));
        assert!(has_its_end(b"<s3:ListBucketResult></s3:ListBucketResult>"));
        for end in 0..whole.len() - 1 {
            assert!(!has_its_end(&whole.as_bytes()[..end]), "{end}");
        }
    }
}
