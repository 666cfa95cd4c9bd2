#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wedding_photo_processor::fuzz::plan(data));
